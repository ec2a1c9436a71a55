"""The command `orchestra website`: the pages in a process of their own, over PostgreSQL."""

import asyncio
import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path

import click

from orchestra.clock import SystemClock
from orchestra.limits import DEFAULT_WEBSITE_PORT
from orchestra.logs.store import FileLogStore
from orchestra.network.loop import run
from orchestra.network.server import serve
from orchestra.sealing import Sealing, read_or_make_key
from orchestra.storage.open import OpenDatabase, open_shared_database
from orchestra.web.assemble import WebSettings, build_application, build_web_parts
from orchestra.web.metrics_routes import metrics_alone
from orchestra.web.rate_settings import RateSettings, limit_option
from orchestra_website.assemble import website_routes
from orchestra_website.settings import WebsiteSettings, website_options


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """Where the website finds what it shares with masters and services, and how it looks."""

    host: str
    port: int
    database: str
    logs: Path
    key_file: Path
    secure_cookies: bool
    trusted_proxies: tuple[str, ...] = ()
    rates: RateSettings = field(default_factory=RateSettings)
    pages: WebsiteSettings


async def run_website(installation: Installation, *, open_database: OpenDatabase = open_shared_database) -> None:
    """Serves until SIGTERM or SIGINT. Raises NeedsServer, DatabaseAway, WrongSchemaVersion, PortInUse."""
    database = await open_database(installation.database)
    try:
        closing = asyncio.Event()
        parts = build_web_parts(
            database=database,
            clock=SystemClock(),
            logs=FileLogStore(installation.logs),
            sealing=Sealing(key=read_or_make_key(installation.key_file)),
            closing=closing,
            settings=WebSettings(secure_cookies=installation.secure_cookies, rates=installation.rates),
        )
        await serve(
            build_application(
                parts, [*metrics_alone(parts.door, parts.metrics), *website_routes(parts, installation.pages)]
            ),
            host=installation.host,
            port=installation.port,
            closing=closing,
            before_close=_nothing_to_say,
            ready=lambda port: click.echo(f"The website is up at http://{installation.host}:{port}", err=True),
            trusted_proxies=installation.trusted_proxies,
        )
    finally:
        await database.close()


async def _nothing_to_say() -> None:
    """The website has no workers to say goodbye to."""


@click.command("website")
@click.option("--database", required=True, envvar="ORCHESTRA_DATABASE", help="postgresql://USER@HOST/NAME")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_WEBSITE_PORT, show_default=True, help="0: any free port."
)
@click.option("--logs", type=click.Path(path_type=Path), required=True, help="The folder in which masters keep logs.")
@click.option("--key-file", type=click.Path(path_type=Path), required=True, help="The key of sealed secrets.")
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="ADDRESS",
    help="A reverse proxy that says where requests come from; may be repeated.",
)
@limit_option
@click.option("--secure-cookies", is_flag=True, help="Behind TLS: cookies never travel over plain HTTP.")
@website_options
@click.option("--verbose", is_flag=True, help="Say everything that happens.")
def command(
    database: str,
    host: str,
    port: int,
    logs: Path,
    key_file: Path,
    trusted_proxies: tuple[str, ...],
    limits: RateSettings,
    secure_cookies: bool,
    theme: Path | None,
    title: str,
    verbose: bool,
) -> None:
    """Serve the website in a process of its own; any number of them may run.

    \b
      orchestra website --database postgresql://orchestra@db/orchestra --logs /srv/logs --key-file /etc/orchestra.key
    """
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    run(
        run_website(
            Installation(
                host=host,
                port=port,
                database=database,
                logs=logs,
                key_file=key_file,
                secure_cookies=secure_cookies,
                trusted_proxies=trusted_proxies,
                rates=limits,
                pages=WebsiteSettings(theme_folder=theme, title=title),
            )
        )
    )


if __name__ == "__main__":
    command()
