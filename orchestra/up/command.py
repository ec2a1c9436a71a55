"""The command `orchestra up`."""

import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from orchestra.limits import DEFAULT_PORT
from orchestra.up.composition import UpSettings, run_up
from orchestra.web.assemble import WebSettings
from orchestra.web.proxy_settings import proxy_options
from orchestra.web.rate_settings import RateSettings, limit_option
from orchestra_website.settings import WebsiteSettings, website_options

# That it cannot be read, its lock tells in a sentence of ours.
DATA_FOLDER = click.Path(path_type=Path, file_okay=False, readable=False)


@click.command("up")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help=f"The port; {DEFAULT_PORT} by default, 0 for any free one.")
@click.option("--data", type=DATA_FOLDER, help="The data folder; ./data by default.")
@click.option(
    "--slots", type=click.IntRange(0, 1024), default=2, show_default=True, help="Of each local worker; 0: no worker."
)
@click.option(
    "--definitions", type=click.Path(path_type=Path, exists=True), help="A definition file or folder to keep applied."
)
@click.option("--demo", is_flag=True, help="Two local workers, and a project to try things.")
@click.option(
    "--exit", "exit_", is_flag=True, help="With --demo: end when its runs are over; any port, a temporary folder."
)
@proxy_options
@limit_option
@website_options
@click.option("--verbose", is_flag=True, help="Say everything that happens.")
def command(
    host: str,
    port: int | None,
    data: Path | None,
    slots: int,
    definitions: Path | None,
    demo: bool,
    exit_: bool,
    trusted_proxies: tuple[str, ...],
    secure_cookies: bool,
    limits: RateSettings,
    theme: Path | None,
    title: str,
    verbose: bool,
) -> int:
    """Start everything on this machine: master and service in one process, SQLite, and local workers.

    \b
      orchestra up --demo            try it
      orchestra up --demo --exit     see that it works, and leave nothing behind
      orchestra up --data /srv/jobs --definitions orchestra.yaml
    """
    if exit_ and not demo:
        raise click.UsageError("--exit goes with --demo")
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    with _folder(data, temporary=exit_) as folder:
        settings = UpSettings(
            host=host,
            port=port if port is not None else 0 if exit_ else DEFAULT_PORT,
            data=folder.absolute(),
            slots=slots,
            demo=demo,
            exit=exit_,
            definitions=definitions,
            trusted_proxies=trusted_proxies,
            web=WebSettings(secure_cookies=secure_cookies, rates=limits),
            pages=WebsiteSettings(theme_folder=theme, title=title),
            say=lambda text: click.echo(text),
        )
        return run_up(settings)


@contextmanager
def _folder(given: Path | None, *, temporary: bool) -> Iterator[Path]:
    if given is not None or not temporary:
        yield given or Path("data")
        return
    with tempfile.TemporaryDirectory(prefix="orchestra-demo-") as made:
        yield Path(made)
