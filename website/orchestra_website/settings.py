"""What an installation may choose for its pages, and the options by which it does."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])
TITLE = "Job Orchestra"


@dataclass(frozen=True, kw_only=True, slots=True)
class WebsiteSettings:
    """What is an installation's own in its pages."""

    theme_folder: Path | None = None
    """Its `templates/` and `static/` come before ours."""
    title: str = TITLE


def website_options(function: F) -> F:
    """The options `--theme` and `--title` of a command that serves pages."""
    title = click.option("--title", default=TITLE, show_default=True, help="The name at the top of every page.")
    theme = click.option(
        "--theme",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="A folder whose templates/ and static/ come before ours.",
    )
    return theme(title(function))
