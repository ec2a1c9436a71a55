"""Notices runs that are expected and do not start: each is missed once, however many masters look."""

from sqlalchemy import Connection

from orchestra.clock import Instant, seconds_between
from orchestra.cron.expected import Watched, comes_for, counted_from, look
from orchestra.limits import BATCH_CHANGES_MAX
from orchestra.storage.database import Topic
from orchestra.storage.expectations import (
    ExpectationRecord,
    MissedRun,
    Start,
    add_missed_run,
    due_looks,
    expectation_of,
    move_look,
    newest_starts,
    next_look_at,
    open_missed_runs,
    recover,
)
from orchestra_master.parts import MasterParts


class ExpectationWatch:
    """A duty: it sleeps until the next job must be looked at; what is missed is looked at with each safety net."""

    name = "expectation watch"
    topics: tuple[Topic, ...] = (Topic.DUE,)

    def __init__(self, *, parts: MasterParts) -> None:
        self._parts = parts

    async def run_once(self) -> float:
        """Looks at every job whose time has come, and whether what was missed has come after all."""
        database, now = self._parts.database, self._parts.clock.now()
        if await database.read(_that_came):
            await database.write(lambda connection: _recover_all(connection, now))
        dues = await database.read(lambda connection: due_looks(connection, now=now, limit=BATCH_CHANGES_MAX))
        if dues:
            await database.write(lambda connection: _look_at_all(connection, dues, now))
        if len(dues) == BATCH_CHANGES_MAX:
            return 0.0
        coming, poll_seconds = await database.read(next_look_at), self._parts.poll_seconds
        return poll_seconds if coming is None else min(poll_seconds, max(0.0, seconds_between(now, coming)))


def _look_at_all(connection: Connection, dues: list[ExpectationRecord], now: Instant) -> None:
    for due in dues:
        assert due.look_at is not None, "that is why it is due"
        starts = newest_starts(connection, due.job_id)
        watched = Watched(
            expectation=due.specification,
            since=due.since,
            last_start=starts[0].at if starts else None,
            look_at=due.look_at,
        )
        outlook = look(watched, now)
        if move_look(connection, due, outlook.look_at) and outlook.missed is not None:
            add_missed_run(
                connection, due.job_id, due_at=outlook.missed, counted_from=counted_from(watched), missed_at=now
            )


def _recover_all(connection: Connection, now: Instant) -> None:
    for missed in _that_came(connection):
        # Again, in the transaction that writes it down.
        record, came = expectation_of(connection, missed.job_id), _came(connection, missed)
        if came and recover(connection, missed, came[-1]) and record is not None and record.look_at is None:
            # From the last run on the next one is expected, and looked for at once.
            move_look(connection, record, now)


def _that_came(connection: Connection) -> list[MissedRun]:
    return [missed for missed in open_missed_runs(connection) if _came(connection, missed)]


def _came(connection: Connection, missed: MissedRun) -> list[Start]:
    """The runs that came since, the last one first."""
    record = expectation_of(connection, missed.job_id)
    if record is None:
        return []
    starts = newest_starts(connection, missed.job_id)
    return [start for start in starts if comes_for(record.specification, start.at, missed.due_at)]
