"""The command `orchestra service`: the HTTP API in a process of its own, over PostgreSQL."""

import click

from orchestra.limits import DEFAULT_PORT
from orchestra.network.loop import run
from orchestra.storage.open import OpenDatabase, open_shared_database
from orchestra.web.process import Installation, process_options, serve_process
from orchestra_service.assemble import service_routes


async def run_service(installation: Installation, *, open_database: OpenDatabase = open_shared_database) -> None:
    """Serves until SIGTERM or SIGINT; raises as `serve_process` does."""
    await serve_process("service", installation, service_routes, open_database=open_database)


@click.command("service")
@process_options(DEFAULT_PORT)
def command(installation: Installation) -> None:
    """Serve the HTTP API in a process of its own; any number of them may run.

    \b
      orchestra service --database postgresql://orchestra@db/orchestra --logs /srv/logs --key-file /etc/orchestra.key
    """
    run(run_service(installation))


if __name__ == "__main__":
    command()
