"""The one connection by which a process changes PostgreSQL: batches, conflicts, and what a lost connection means."""

import asyncio
import contextlib
from collections.abc import Sequence

from sqlalchemy import URL, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestra.errors import OutcomeUnknown
from orchestra.limits import DATABASE_CONFLICT_SECONDS, DATABASE_RETRY_SECONDS, DATABASE_TRIES_MAX
from orchestra.storage.notifications import CHANNEL, encode
from orchestra.storage.postgres_errors import away_by, away_from, is_conflict, is_lost, is_standby
from orchestra.storage.transaction import Failure, Replay, Waiting, apply_all

_NOTIFY = text("select pg_notify(:channel, line) from unnest(cast(:lines as text[])) as line")


class _Lost(Exception):
    """The connection was lost before the commit: nothing was changed."""


class _LostInCommit(Exception):
    """The connection was lost while the commit was under way."""


class PostgresWriter:
    """Applies batches of changes, one batch at a time, and signals them in the same transaction."""

    def __init__(self, *, engine: AsyncEngine, address: URL, name: str, notify: bool) -> None:
        self._engine = engine
        self._address = address
        self._name = name
        self._notify = notify
        self._connection: AsyncConnection | None = None

    async def commit(self, changes: Sequence[Waiting]) -> None:
        """Applies the changes in as few transactions as it takes; each then has its value or its error."""
        replay = Replay(changes)
        tries = 1
        while segment := replay.next():
            try:
                failure = await self._commit_together(segment)
            except _LostInCommit:
                for change in segment:
                    change.fail(OutcomeUnknown())
                continue
            except _Lost as lost:
                if tries >= DATABASE_TRIES_MAX:
                    for change in (*segment, *replay.rest()):
                        change.fail(self._away(lost))
                    return
                replay.again(segment)
                await asyncio.sleep(DATABASE_RETRY_SECONDS * 2 ** (tries - 1))
                tries += 1
                continue
            if failure is None:
                tries = 1
            elif len(segment) == 1 and is_conflict(failure.error) and tries < DATABASE_TRIES_MAX:
                replay.again(segment)
                await asyncio.sleep(DATABASE_CONFLICT_SECONDS * 2 ** (tries - 1))
                tries += 1
            else:
                replay.failed(segment, self._explained(failure))

    async def close(self) -> None:
        """Lets the connection go."""
        if self._connection is not None:
            with contextlib.suppress(SQLAlchemyError, OSError):
                await self._connection.close()
            self._connection = None

    async def _commit_together(self, segment: Sequence[Waiting]) -> Failure | None:
        """One transaction; raises _Lost or _LostInCommit."""
        try:
            connection = await self._connect()
            transaction = await connection.begin()
            failure = await connection.run_sync(apply_all, segment)
            if failure is None and self._notify:
                await self._signal(connection, segment)
        except Exception as error:
            await self._drop_connection()
            raise _Lost from error
        if failure is not None and (is_lost(failure.error) or is_standby(failure.error)):
            await self._drop_connection()
            raise _Lost from failure.error
        if failure is None:
            try:
                await transaction.commit()
            except Exception as error:
                await self._drop_connection()
                if is_lost(error):
                    raise _LostInCommit from error
                return Failure(index=None, error=error)
            return None
        try:
            await transaction.rollback()
        except Exception:  # noqa: BLE001 — whatever it was, a new connection begins without this transaction
            await self._drop_connection()
        return failure

    async def _signal(self, connection: AsyncConnection, segment: Sequence[Waiting]) -> None:
        lines = sorted({encode(self._name, signal) for change in segment for signal in change.signals})
        if lines:
            await connection.execute(_NOTIFY, {"channel": CHANNEL, "lines": lines})

    async def _connect(self) -> AsyncConnection:
        if self._connection is None:
            self._connection = await self._engine.connect()
        return self._connection

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError, OSError):
                await connection.invalidate()
            with contextlib.suppress(SQLAlchemyError, OSError):
                await connection.close()

    def _away(self, lost: _Lost) -> BaseException:
        cause = lost.__cause__
        assert cause is not None
        return away_by(self._address, cause)

    def _explained(self, failure: Failure) -> Failure:
        away = away_from(self._address, failure.error)
        return Failure(index=failure.index, error=away) if away else failure
