"""The secrets that `orchestra up` makes for itself: the first administrator's token, and one for its local workers."""

import asyncio
import secrets
from pathlib import Path

from sqlalchemy import Connection

from orchestra.clock import Clock, Instant, SystemClock
from orchestra.commands.bearer_texts import BearerText, is_well_formed, new_bearer_text
from orchestra.commands.bootstrap import add_sign_in_link, first_administrator, local_worker_user
from orchestra.configuration import write_private
from orchestra.errors import Conflict, NotFound
from orchestra.storage.bearers import find_token
from orchestra.storage.database import Database
from orchestra.storage.open import open_database

ADMINISTRATOR_FILE = "admin.token"
WORKER_FILE = "worker.token"
ADMINISTRATOR = "admin"
WORKER_USER = "local-workers"


async def make_administrator(database: Database, folder: Path, clock: Clock) -> Path | None:
    """Makes the first administrator unless there is one; returns the file with a valid token, None if there is none.

    The file is written before the database: whoever dies in between finds the text again and finishes the work.
    """
    path = folder / ADMINISTRATOR_FILE
    token = _kept(path, "user") or _made(path, "user")
    now = clock.now()

    def make(connection: Connection) -> bool:
        first_administrator(connection, token=token, now=now)
        return find_token(connection, token.digest, now=now) is not None

    if await database.write(make):
        return path
    path.unlink()
    return None


async def make_worker_token(database: Database, folder: Path, clock: Clock) -> Path:
    """The file with a valid token for the local workers; a revoked or unknown one is replaced."""
    path = folder / WORKER_FILE
    now = clock.now()
    kept = _kept(path, "worker")
    if kept is not None and await database.read(lambda c: find_token(c, kept.digest, now=now)) is not None:
        return path
    token = _made(path, "worker")
    await database.write(lambda connection: local_worker_user(connection, WORKER_USER, token=token, now=now))
    return path


async def make_sign_in_link(database: Database, address: str, clock: Clock) -> str | None:
    """An address that signs the administrator in once; None if there is no user of that name any more."""
    link = new_bearer_text("sign-in", secrets.token_bytes)
    now = clock.now()

    def add(connection: Connection) -> Instant | None:
        try:
            return add_sign_in_link(connection, ADMINISTRATOR, link=link, now=now)
        except NotFound:
            return None

    return f"{address}/sign-in?link={link.text}" if await database.write(add) is not None else None


def first_token(location: str) -> str:
    """Makes the first administrator of a database that no `orchestra up` looks after, and returns its token.

    Blocks. Raises Conflict if there is an administrator already, and what `open_database` raises.
    """
    return asyncio.run(_first_token(location))


async def _first_token(location: str) -> str:
    database = await open_database(location)
    try:
        token = new_bearer_text("user", secrets.token_bytes)
        now = SystemClock().now()
        made = await database.write(lambda connection: first_administrator(connection, token=token, now=now))
    finally:
        await database.close()
    if not made.is_new:
        raise Conflict("there is an administrator already: ask for a token of your own")
    return token.text


def _kept(path: Path, kind: str) -> BearerText | None:
    text = path.read_text().strip() if path.exists() else ""
    return BearerText(kind=kind, text=text) if is_well_formed(text) else None


def _made(path: Path, kind: str) -> BearerText:
    made = new_bearer_text(kind, secrets.token_bytes)
    write_private(path, made.text + "\n")
    return made
