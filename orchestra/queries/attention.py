"""What needs a person now: jobs in quarantine, failing ones, missed runs, late schedules, long waits, absent workers.

Every reading probes an index once for each job, schedule or worker, so it costs the same however long the history is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Row, Select, func, or_, select

from orchestra.clock import Instant, after
from orchestra.lifecycle import RunState, WorkerState
from orchestra.limits import BEFORE_COUNT_MAX, LATE_SECONDS, LONG_WAIT_SECONDS
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import moment
from orchestra.queries.expectations import MissedJob, missed_jobs
from orchestra.queries.job_history import VERDICTS, RunMark, Streak, newest_marks, streak_of
from orchestra.queries.quarantined import QuarantinedJob, quarantined_jobs
from orchestra.queries.visibility import within
from orchestra.queries.waiting_facts import waiting_of
from orchestra.queries.worker_facts import WorkerFacts, all_workers
from orchestra.storage.due_schedules import is_not_paused
from orchestra.storage.tables import jobs, projects, runs, schedule_ticks, schedules

SHOWN_MAX = 10
"""Of each kind; the rest is counted."""
_GLANCE_RUNS = 5
_STREAK_RUNS = 50
_TICKS_LOOKED = 20
_DAY_SECONDS = 86_400.0
MISSED = "skipped: missed"


class FailingJob(msgspec.Struct, frozen=True, kw_only=True):
    """An enabled job whose last verdict is bad."""

    project: str
    job: str
    failures: int
    """Since it last succeeded."""
    at_least: bool
    """The streak goes back further than was looked."""
    since: datetime
    run: int
    """The newest that failed."""
    state: RunState
    reason: str


class LateSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """An enabled schedule whose instant passed without a decision (late), or was missed within the last day."""

    project: str
    job: str
    kind: str
    due_at: datetime


class WaitingJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job with a run that waits for long."""

    project: str
    job: str
    run: int
    """The one that waits longest."""
    since: datetime
    runs: int
    """How many of the job's runs wait, at most 100."""
    reasons: tuple[str, ...]


class AbsentWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that ought to be there, or that a person must look at."""

    name: str
    state: WorkerState
    last_contact_at: datetime | None
    runs: int
    """What it had when it was last heard of, as far as this person may see."""
    reason: str


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that needs a person; each list is cut at ten, its total is whole."""

    checked_at: datetime
    quarantined: tuple[QuarantinedJob, ...]
    quarantined_total: int
    failing: tuple[FailingJob, ...]
    failing_total: int
    missed: tuple[MissedJob, ...]
    missed_total: int
    schedules: tuple[LateSchedule, ...]
    schedules_total: int
    waiting: tuple[WaitingJob, ...]
    waiting_total: int
    workers: tuple[AbsentWorker, ...]
    workers_total: int

    @property
    def is_calm(self) -> bool:
        """Whether nothing needs anybody."""
        return not (self.quarantined or self.failing or self.missed or self.schedules or self.waiting or self.workers)


def show_attention(
    connection: Connection, who: Principal, *, now: Instant, fleet: Sequence[WorkerFacts] | None = None
) -> Attention:
    """What needs a person, as far as this one may see it; `fleet` if it is known already."""
    workers = all_workers(connection, who) if fleet is None else fleet
    rows = connection.execute(_jobs(who)).all()
    quarantined = quarantined_jobs(connection, who)
    failing = _failing(connection, [row for row in rows if row.enabled and row.disabled_by is None])
    schedules_found = _late(connection, who, now)
    missed = missed_jobs(connection, who)
    # What waits of a job in quarantine is counted there.
    waiting = [row for row in rows if row.pending is not None and row.quarantined_at is None]
    waiting_long = _waiting_long(connection, waiting, now)
    absent = _absent(workers, now)
    return Attention(
        checked_at=moment(now),
        quarantined=tuple(quarantined[:SHOWN_MAX]),
        quarantined_total=len(quarantined),
        failing=_with_reasons(connection, failing[:SHOWN_MAX]),
        failing_total=len(failing),
        missed=tuple(missed[:SHOWN_MAX]),
        missed_total=len(missed),
        schedules=tuple(schedules_found[:SHOWN_MAX]),
        schedules_total=len(schedules_found),
        waiting=_explained(connection, who, waiting_long[:SHOWN_MAX], workers, now),
        waiting_total=len(waiting_long),
        workers=tuple(absent[:SHOWN_MAX]),
        workers_total=len(absent),
    )


def failing_jobs(connection: Connection, job_ids: Sequence[int]) -> dict[int, Streak]:
    """Those of the jobs whose last verdict is bad, with the streak."""
    glance = newest_marks(connection, job_ids, _GLANCE_RUNS)
    unclear = [job for job, marks in glance.items() if len(marks) == _GLANCE_RUNS and _verdict(marks) is None]
    glance |= newest_marks(connection, unclear, _GLANCE_RUNS, settled=True)
    bad = [job for job, marks in glance.items() if streak_of(marks, _GLANCE_RUNS) is not None]
    whole = newest_marks(connection, [job for job in bad if job not in unclear], _STREAK_RUNS)
    whole |= newest_marks(connection, [job for job in bad if job in unclear], _STREAK_RUNS, settled=True)
    streaks = {job: streak_of(marks, _STREAK_RUNS) for job, marks in whole.items()}
    return {job: streak for job, streak in streaks.items() if streak is not None}


def _verdict(marks: Sequence[RunMark]) -> RunState | None:
    return next((mark.state for mark in marks if mark.state in VERDICTS), None)


