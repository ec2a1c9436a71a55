"""The command `orchestra worker start`, also `python -m orchestra_worker`."""

import logging
import os
import socket
import sys
from pathlib import Path

import click

from orchestra.errors import OrchestraError
from orchestra.identifiers import checked_name
from orchestra.limits import SLOTS_MAX
from orchestra_worker.assemble import WorkerSettings, run_worker
from orchestra_worker.detection import given_properties


@click.command("start")
@click.option(
    "--master",
    "masters",
    required=True,
    multiple=True,
    metavar="URL",
    help="A master's address, such as https://orchestra:7780; repeated, the worker goes from one to the next.",
)
@click.option(
    "--token-file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with a token of kind worker; read at each connection.",
)
@click.option("--name", metavar="NAME", help="The worker's name; the machine's by default.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    help="Where the worker keeps its journal, logs and workspaces; ./worker-NAME by default.",
)
@click.option("--property", "properties", multiple=True, metavar="NAME=VALUE", help="Jobs match it; may be repeated.")
@click.option(
    "--slots", type=click.IntRange(1, SLOTS_MAX), help="How many slots runs may take together; the CPUs by default."
)
@click.option("--proxy", metavar="URL", help="Connect through this proxy; the environment's is not used.")
@click.option("--end-with-parent", is_flag=True, help="End when standard input closes; steps go on.")
def start(
    masters: tuple[str, ...],
    token_file: Path,
    name: str | None,
    folder: Path | None,
    properties: tuple[str, ...],
    slots: int | None,
    proxy: str | None,
    end_with_parent: bool,
) -> None:
    """Start a worker: it connects to a master by itself and executes the runs it is given."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    chosen = checked_name("worker", name or socket.gethostname().split(".")[0].lower())
    run_worker(
        WorkerSettings(
            masters=masters,
            token_file=token_file.absolute(),
            name=chosen,
            folder=(folder or Path(f"worker-{chosen}")).absolute(),
            slots=slots or os.cpu_count() or 1,
            properties=given_properties(properties),
            proxy=proxy,
            end_with_parent=end_with_parent,
        )
    )


def main() -> None:
    """Starts a worker without the rest of the command line."""
    try:
        start.main(prog_name="orchestra worker start")
    except OrchestraError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
