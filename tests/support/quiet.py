"""`python -m tests.support.quiet master|service|website …`: the same programs, put together so that none of them tells
the others when something has changed. Whatever they still hear of one another, they have found by looking."""

import asyncio
from functools import partial
from pathlib import Path

import click

from orchestra.storage.open import open_shared_database
from orchestra.web.process import Installation
from orchestra_master.__main__ import Installation as MasterInstallation
from orchestra_master.__main__ import run_master
from orchestra_service.__main__ import run_service
from orchestra_website.__main__ import run_website
from orchestra_website.settings import WebsiteSettings

open_quietly = partial(open_shared_database, notify=False)


@click.command()
@click.argument("kind", type=click.Choice(["master", "service", "website"]))
@click.option("--database", required=True)
@click.option("--port", type=int, required=True)
@click.option("--logs", type=click.Path(path_type=Path), required=True)
@click.option("--key-file", type=click.Path(path_type=Path), required=True)
def main(kind: str, database: str, port: int, logs: Path, key_file: Path) -> None:
    """Runs one part."""
    if kind == "master":
        master = MasterInstallation(
            host="127.0.0.1", port=port, database=database, logs=logs, key_file=key_file, definitions=None
        )
        asyncio.run(run_master(master, open_database=open_quietly))
        return
    shared = Installation(
        host="127.0.0.1", port=port, database=database, logs=logs, key_file=key_file, secure_cookies=False
    )
    if kind == "service":
        asyncio.run(run_service(shared, open_database=open_quietly))
    else:
        asyncio.run(run_website(shared, WebsiteSettings(), open_database=open_quietly))


if __name__ == "__main__":
    main()
