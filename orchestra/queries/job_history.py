"""The newest runs of many jobs at once: strips of states, streaks of failures, and how long a job usually takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

import msgspec
from sqlalchemy import Connection, Row, Select, func, select, true

from orchestra.lifecycle import TERMINAL_STATES, RunState
from orchestra.queries.addresses import moment
from orchestra.storage.paging import KEY_MAX
from orchestra.storage.tables import jobs, runs

STRIP_RUNS = 10
USUAL_RUNS = 20
"""How many runs tell what is usual."""
_JOBS_AT_ONCE = 1000
FAILURES = frozenset({RunState.FAILED, RunState.EXCEPTION})
VERDICTS = FAILURES | {RunState.SUCCEEDED}
"""What a run says of its job; one that was stopped, withdrawn or skipped says nothing."""


class RunMark(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as small as a strip or a plot needs it."""

    id: int
    state: RunState
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def seconds(self) -> float | None:
        """How long it took; None unless it has started and ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True, kw_only=True, slots=True)
class Usual:
    """How long a job takes, by its last runs that succeeded."""

    seconds: float
    """The middle one."""
    long_seconds: float
    """What 19 of 20 stay below."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Streak:
    """The failures since a job last succeeded."""

    count: int
    since: datetime
    newest: RunMark
    is_longer: bool
    """It goes back further than was looked."""


def newest_marks(
    connection: Connection, job_ids: Sequence[int], count: int, *, settled: bool = False
) -> dict[int, tuple[RunMark, ...]]:
    """The newest runs of each of these jobs, the newest first: one probe of an index for each, however long the past.

    A job without runs is not in it. `settled`: only runs before the oldest one that is not over, so that a long queue
    does not stand before the last verdict.
    """
    found: dict[int, list[RunMark]] = {}
    for start in range(0, len(job_ids), _JOBS_AT_ONCE):
        for row in connection.execute(_newest(connection, job_ids[start : start + _JOBS_AT_ONCE], count, settled)):
            found.setdefault(row.job_id, []).append(_mark(row))
    return {job: tuple(sorted(marks, key=lambda mark: -mark.id)) for job, marks in found.items()}


def _newest(
    connection: Connection, job_ids: Sequence[int], count: int, settled: bool
) -> Select[tuple[int, int, str, int, int]]:
    newest = select(runs.c.id).where(runs.c.job_id == jobs.c.id).order_by(runs.c.id.desc()).limit(count)
    if settled:
        still_open = runs.alias("still_open")
        oldest = select(func.coalesce(func.min(still_open.c.id), KEY_MAX)).where(
            still_open.c.job_id == jobs.c.id, still_open.c.ended_at.is_(None)
        )
        newest = newest.where(runs.c.id < oldest.correlate(jobs).scalar_subquery())
    columns = (runs.c.id, runs.c.job_id, runs.c.state, runs.c.started_at, runs.c.ended_at)
    if connection.dialect.name == "sqlite":
        by_key = runs.c.id.in_(newest.correlate(jobs))
        return select(*columns).select_from(jobs.join(runs, by_key)).where(jobs.c.id.in_(job_ids))
    # PostgreSQL would test every run against the inner query; SQLite has no LATERAL, and goes by the key itself.
    each = newest.with_only_columns(*columns).correlate(jobs).lateral("newest")
    return (
        select(each.c.id, each.c.job_id, each.c.state, each.c.started_at, each.c.ended_at)
        .select_from(jobs.join(each, true()))
        .where(jobs.c.id.in_(job_ids))
    )


def usual_of(marks: Sequence[RunMark]) -> Usual | None:
    """How long it usually takes; None if none of these runs succeeded."""
    lengths = sorted(mark.seconds for mark in marks if mark.state is RunState.SUCCEEDED and mark.seconds is not None)
    if not lengths:
        return None
    return Usual(seconds=median(lengths), long_seconds=lengths[math.ceil(0.95 * len(lengths)) - 1])


def streak_of(marks: Sequence[RunMark], looked: int) -> Streak | None:
    """The streak of failures that the newest runs (at most `looked`) begin with; None if the last verdict is good."""
    verdicts = [mark for mark in marks if mark.state in VERDICTS]
    failures: list[RunMark] = []
    for mark in verdicts:
        if mark.state not in FAILURES:
            break
        failures.append(mark)
    if not failures or failures[-1].ended_at is None:
        return None
    is_longer = len(failures) == len(verdicts) and len(marks) >= looked
    return Streak(count=len(failures), since=failures[-1].ended_at, newest=failures[0], is_longer=is_longer)


def success_text(marks: Sequence[RunMark]) -> str:
    """`8 of 10 succeeded`: of those that are over."""
    over = [mark for mark in marks if mark.state in TERMINAL_STATES]
    if not over:
        return "none is over yet" if marks else "never run"
    return f"{sum(mark.state is RunState.SUCCEEDED for mark in over)} of {len(over)} succeeded"


def _mark(row: Row[tuple[object, ...]]) -> RunMark:
    return RunMark(
        id=row.id, state=RunState(row.state), started_at=moment(row.started_at), ended_at=moment(row.ended_at)
    )
