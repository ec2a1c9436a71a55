"""`orchestra db upgrade|check|administrator`; what they do is loaded by name, because a worker has no database."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module

import click

from orchestra.cli.errors import CommandFailed
from orchestra.cli.invocation import Invocation
from orchestra.cli.words import NounGroup, not_installed


@click.group(cls=NounGroup)
def db() -> None:
    """Upgrade or check the database. `orchestra up` upgrades its own."""


@db.command("upgrade")
@click.option("--database", envvar="ORCHESTRA_DATABASE", metavar="URL", help="postgresql://… or sqlite:///…")
@click.option("--data", envvar="ORCHESTRA_DATA", default="data", show_default=True, help="Or the data folder.")
@click.pass_obj
def upgrade(call: Invocation, *, database: str | None, data: str) -> None:
    """Bring the database to the version that this program needs, all or nothing."""
    with _guarded(database, data):
        version = _migration("upgrade")(database or data)
    _say(call, "upgraded", version)


@db.command("check")
@click.option("--database", envvar="ORCHESTRA_DATABASE", metavar="URL", help="postgresql://… or sqlite:///…")
@click.option("--data", envvar="ORCHESTRA_DATA", default="data", show_default=True, help="Or the data folder.")
@click.pass_obj
def check(call: Invocation, *, database: str | None, data: str) -> None:
    """Say whether the database has the version that this program needs; exit 1 if it has not."""
    with _guarded(database, data):
        version = _migration("check")(database or data)
    _say(call, "fits", version)


@db.command("administrator")
@click.option("--database", envvar="ORCHESTRA_DATABASE", metavar="URL", help="postgresql://… or sqlite:///…")
@click.option("--data", envvar="ORCHESTRA_DATA", default="data", show_default=True, help="Or the data folder.")
@click.pass_obj
def administrator(call: Invocation, *, database: str | None, data: str) -> None:
    """Make the first administrator and print its token, once. `orchestra up` does this for its own database.

    \b
      orchestra db administrator --database postgresql://orchestra@db/orchestra > admin.token
      orchestra login https://orchestra.example.org --token-file admin.token
    """
    with _guarded(database, data):
        token = _loaded("orchestra.up.credentials", "first_token")(database or data)
    if call.screen.as_json:
        call.screen.json_of({"token": token})
    else:
        call.screen.line(token)


def _say(call: Invocation, word: str, version: str) -> None:
    if call.screen.as_json:
        call.screen.json_of({"schema_version": version, "outcome": word})
        return
    sentence = "has" if word == "fits" else "is upgraded to"
    call.screen.line(f"The database {sentence} schema version {version}.")


def _guarded(database: str | None, data: str) -> AbstractContextManager[object]:
    """A second process must never open the SQLite file of a running one: it can corrupt it."""
    from pathlib import Path

    from orchestra.folder import lock_folder

    if database is None:
        folder = Path(data)
    elif database.startswith("sqlite:///"):
        folder = Path(database.removeprefix("sqlite:///")).parent
    else:
        return nullcontext()
    if not folder.is_dir():
        raise CommandFailed(f"there is no data folder {folder}", remedy="give --data FOLDER or --database URL")
    return lock_folder(folder, "orchestra db")


def _migration(name: str) -> Callable[[str], str]:
    return _loaded("orchestra_migrations.upgrade", name)


def _loaded(module: str, name: str) -> Callable[[str], str]:
    try:
        found: Callable[[str], str] = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise not_installed("db", error) from error
    return found
