"""The worker's own memory, `worker.db`: plain SQLite with one writer thread and group commit, durable before it
answers.

Everyone gives functions of a connection to `write`; those that wait together share one transaction. Their statements
run on the loop, because each one that a second thread executes costs two changes of the interpreter's lock; only what
waits for the disk, the commit, is the thread's. The same batch function runs inline, without the thread, where a
simulator wants every step to be its own.
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Generic, TypeVar, TypeVarTuple, Unpack

from orchestra.clock import Instant
from orchestra.errors import OrchestraError
from orchestra.limits import BATCH_CHANGES_MAX

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

JOURNAL_VERSION = 2
"""Since 2 what was offered and told has a sum; 1 is read as it is, and goes on as 2."""
_TABLES = """
create table attempts (
    run integer not null, attempt integer not null, offer blob not null, state text not null,
    boot_id text not null, started_boottime real, contact_boottime real,
    stop_reason text, stop_grace real, sequence integer not null default 0,
    check_in_offset integer not null default 0,
    results blob, primary key (run, attempt)
) without rowid;
create table steps (
    run integer not null, attempt integer not null, number integer not null,
    exit_code integer, reason text, log_start integer not null, log_length integer,
    primary key (run, attempt, number)
) without rowid;
create table events (
    run integer not null, attempt integer not null, sequence integer not null, body blob not null,
    primary key (run, attempt, sequence)
) without rowid;
"""

_CONTENT_IS_BAD = ("no such ", "malformed", "table ", "near ", "unsupported file format", "Could not decode")
"""What SQLite calls an operational error, and is none that passes."""
_READ_ONLY = "attempt to write a readonly"

log = logging.getLogger(__name__)


class JournalBroken(OrchestraError):
    """The journal was found damaged while it was in use: the agent must start again, which puts the file aside."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(path, cause)
        self.path = path
        self.cause = cause

    def __str__(self) -> str:
        return f"the journal {self.path} is damaged ({self.cause}): the worker starts again with a fresh one"


class _Change(Generic[T]):
    """A function that waits for its transaction, and afterwards its outcome."""

    def __init__(self, function: Callable[[sqlite3.Connection], T], *, scrub: bool) -> None:
        self.function = function
        self.scrub = scrub
        self.result: T | None = None
        self.error: Exception | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        self.result = self.function(connection)


def commit_together(connection: sqlite3.Connection, changes: Sequence[_Change[T]]) -> None:
    """Runs the changes in one transaction; if one of them fails, each gets its own, so that only the guilty one
    fails."""
    try:
        _commit(connection, changes)
    except Exception as error:  # noqa: BLE001 - whatever a change raises belongs to its own caller
        if len(changes) == 1:
            changes[0].error = error
            return
        for change in changes:
            commit_together(connection, [change])


def _commit(connection: sqlite3.Connection, changes: Sequence[_Change[T]]) -> None:
    try:
        _apply(connection, changes)
        connection.execute("commit")
    except BaseException:
        # A full disk may have rolled back by itself already.
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _apply(connection: sqlite3.Connection, changes: Sequence[_Change[T]]) -> None:
    connection.execute("begin immediate")
    for change in changes:
        change.run(connection)


_Wait = tuple[_Change[object], asyncio.Future[object]]


class _Batch:
    """Changes that share a transaction, and who waits for each."""

    def __init__(self, waits: Sequence[_Wait]) -> None:
        self.waits = waits
        self.changes = [change for change, _ in waits]
        self.is_applied = False

    def commit(self, connection: sqlite3.Connection) -> None:
        """Commits what was applied; what could not be, or finds no room now, is replayed one by one."""
        try:
            if self.is_applied:
                connection.execute("commit")
                return
        except sqlite3.Error as error:
            log.debug("journal_replays %d changes: %s", len(self.changes), error)
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("rollback")
        for change in self.changes:
            commit_together(connection, [change])


