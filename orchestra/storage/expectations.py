"""Jobs of which runs are expected: their cursor, and the runs that were missed."""

from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, Select, bindparam, func, insert, select, update

from orchestra.clock import Instant
from orchestra.cron.expected import expected_at, missed_at
from orchestra.identifiers import JobId, ProjectId, RunId
from orchestra.limits import STARTS_LOOKED_AT
from orchestra.specification import ExpectationSpecification
from orchestra.storage.prepared import NextInstant, PreparedQuery
from orchestra.storage.tables import expectations, jobs, missed_runs, runs
from orchestra.storage.upserts import insert_into


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectationRecord:
    """What is expected of a job, as it is stored."""

    job_id: JobId
    specification: ExpectationSpecification
    since: Instant
    look_at: Instant | None
    """None: a run is missed and has not come yet, or the job is disabled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MissedRun:
    """A run that did not start in time."""

    id: int
    job_id: JobId
    due_at: Instant
    counted_from: Instant
    missed_at: Instant
    recovered_at: Instant | None
    """When one came after all."""
    run: RunId | None
    """The one that came; None beside `recovered_at`: nothing is expected any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """That a run of a job has started."""

    run: RunId
    at: Instant


def set_expectation(
    connection: Connection, job: JobId, specification: ExpectationSpecification, *, is_active: bool, now: Instant
) -> None:
    """From now on this is expected of the job (of a disabled one, once it is enabled); what was missed is closed."""
    values = {
        "specification": msgspec.json.encode(specification, order="sorted").decode(),
        "since": now,
        "look_at": _first_look(specification, now) if is_active else None,
        "retired_at": None,
    }
    changed = connection.execute(update(expectations).where(expectations.c.job_id == job).values(values))
    if changed.rowcount == 0:
        connection.execute(insert(expectations).values(job_id=job, **values))
    _close_all(connection, job, now)


def retire_expectation(connection: Connection, job: JobId, *, now: Instant) -> None:
    """Nothing is expected of the job any more; its missed runs stay as history."""
    connection.execute(
        update(expectations)
        .where(expectations.c.job_id == job, expectations.c.retired_at.is_(None))
        .values(look_at=None, retired_at=now)
    )
    _close_all(connection, job, now)


def switch_expectation(connection: Connection, job: JobId, *, is_active: bool, now: Instant) -> None:
    """The job was disabled or enabled: of a disabled one nothing is expected, one that is enabled begins anew."""
    record = expectation_of(connection, job)
    if record is not None:
        set_expectation(connection, job, record.specification, is_active=is_active, now=now)


def expectation_of(connection: Connection, job: JobId) -> ExpectationRecord | None:
    """What is expected of the job, or None."""
    query = _expectations().where(expectations.c.job_id == job, expectations.c.retired_at.is_(None))
    row = connection.execute(query).one_or_none()
    return None if row is None else _record(_ExpectationRow._make(row))


def expectations_of_project(connection: Connection, project: ProjectId) -> list[ExpectationRecord]:
    """What is expected of the project's jobs."""
    query = (
        _expectations()
        .join(jobs, jobs.c.id == expectations.c.job_id)
        .where(jobs.c.project_id == project, expectations.c.retired_at.is_(None))
    )
    return [_record(_ExpectationRow._make(row)) for row in connection.execute(query)]


def due_looks(connection: Connection, *, now: Instant, limit: int) -> list[ExpectationRecord]:
    """The jobs that must be looked at now, the longest due first."""
    return [_record(row) for row in _DUE_LOOKS.all(connection, {"now": now, "most": limit})]


def next_look_at(connection: Connection) -> Instant | None:
    """When the next job must be looked at."""
    (found,) = _NEXT_LOOK.all(connection, {})
    return found.at


def move_look(connection: Connection, record: ExpectationRecord, look_at: Instant | None) -> bool:
    """Compare-and-set of the cursor; False if somebody else has moved it, and then nothing was changed."""
    change = (
        update(expectations)
        .where(
            expectations.c.job_id == record.job_id,
            expectations.c.since == record.since,
            expectations.c.look_at.is_not_distinct_from(record.look_at),
        )
        .values(look_at=look_at)
    )
    return connection.execute(change).rowcount == 1


