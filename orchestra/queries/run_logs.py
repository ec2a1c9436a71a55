"""How much log a run has: readers serve a log only up to what is committed."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from orchestra.errors import NotFound
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import TERMINAL_STATES, AttemptState, RunState
from orchestra.policy import Principal
from orchestra.queries.runs import project_of_run
from orchestra.storage.tables import attempts, runs


@dataclass(frozen=True, kw_only=True, slots=True)
class LogExtent:
    """The committed log of one attempt."""

    attempt: AttemptNumber
    length: int
    is_complete: bool
    """Whether the attempt is over, so that nothing more comes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLogs:
    """The logs of a run, oldest attempt first; offers that never ran have none."""

    run: RunId
    is_over: bool
    extents: tuple[LogExtent, ...]

    @property
    def newest(self) -> LogExtent:
        """The newest attempt's; an empty one before the first."""
        if not self.extents:
            return LogExtent(attempt=AttemptNumber(0), length=0, is_complete=self.is_over)
        return self.extents[-1]

    def of(self, attempt: AttemptNumber) -> LogExtent:
        """The one of this attempt; raises NotFound."""
        for extent in self.extents:
            if extent.attempt == attempt:
                return extent
        raise NotFound("attempt", attempt)


def logs_of_run(connection: Connection, who: Principal, run: RunId) -> RunLogs:
    """What may be read of a run's logs; raises NotFound."""
    project_of_run(connection, who, run)
    state = connection.execute(select(runs.c.state).where(runs.c.id == run)).scalar_one()
    rows = connection.execute(
        select(attempts.c.number, attempts.c.log_length, attempts.c.ended_at)
        .where(attempts.c.run_id == run, attempts.c.state != AttemptState.WITHDRAWN)
        .order_by(attempts.c.number)
    )
    return RunLogs(
        run=run,
        is_over=RunState(state) in TERMINAL_STATES,
        extents=tuple(
            LogExtent(attempt=AttemptNumber(row.number), length=row.log_length, is_complete=row.ended_at is not None)
            for row in rows
        ),
    )