class Journal:
    """The one verb for what must survive the agent: `write`. Closed by its owner, after everyone who writes has
    ended."""

    def __init__(self, *, connection: sqlite3.Connection, path: Path, threaded: bool = True) -> None:
        self._connection = connection
        self._path = path
        self._is_scrub_due = False
        self._gathered: list[_Wait] = []
        self._is_lent = False
        """The connection is in use: the thread's, or on its way there."""
        self._applied: SimpleQueue[_Batch | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._commit_batches, name="journal") if threaded else None
        if self._thread:
            self._thread.start()

    async def write(self, function: Callable[[sqlite3.Connection], T], *, scrub: bool = False) -> T:
        """Runs the function in a transaction that others may share; what it returns is durable.

        With `scrub`, what the function deletes is soon in no byte of the files any more: as soon as nobody waits.
        Raises what the function raises, sqlite3.OperationalError (disk full; nothing was changed) and JournalBroken.
        """
        change = _Change(function, scrub=scrub)
        if self._thread is None:
            commit_together(self._connection, [change])
            self._is_scrub_due |= scrub
            self._scrub()
        else:
            loop = asyncio.get_running_loop()
            done: asyncio.Future[object] = loop.create_future()
            self._gathered.append((change, done))  # type: ignore[arg-type]  # changes of many result types
            if not self._is_lent:
                self._is_lent = True
                # In the loop's next turn, so that who is about to write in this one shares the commit.
                loop.call_soon(self._apply_gathered)
            await done
        if change.error is not None:
            raise self._translated(change.error)
        return change.result  # type: ignore[return-value]  # it has run, so it is a T

    def close(self) -> None:
        """Waits for what was asked, then closes the file."""
        if self._thread:
            self._applied.put(None)
            self._thread.join()
            gathered, self._gathered = self._gathered, []
            if gathered:
                commit_together(self._connection, [change for change, _ in gathered])
        self._connection.close()

    def _translated(self, error: Exception) -> Exception:
        return JournalBroken(self._path, str(error)) if _tells_of_damage(error) else error

    # --- on the loop ---

    def _apply_gathered(self) -> None:
        waits = self._gathered[:BATCH_CHANGES_MAX]
        del self._gathered[:BATCH_CHANGES_MAX]
        self._is_lent = bool(waits)
        if not waits:
            return
        batch = _Batch(waits)
        try:
            _apply(self._connection, batch.changes)
            batch.is_applied = True
        except Exception as error:  # noqa: BLE001 - the thread comes to it again, and gives it to its own caller
            log.debug("journal_not_applied: %s", error)
        self._applied.put(batch)

    def _settle(self, waits: Sequence[_Wait]) -> None:
        for _, done in waits:
            if not done.done():
                done.set_result(None)

    # --- in the thread ---

    def _commit_batches(self) -> None:
        while (batch := self._applied.get()) is not None:
            batch.commit(self._connection)
            self._is_scrub_due |= any(change.scrub for change in batch.changes)
            # One call into the loop for the whole batch: each costs a wake-up.
            if self._is_scrub_due and not self._gathered:
                self._call_loop(batch, self._settle, batch.waits)
                self._scrub()
                self._call_loop(batch, self._apply_gathered)
            else:
                self._call_loop(batch, self._go_on, batch.waits)

    def _go_on(self, waits: Sequence[_Wait]) -> None:
        self._settle(waits)
        self._apply_gathered()

    def _call_loop(self, batch: _Batch, function: Callable[[Unpack[Ts]], None], *arguments: *Ts) -> None:
        try:
            batch.waits[0][1].get_loop().call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            log.debug("journal_answer_unheard: the loop has ended")

    def _scrub(self) -> None:
        if self._is_scrub_due:
            # One that fails is due again behind the next change.
            self._is_scrub_due = not _empty_wal(self._connection)


def open_journal(
    path: Path, *, now: Instant, is_broken: bool = False, threaded: bool = True
) -> tuple[Journal, Path | None]:
    """Opens or makes the journal.

    A file that is damaged (`is_broken`: it was found so while in use), or that a newer version wrote, stops no worker:
    it is put aside and its new place is the second value. Raises sqlite3.OperationalError if not even a fresh file can
    be made.
    """
    aside = None
    try:
        if is_broken:
            raise sqlite3.DatabaseError("it broke while it was in use")
        connection = _connect(path)
    except (sqlite3.DatabaseError, UnicodeDecodeError, _NewerVersion) as cause:
        if not (isinstance(cause, _NewerVersion) or _tells_of_damage(cause) or str(cause).startswith(_READ_ONLY)):
            raise  # A full disk or a lock says nothing against the file: putting it aside would throw good runs away.
        aside = _put_aside(path, now)
        log.error("journal_put_aside: %s was unusable (%s), it is now %s", path, cause, aside)
        connection = _connect(path)
    return Journal(connection=connection, path=path, threaded=threaded), aside


def _tells_of_damage(error: Exception) -> bool:
    match error:
        case UnicodeDecodeError():
            return True  # SQLite quotes what it has found, and what it has found is no text.
        case sqlite3.OperationalError():
            return str(error).startswith(_CONTENT_IS_BAD)
        case sqlite3.IntegrityError() | sqlite3.ProgrammingError() | sqlite3.DataError():
            return False
    return isinstance(error, sqlite3.DatabaseError)


def _empty_wal(connection: sqlite3.Connection) -> bool:
    """Moves everything into the file, whose free places are zeros; the log would keep older pages with their
    secrets."""
    try:
        (was_busy, _, _) = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
    except sqlite3.Error as error:
        log.warning("journal_not_scrubbed: %s", error)
        return False
    return not was_busy


class _NewerVersion(Exception):
    def __init__(self, version: int) -> None:
        super().__init__(f"version {version}, this program knows {JOURNAL_VERSION}")


def _connect(path: Path) -> sqlite3.Connection:
    # Made before SQLite does, so that the secrets in it are never readable for others, the WAL (same mode) included.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
    try:
        path.chmod(0o600)
        # The folder has one agent. Without shared memory and locks, a commit needs half as many calls.
        connection.execute("pragma locking_mode = exclusive")
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute("pragma secure_delete = on")
        (verdict,) = connection.execute("pragma quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        (version,) = connection.execute("pragma user_version").fetchone()
        if version > JOURNAL_VERSION:
            raise _NewerVersion(version)
        if version == 0:
            connection.executescript(f"begin immediate; {_TABLES} pragma user_version = {JOURNAL_VERSION}; commit;")
        elif version < JOURNAL_VERSION:
            connection.execute(f"pragma user_version = {JOURNAL_VERSION}")
        for table in ("attempts", "steps", "events"):
            connection.execute(f"select * from {table} limit 1")  # noqa: S608 - our own three names
        _empty_wal(connection)  # A scrub may have been due when the last agent ended.
    except BaseException:
        connection.close()
        raise
    return connection


def _put_aside(path: Path, now: Instant) -> Path:
    aside = path.with_name(f"{path.name}.broken-{now}")
    for suffix in ("-wal", "-shm"):
        side = path.with_name(path.name + suffix)
        if side.exists():
            side.replace(aside.with_name(aside.name + suffix))
    path.replace(aside)
    return aside
