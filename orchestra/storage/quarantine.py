"""Jobs that destroy what executes them: after too many lost attempts nothing of them starts until a person says so."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, literal_column, select, update

from orchestra.clock import Instant, after, rfc3339
from orchestra.durations import format_duration
from orchestra.identifiers import JobId, RunId
from orchestra.policies import PoisonGuard
from orchestra.specification import RetryCause
from orchestra.storage.database import Signal, Topic, announce
from orchestra.storage.prepared import PreparedQuery
from orchestra.storage.tables import attempts, jobs, projects, runs


class Quarantine(NamedTuple):
    """That nothing of a job starts."""

    project: str
    job: str
    since: Instant
    reason: str
    """By what: `2 attempts were lost within 1h: #12, #15 attempt 2`."""

    @property
    def words(self) -> str:
        """For who wonders why runs of the job wait: by what, since when, and the repair."""
        name = f"{self.project}/{self.job}"
        return (
            f"job {name} is in quarantine since {rfc3339(self.since)}: {self.reason}; "
            f"release it with 'orchestra job release {name}'"
        )


def quarantine_if_poison(connection: Connection, run: RunId, guard: PoisonGuard, *, now: Instant) -> Quarantine | None:
    """An attempt of this run was lost, which is stored already: puts its job into quarantine if it was one too many.

    None if it did not.
    """
    job = _JOB.first(connection, {"run": run})
    assert job is not None, "runs are never deleted"
    if job.quarantined_at is not None:
        return None
    since = max(after(now, -guard.within_seconds), Instant(job.trusted_at or 0))
    lost = lost_attempts(connection, JobId(job.id), since, limit=guard.lost)
    if len(lost) < guard.lost:
        return None
    named = ", ".join(f"#{each.run_id}" + (f" attempt {each.number}" if each.number > 1 else "") for each in lost[::-1])
    were = "attempt was" if len(lost) == 1 else "attempts were"
    words = f"{len(lost)} {were} lost within {format_duration(guard.within_seconds)}: {named}"
    connection.execute(update(jobs).where(jobs.c.id == job.id).values(quarantined_at=now, quarantine_reason=words))
    # Pages of whatever waits of it say why at once, and what waits at workers is taken back.
    announce(connection, Signal(Topic.RUN), Signal(Topic.STOPS))
    return Quarantine(project=job.project, job=job.name, since=now, reason=words)


class LostAttempt(NamedTuple):
    """An attempt whose end nobody knows."""

    run_id: int
    number: int


def lost_attempts(connection: Connection, job: JobId, since: Instant, *, limit: int) -> list[LostAttempt]:
    """The job's that were lost since then, the newest first."""
    return _LOST.all(connection, {"job": job, "since": since, "most": limit})


def quarantine_of(connection: Connection, job: JobId) -> Quarantine | None:
    """The quarantine that the job is in, or None."""
    row = connection.execute(
        select(projects.c.name.label("project"), jobs.c.name, jobs.c.quarantined_at, jobs.c.quarantine_reason)
        .join(projects, projects.c.id == jobs.c.project_id)
        .where(jobs.c.id == job, jobs.c.quarantined_at.is_not(None))
    ).one_or_none()
    if row is None:
        return None
    return Quarantine(
        project=row.project, job=row.name, since=Instant(row.quarantined_at), reason=row.quarantine_reason
    )


def in_quarantine(connection: Connection, of_runs: Sequence[RunId]) -> frozenset[RunId]:
    """Those of these runs whose job is in quarantine."""
    query = select(runs.c.id).join(jobs, jobs.c.id == runs.c.job_id)
    found = connection.scalars(query.where(runs.c.id.in_(of_runs), jobs.c.quarantined_at.is_not(None)))
    return frozenset(RunId(each) for each in found)


def release_job(connection: Connection, job: JobId, *, now: Instant) -> bool:
    """A person trusts the job again: what waits of it may start, and what was lost so far does not count any more.

    False if it is not in quarantine.
    """
    released = {"quarantined_at": None, "quarantine_reason": None, "trusted_at": now}
    quarantined = update(jobs).where(jobs.c.id == job, jobs.c.quarantined_at.is_not(None))
    if connection.execute(quarantined.values(released)).rowcount != 1:
        return False
    announce(connection, Signal(Topic.PENDING), Signal(Topic.RUN))
    return True


class _Job(NamedTuple):
    id: int
    project: str
    name: str
    quarantined_at: int | None
    trusted_at: int | None


_JOB = PreparedQuery(
    _Job,
    lambda _: (
        select(jobs.c.id, projects.c.name.label("project"), jobs.c.name, jobs.c.quarantined_at, jobs.c.trusted_at)
        .join(projects, projects.c.id == jobs.c.project_id)
        .join(runs, runs.c.job_id == jobs.c.id)
        .where(runs.c.id == bindparam("run"))
        # Of two that lose attempts of the job at once the later one waits, and then sees both; who makes a run of it
        # meanwhile need not wait.
        .with_for_update(of=jobs, key_share=True)
    ),
)
_LOST = PreparedQuery(
    LostAttempt,
    lambda _: (
        select(attempts.c.run_id, attempts.c.number)
        .join(runs, runs.c.id == attempts.c.run_id)
        .where(
            # Not as a parameter, of which no plan knows that the partial index covers it.
            attempts.c.cause == literal_column(f"'{RetryCause.LOST}'"),
            attempts.c.ended_at > bindparam("since"),
            # Not as a bare column: SQLite would look at all that the job ever ran.
            runs.c.job_id + 0 == bindparam("job"),
        )
        .order_by(attempts.c.ended_at.desc(), attempts.c.run_id.desc(), attempts.c.number.desc())
        .limit(bindparam("most"))
    ),
)
