"""A process of its own for the service or the website: what both are told on the command line, and how both serve."""

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path

import click
from starlette.routing import BaseRoute

from orchestra.clock import SystemClock
from orchestra.logs.store import FileLogStore
from orchestra.network.loop import leave_code_uncollected
from orchestra.network.server import serve
from orchestra.sealing import Sealing, read_or_make_key
from orchestra.storage.open import OpenDatabase
from orchestra.web.assemble import WebSettings, build_application, build_web_parts
from orchestra.web.parts import WebParts
from orchestra.web.proxy_settings import proxy_options
from orchestra.web.rate_settings import RateSettings, limit_option


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """Where the process listens, and where it finds what it shares with the masters."""

    host: str
    port: int
    database: str
    logs: Path
    key_file: Path
    secure_cookies: bool
    trusted_proxies: tuple[str, ...] = ()
    limits: RateSettings = field(default_factory=RateSettings)


async def serve_process(
    name: str,
    installation: Installation,
    routes: Callable[[WebParts], Sequence[BaseRoute]],
    *,
    open_database: OpenDatabase,
) -> None:
    """Serves until SIGTERM or SIGINT. Raises NeedsServer, DatabaseAway, WrongSchemaVersion, PortInUse."""

    def ready(port: int) -> None:
        leave_code_uncollected()
        click.echo(f"The {name} is up at http://{installation.host}:{port}", err=True)

    database = await open_database(installation.database)
    try:
        closing = asyncio.Event()
        parts = build_web_parts(
            database=database,
            clock=SystemClock(),
            logs=FileLogStore(installation.logs),
            wrapped_logs=FileLogStore(installation.logs),
            sealing=Sealing(key=read_or_make_key(installation.key_file)),
            closing=closing,
            settings=WebSettings(secure_cookies=installation.secure_cookies, rates=installation.limits),
        )
        await serve(
            build_application(parts, routes(parts)),
            host=installation.host,
            port=installation.port,
            closing=closing,
            before_close=_nothing_to_say,
            ready=ready,
            trusted_proxies=installation.trusted_proxies,
        )
    finally:
        await database.close()


async def _nothing_to_say() -> None:
    """Only masters have workers to say goodbye to."""


def process_options(port: int) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """The command gets its `Installation` as first argument, from options with this default port; and `--verbose`."""
    options = (
        click.option("--database", required=True, envvar="ORCHESTRA_DATABASE", help="postgresql://USER@HOST/NAME"),
        click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on."),
        click.option(
            "--port", type=click.IntRange(0, 65535), default=port, show_default=True, help="0: any free port."
        ),
        click.option(
            "--logs", type=click.Path(path_type=Path), required=True, help="The folder in which masters keep logs."
        ),
        click.option("--key-file", type=click.Path(path_type=Path), required=True, help="The key of sealed secrets."),
        proxy_options,
        limit_option,
        click.option(
            "--verbose", is_flag=True, expose_value=False, callback=_begin_log, help="Say everything that happens."
        ),
    )

    def add(command: Callable[..., object]) -> Callable[..., object]:
        @wraps(command)
        def filled(
            *,
            host: str,
            port: int,
            database: str,
            logs: Path,
            key_file: Path,
            secure_cookies: bool,
            trusted_proxies: tuple[str, ...],
            limits: RateSettings,
            **others: object,
        ) -> object:
            installation = Installation(
                host=host,
                port=port,
                database=database,
                logs=logs,
                key_file=key_file,
                secure_cookies=secure_cookies,
                trusted_proxies=trusted_proxies,
                limits=limits,
            )
            return command(installation, **others)

        decorated: Callable[..., object] = filled
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return add


def _begin_log(_context: click.Context, _parameter: click.Parameter, verbose: bool) -> None:
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