def _jobs(who: Principal) -> Select[tuple[int, str, str, bool, str, int, int]]:
    pending = (
        select(func.min(runs.c.id))
        .where(runs.c.job_id == jobs.c.id, runs.c.ended_at.is_(None), runs.c.state == RunState.PENDING)
        .scalar_subquery()
    )
    return (
        select(
            jobs.c.id,
            projects.c.name.label("project"),
            jobs.c.name.label("job"),
            jobs.c.enabled,
            jobs.c.disabled_by,
            jobs.c.quarantined_at,
            pending.label("pending"),
        )
        .join(projects, projects.c.id == jobs.c.project_id)
        .where(or_(jobs.c.retired_at.is_(None), pending.is_not(None)))
        .where(*within(who.scope(Permission.READ), jobs.c.project_id))
    )


_Rows = Sequence[Row[tuple[int, str, str, bool, str, int, int]]]


def _failing(connection: Connection, rows: _Rows) -> list[tuple[str, str, Streak]]:
    """By the newest failure first: what broke just now is what people look for."""
    names = {row.id: (row.project, row.job) for row in rows}
    found = [(*names[job], streak) for job, streak in failing_jobs(connection, list(names)).items()]
    return sorted(found, key=lambda each: -each[2].newest.id)


def _with_reasons(connection: Connection, failing: Sequence[tuple[str, str, Streak]]) -> tuple[FailingJob, ...]:
    ids = [streak.newest.id for _, _, streak in failing]
    query = select(runs.c.id, runs.c.reason).where(runs.c.id.in_(ids))
    reasons = {row.id: row.reason for row in connection.execute(query)}
    return tuple(
        FailingJob(
            project=project,
            job=job,
            failures=streak.count,
            at_least=streak.is_longer,
            since=streak.since,
            run=streak.newest.id,
            state=streak.newest.state,
            reason=reasons[streak.newest.id],
        )
        for project, job, streak in failing
    )


def _late(connection: Connection, who: Principal, now: Instant) -> list[LateSchedule]:
    newest = (
        select(schedule_ticks.c.due_at, schedule_ticks.c.decision)
        .where(schedule_ticks.c.schedule_id == schedules.c.id, schedule_ticks.c.due_at >= after(now, -_DAY_SECONDS))
        .order_by(schedule_ticks.c.due_at.desc())
        .limit(_TICKS_LOOKED)
        .correlate(schedules)
        .subquery()
    )
    missed = select(func.max(newest.c.due_at)).where(newest.c.decision == MISSED).scalar_subquery()
    query = (
        select(
            projects.c.name.label("project"),
            jobs.c.name.label("job"),
            schedules.c.next_fire_at,
            missed.label("missed_at"),
        )
        .join(jobs, jobs.c.id == schedules.c.job_id)
        .join(projects, projects.c.id == jobs.c.project_id)
        .where(schedules.c.enabled, schedules.c.retired_at.is_(None), is_not_paused(now))
        .where(jobs.c.enabled, jobs.c.disabled_by.is_(None), jobs.c.retired_at.is_(None))
        .where(*within(who.scope(Permission.READ), jobs.c.project_id))
    )
    late_since = after(now, -LATE_SECONDS)
    found = []
    for row in connection.execute(query):
        is_late = row.next_fire_at is not None and row.next_fire_at <= late_since
        due_at = row.next_fire_at if is_late else row.missed_at
        if due_at is not None:
            kind = "late" if is_late else "missed"
            found.append(LateSchedule(project=row.project, job=row.job, kind=kind, due_at=moment(due_at)))
    return sorted(found, key=lambda each: (each.kind, each.due_at))


@dataclass(frozen=True, slots=True)
class _LongWait:
    """A job's longest waiting run."""

    project: str
    job: str
    run: int
    job_id: int
    pending_at: int


def _waiting_long(connection: Connection, rows: _Rows, now: Instant) -> list[_LongWait]:
    """The longest waiting first."""
    names = {row.pending: (row.project, row.job) for row in rows}
    query = select(runs.c.id, runs.c.job_id, runs.c.pending_at).where(
        runs.c.id.in_(names), runs.c.pending_at <= after(now, -LONG_WAIT_SECONDS)
    )
    found = connection.execute(query).all()
    return [
        _LongWait(*names[row.id], row.id, row.job_id, row.pending_at)
        for row in sorted(found, key=lambda row: row.pending_at)
    ]


def _explained(
    connection: Connection,
    who: Principal,
    waiting: Sequence[_LongWait],
    fleet: Sequence[WorkerFacts],
    now: Instant,
) -> tuple[WaitingJob, ...]:
    found = []
    for wait in waiting:
        view = waiting_of(connection, who, wait.run, now=now, fleet=fleet)
        assert view is not None, "it is pending"
        many = (
            select(runs.c.id)
            .where(runs.c.job_id == wait.job_id, runs.c.ended_at.is_(None), runs.c.state == RunState.PENDING)
            .limit(BEFORE_COUNT_MAX)
        )
        found.append(
            WaitingJob(
                project=wait.project,
                job=wait.job,
                run=wait.run,
                since=moment(wait.pending_at),
                runs=connection.execute(select(func.count()).select_from(many.subquery())).scalar_one(),
                reasons=view.reasons,
            )
        )
    return tuple(found)


def _absent(fleet: Sequence[WorkerFacts], now: Instant) -> list[AbsentWorker]:
    found = []
    for worker in fleet:
        is_lost = worker.state in (WorkerState.ONLINE, WorkerState.DRAINING) and not worker.is_connected(now)
        if is_lost or worker.state is WorkerState.QUARANTINED:
            found.append(
                AbsentWorker(
                    name=worker.name,
                    state=worker.state,
                    last_contact_at=moment(worker.last_contact_at),
                    runs=len(worker.runs),
                    reason=worker.reason,
                )
            )
    return found
