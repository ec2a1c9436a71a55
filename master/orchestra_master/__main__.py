"""The command `orchestra master`: a master in a process of its own; any number of them over one PostgreSQL database."""

import asyncio
import logging
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

import click
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from orchestra.clock import Clock, SystemClock
from orchestra.limits import DEFAULT_MASTER_PORT
from orchestra.logs.store import FileLogStore
from orchestra.metrics import HttpMetrics, LoopLag, StorageMetrics, new_registry
from orchestra.network.loop import leave_code_uncollected, run
from orchestra.network.server import serve
from orchestra.sealing import Sealing, read_or_make_key
from orchestra.storage.database import Database
from orchestra.storage.open import OpenDatabase, open_shared_database
from orchestra.web.authentication import Authenticator
from orchestra.web.cookies import SessionCookie
from orchestra.web.endpoint import Door
from orchestra.web.metrics_routes import MetricsRoutes, metrics_alone
from orchestra.web.rate_limits import RateLimits
from orchestra.web.rate_settings import RateSettings
from orchestra_master.assemble import build_master
from orchestra_master.database_watch import DatabaseWatch
from orchestra_master.definition_watch import DefinitionWatch
from orchestra_master.master import Loop


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """Where the master finds what it shares with other masters and with services."""

    host: str
    port: int
    database: str
    logs: Path
    key_file: Path
    definitions: Path | None


async def run_master(installation: Installation, *, open_database: OpenDatabase = open_shared_database) -> None:
    """Serves workers until SIGTERM or SIGINT. Raises NeedsServer, DatabaseAway, WrongSchemaVersion, PortInUse."""
    clock = SystemClock()
    database = await open_database(installation.database)
    try:
        watches: list[Loop] = []
        if installation.definitions is not None:
            watches.append(DefinitionWatch(database=database, clock=clock, path=installation.definitions))
        registry = new_registry()
        database.observe_batches(StorageMetrics(registry=registry).batch_committed)
        watches.append(LoopLag(registry=registry, clock=clock))
        master = build_master(
            database=database,
            logs=FileLogStore(installation.logs),
            secrets=Sealing(key=read_or_make_key(installation.key_file)),
            clock=clock,
            registry=registry,
            more_loops=watches,
            more_duties=lambda parts: [DatabaseWatch(parts=parts)],
        )
        async with master:
            await serve(
                Starlette(routes=[master.listener.route(), *_metrics_route(database, clock, registry)]),
                host=installation.host,
                port=installation.port,
                closing=asyncio.Event(),
                before_close=master.say_bye,
                ready=lambda port: _say_ready(installation.host, port),
            )
    finally:
        await database.close()


def _say_ready(host: str, port: int) -> None:
    leave_code_uncollected()
    click.echo(f"The master waits for workers at {host}:{port}", err=True)


def _metrics_route(database: Database, clock: Clock, registry: CollectorRegistry) -> list[BaseRoute]:
    """The only thing that a master tells by HTTP; whoever asks shows a token, as everywhere."""
    limits = RateLimits(settings=RateSettings(), clock=clock)
    cookie_name = SessionCookie(is_secure=True).name
    door = Door(
        authenticator=Authenticator(database=database, clock=clock, limits=limits, cookie_name=cookie_name),
        limits=limits,
        random_bytes=secrets.token_bytes,
        metrics=HttpMetrics(registry=registry, clock=clock),
    )
    return metrics_alone(door, MetricsRoutes(registry=registry))


@click.command("master")
@click.option("--database", required=True, envvar="ORCHESTRA_DATABASE", help="postgresql://USER@HOST/NAME")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on for workers.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_MASTER_PORT, show_default=True, help="0: any free port."
)
@click.option("--logs", type=click.Path(path_type=Path), required=True, help="The folder shared with the services.")
@click.option("--key-file", type=click.Path(path_type=Path), required=True, help="The key of sealed secrets.")
@click.option(
    "--definitions", type=click.Path(path_type=Path, exists=True), help="A definition file or folder to keep applied."
)
@click.option("--verbose", is_flag=True, help="Say everything that happens.")
def command(
    database: str, host: str, port: int, logs: Path, key_file: Path, definitions: Path | None, verbose: bool
) -> None:
    """Give runs to workers, from a process of its own; any number of them may run.

    \b
      orchestra master --database postgresql://orchestra@db/orchestra --logs /srv/logs --key-file /etc/orchestra.key
    """
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    run(
        run_master(
            Installation(host=host, port=port, database=database, logs=logs, key_file=key_file, definitions=definitions)
        )
    )


if __name__ == "__main__":
    command()
