"""One SQLite file with its connections: the batch, the read and the checkpoint as plain functions."""

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from orchestra.errors import DatabaseAway, OutcomeUnknown
from orchestra.limits import SQLITE_BUSY_SECONDS_MAX, SQLITE_WAL_BYTES
from orchestra.storage.prepared import execute_text
from orchestra.storage.transaction import Failure, Replay, Waiting, apply_all

T = TypeVar("T")

# Faults of the disk or of another program, not of the statement.
_AWAY_CODES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)


class SqliteFile:
    """A file with one writing connection, which alone checkpoints, and reading connections that cannot write.

    SQLite before 3.51.3 can corrupt the file when two connections write or checkpoint at once: so there is one of these
    per file, and `commit`, `tidy` and `close` are called from one thread at a time. `read` may be called from others.
    """

    def __init__(self, *, path: Path, readers: int) -> None:
        self.address = str(path)
        self._wal = path.with_name(path.name + "-wal")
        self._writing = _engine(path, is_reader=False, connections=1)
        self._reading = _engine(path, is_reader=True, connections=readers)
        self._connection: Connection | None = None
        self.is_kept_out = False
        """The last batch could not begin: another program has the file locked."""

    def commit(self, changes: Sequence[Waiting]) -> None:
        """Applies the changes in as few transactions as it takes; each then has its value or its error."""
        replay = Replay(changes)
        while segment := replay.next():
            if failure := self._commit_together(segment):
                replay.failed(segment, failure)

    def read(self, query: Callable[[Connection], T]) -> T:
        """Runs the query on one snapshot."""
        try:
            with self._reading.connect() as connection:
                return query(connection)
        except DBAPIError as error:
            # A query that tries to write is at fault itself.
            explained = error if _code(error) == sqlite3.SQLITE_READONLY else self._explained(error)
            raise explained from error.__cause__

    def tidy(self) -> None:
        """Empties a write-ahead log that readers have let grow; called when there is nothing else to do."""
        with contextlib.suppress(OSError):
            if self._wal.stat().st_size > SQLITE_WAL_BYTES:
                self._checkpoint()

    def close(self) -> None:
        """Lets all connections go, the writing one last."""
        self._reading.dispose()
        self._drop_connection()
        self._writing.dispose()

    def _commit_together(self, segment: Sequence[Waiting]) -> Failure | None:
        try:
            connection = self._connect()
            transaction = connection.begin()
            self.is_kept_out = False
        except DBAPIError as error:
            self.is_kept_out = _code(error) == sqlite3.SQLITE_BUSY
            # Without a transaction none of them could do better alone.
            for change in segment:
                change.fail(self._explained(error))
            return None
        failure = apply_all(connection, segment)
        if failure is None:
            try:
                transaction.commit()
            except DBAPIError as error:
                failure = Failure(index=None, error=_after_commit(self._explained(error), error))
            else:
                return None
        try:
            transaction.rollback()
        except DBAPIError:
            self._drop_connection()
        if isinstance(failure.error, DBAPIError):
            return Failure(index=failure.index, error=self._explained(failure.error))
        return failure

    def _checkpoint(self) -> None:
        """Writes the log back and cuts it off, unless a reader is in the way: then another time."""
        with contextlib.suppress(DBAPIError):
            raw = self._connect().connection
            raw.cursor().execute("PRAGMA busy_timeout=0")
            try:
                raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                raw.cursor().execute(_BUSY_TIMEOUT)

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._writing.connect()
        return self._connection

    def _drop_connection(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(DBAPIError):
                self._connection.invalidate()
                self._connection.close()
            self._connection = None

    def _explained(self, error: DBAPIError) -> DBAPIError | DatabaseAway:
        """The error as our own if the disk is at fault; as it is if the statement is."""
        return DatabaseAway(self.address, str(error.orig)) if _code(error) in _AWAY_CODES else error


_BUSY_TIMEOUT = f"PRAGMA busy_timeout={round(SQLITE_BUSY_SECONDS_MAX * 1000)}"


def sqlite_engine(path: Path, *, pragmas: Sequence[str], begin: str, connections: int) -> Engine:
    """An engine that sends exactly these pragmas and this BEGIN, instead of what the driver would think of."""
    engine = create_engine(
        f"sqlite:///{path}",
        pool_size=connections,
        max_overflow=0,
        connect_args={"check_same_thread": False, "isolation_level": None},
    )

    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for pragma in (_BUSY_TIMEOUT, "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", *pragmas):
            cursor.execute(pragma)
        cursor.close()

    def begin_as_told(connection: Connection) -> None:
        execute_text(connection, begin)

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin_as_told)
    return engine


def _engine(path: Path, *, is_reader: bool, connections: int) -> Engine:
    pragmas = ["PRAGMA foreign_keys=ON", "PRAGMA mmap_size=0", f"PRAGMA journal_size_limit={SQLITE_WAL_BYTES}"]
    if is_reader:
        pragmas += ["PRAGMA query_only=ON", "PRAGMA wal_autocheckpoint=0"]
    # A deferred BEGIN that turns into a writer fails at once when another one is at work: the writer says so first.
    return sqlite_engine(
        path, pragmas=pragmas, begin="BEGIN" if is_reader else "BEGIN IMMEDIATE", connections=connections
    )


def _code(error: DBAPIError) -> int | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def _after_commit(
    explained: DBAPIError | DatabaseAway, error: DBAPIError
) -> DBAPIError | DatabaseAway | OutcomeUnknown:
    # A failed sync may have left the commit on the disk, where a restart would find it.
    return OutcomeUnknown() if _code(error) == sqlite3.SQLITE_IOERR else explained
