"""What an installation may choose of the limits of its web surface, and the option by which it does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import click

from orchestra.limits import GUESSES_PER_MINUTE, PER_MINUTE_MAX, STREAMS_ALL_MAX, STREAMS_MAX

F = TypeVar("F", bound=Callable[..., object])
_OFF = "off"


@dataclass(frozen=True, kw_only=True, slots=True)
class RateSettings:
    """How much is too much, for one process; None is no limit.

    Unasked only that is limited which a busy program does not reach.
    """

    reads: int | None = None
    """Readings a minute of one token or session; of one address for those who show none."""
    writes: int | None = None
    """Changes a minute, likewise."""
    triggers: int | None = None
    """Requests a minute by which one user makes runs."""
    guesses: int | None = GUESSES_PER_MINUTE
    """Tokens and sessions a minute from one address that are none."""
    streams: int | None = STREAMS_MAX
    """Streams and downloads that one token or session has open."""
    all_streams: int | None = STREAMS_ALL_MAX
    """Of everybody together."""


NAMES = tuple(field.name.replace("_", "-") for field in fields(RateSettings))
"""The limits as they are written behind `--limit`."""


def read_limits(_context: click.Context, _parameter: click.Parameter, given: Sequence[str]) -> RateSettings:
    """The settings of `--limit NAME=NUMBER`, one after the other; raises click.BadParameter."""
    chosen: dict[str, int | None] = {}
    for each in given:
        name, _, text = each.partition("=")
        if name not in NAMES:
            raise click.BadParameter(f"{each!r} is none of {', '.join(f'{known}=NUMBER' for known in NAMES)}")
        if text == _OFF:
            chosen[name.replace("-", "_")] = None
        elif text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= PER_MINUTE_MAX:
            chosen[name.replace("-", "_")] = int(text)
        else:
            raise click.BadParameter(f"{each!r}: write a whole number from 1 to {PER_MINUTE_MAX}, or {_OFF}")
    return RateSettings(**chosen)


def limit_option(function: F) -> F:
    """The option `--limit` of a command that serves the web; it gives `limits`, the settings."""
    add = click.option(
        "--limit",
        "limits",
        multiple=True,
        metavar="NAME=NUMBER",
        callback=read_limits,
        help=f"Of the web surface: {', '.join(NAMES)}; may be repeated, {_OFF} is no limit.",
    )
    return add(function)