def newest_starts(connection: Connection, job: JobId) -> list[Start]:
    """When the newest runs of the job that have started did so, the last start first."""
    query = (
        select(runs.c.id, runs.c.started_at)
        .where(runs.c.job_id == job, runs.c.started_at.is_not(None))
        .order_by(runs.c.id.desc())
        .limit(STARTS_LOOKED_AT)
    )
    found = [Start(run=RunId(row.id), at=row.started_at) for row in connection.execute(query)]
    return sorted(found, key=lambda start: -start.at)


def add_missed_run(
    connection: Connection, job: JobId, *, due_at: Instant, counted_from: Instant, missed_at: Instant
) -> None:
    """Writes a miss down, once for each job and instant."""
    values = {"job_id": job, "due_at": due_at, "counted_from": counted_from, "missed_at": missed_at}
    new = insert_into(missed_runs, connection.dialect.name).values(values)
    connection.execute(new.on_conflict_do_nothing(index_elements=["job_id", "due_at"]))


def open_missed_runs(connection: Connection) -> list[MissedRun]:
    """What is missed and has not come yet."""
    return [_missed(row) for row in _OPEN_MISSED.all(connection, {})]


def missed_runs_of_job(connection: Connection, job: JobId, limit: int) -> list[MissedRun]:
    """The newest runs of the job that were missed."""
    query = _missed_runs().where(missed_runs.c.job_id == job).order_by(missed_runs.c.due_at.desc()).limit(limit)
    return [_missed(_MissedRow._make(row)) for row in connection.execute(query)]


def recover(connection: Connection, missed: MissedRun, start: Start) -> bool:
    """The run came after all; False if somebody else has written that down."""
    change = (
        update(missed_runs)
        .where(missed_runs.c.id == missed.id, missed_runs.c.recovered_at.is_(None))
        .values(recovered_at=start.at, run_id=start.run)
    )
    return connection.execute(change).rowcount == 1


def _first_look(specification: ExpectationSpecification, now: Instant) -> Instant | None:
    due = expected_at(specification, now)
    return None if due is None else missed_at(specification, due)


def _close_all(connection: Connection, job: JobId, now: Instant) -> None:
    connection.execute(
        update(missed_runs)
        .where(missed_runs.c.job_id == job, missed_runs.c.recovered_at.is_(None))
        .values(recovered_at=now)
    )


class _ExpectationRow(NamedTuple):
    job_id: int
    specification: str
    since: int
    look_at: Instant | None


class _MissedRow(NamedTuple):
    id: int
    job_id: int
    due_at: int
    counted_from: int
    missed_at: int
    recovered_at: Instant | None
    run_id: int | None


def _expectations() -> Select[tuple[object, ...]]:
    return select(*(expectations.c[name] for name in _ExpectationRow._fields))


def _missed_runs() -> Select[tuple[object, ...]]:
    return select(*(missed_runs.c[name] for name in _MissedRow._fields))


def _record(row: _ExpectationRow) -> ExpectationRecord:
    return ExpectationRecord(
        job_id=JobId(row.job_id),
        specification=msgspec.json.decode(row.specification, type=ExpectationSpecification),
        since=Instant(row.since),
        look_at=row.look_at,
    )


def _missed(row: _MissedRow) -> MissedRun:
    return MissedRun(
        id=row.id,
        job_id=JobId(row.job_id),
        due_at=Instant(row.due_at),
        counted_from=Instant(row.counted_from),
        missed_at=Instant(row.missed_at),
        recovered_at=row.recovered_at,
        run=None if row.run_id is None else RunId(row.run_id),
    )


_DUE_LOOKS = PreparedQuery(
    _ExpectationRow,
    lambda _: (
        _expectations()
        .where(expectations.c.look_at <= bindparam("now"), expectations.c.retired_at.is_(None))
        .order_by(expectations.c.look_at)
        .limit(bindparam("most"))
    ),
)
_NEXT_LOOK = PreparedQuery(NextInstant, lambda _: select(func.min(expectations.c.look_at)))
_OPEN_MISSED = PreparedQuery(
    _MissedRow, lambda _: _missed_runs().where(missed_runs.c.recovered_at.is_(None)).order_by(missed_runs.c.id)
)
