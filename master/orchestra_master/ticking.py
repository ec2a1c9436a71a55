"""Decides about the due instants of one schedule in one transaction: a tick for each, and the runs that follow."""

import hashlib

from sqlalchemy import Connection

from orchestra.clock import Instant, after, seconds_between
from orchestra.cron.occurrences import excluded_by
from orchestra.definition.parameters import validate_parameters
from orchestra.errors import InvalidFields
from orchestra.formatter import BadTemplate, UnknownValue
from orchestra.specification import Overlap
from orchestra.storage.admission import Ruling
from orchestra.storage.due_schedules import DueSchedule
from orchestra.storage.jobs import JobRecord, job_of
from orchestra.storage.new_runs import NewRun, run_of
from orchestra.storage.queued import open_run_of_job
from orchestra.storage.runs import admit_run
from orchestra.storage.schedules import (
    ScheduleRecord,
    Tick,
    add_ticks,
    end_pause,
    lock_due_schedule,
    move_cursor,
    stop_open_runs,
)
from orchestra_master.passed_instants import PastPause, Verdict, judge

DISABLED = "skipped: disabled"


def decide_due(connection: Connection, due: DueSchedule, now: Instant) -> int:
    """Decides about the due instants of one schedule in this transaction, and says about how many; none if another
    master has it."""
    schedule = lock_due_schedule(connection, due.id, due.due_at)
    if schedule is None:
        return 0
    pause = schedule.pause
    if pause is not None and not pause.is_over(now):
        return 0
    over = PastPause(begin=pause.at, end=pause.until) if pause is not None and pause.until is not None else None
    judged = judge(schedule.specification, due.due_at, now, pause=over)
    if not move_cursor(connection, schedule.id, due_at=due.due_at, next_fire_at=judged.cursor):
        return 0
    if over is not None and not judged.are_more(now):
        end_pause(connection, schedule.id)
    job = job_of(connection, schedule.job_id)
    add_ticks(
        connection,
        schedule.id,
        [_decided(connection, schedule, job, at, verdict, now) for at, verdict in judged.verdicts],
    )
    return len(judged.verdicts)


def _decided(
    connection: Connection, schedule: ScheduleRecord, job: JobRecord, at: Instant, verdict: Verdict, now: Instant
) -> Tick:
    if verdict is Verdict.EXCLUDED:
        calendar = excluded_by(schedule.specification.timetable, at)
        assert calendar is not None, "that is why it is excluded"
        return Tick(due_at=at, decided_at=now, decision=f"skipped: {calendar.name}", run=None)
    if verdict is Verdict.PAUSED:
        assert schedule.pause is not None, "that is why it is late"
        return Tick(due_at=at, decided_at=now, decision=f"{verdict} {schedule.pause.words}", run=None)
    if verdict is Verdict.MISS:
        return Tick(due_at=at, decided_at=now, decision=verdict, run=None)
    obstacle = _obstacle(connection, schedule, job)
    if obstacle is not None:
        return Tick(due_at=at, decided_at=now, decision=obstacle, run=None)
    try:
        new = _new_run(schedule, job, at, now)
    except (UnknownValue, BadTemplate) as refusal:
        # The checks of a definition forbid most of it, but some only shows with the values.
        return Tick(due_at=at, decided_at=now, decision=f"skipped: {refusal}", run=None)
    if schedule.specification.overlap is Overlap.CANCEL_PREVIOUS:
        stop_open_runs(connection, job.id, by="schedule", reason="a newer instant is due", now=now)
    admission = admit_run(connection, new)
    match admission.ruling:
        case Ruling.MADE:
            return Tick(due_at=at, decided_at=now, decision=verdict, run=admission.run)
        case Ruling.EXISTING:
            return Tick(due_at=at, decided_at=now, decision=f"existing: {admission.words}", run=admission.run)
        case Ruling.REFUSED:
            return Tick(due_at=at, decided_at=now, decision=f"skipped: {admission.words}", run=None)


def _obstacle(connection: Connection, schedule: ScheduleRecord, job: JobRecord) -> str | None:
    if not schedule.enabled or not job.is_active:
        return DISABLED
    if schedule.specification.overlap is Overlap.SKIP:
        open_run = open_run_of_job(connection, job.id)
        if open_run is not None:
            return f"skipped: overlap with #{open_run}"
    try:
        validate_parameters(job.specification.parameters, schedule.specification.parameters, {})
    except InvalidFields as refusal:
        # The checks of a definition forbid it; a database filled by an older version may still hold it.
        return f"skipped: {refusal}"
    return None


def _new_run(schedule: ScheduleRecord, job: JobRecord, at: Instant, now: Instant) -> NewRun:
    specification, policies = job.specification, schedule.specification
    typed = validate_parameters(specification.parameters, policies.parameters, {})
    delay_seconds = 0.0
    if policies.jitter_seconds:
        begins_at = after(at, jitter_seconds(policies.jitter_seconds, f"{schedule.id} {at}"))
        delay_seconds = max(0.0, seconds_between(now, begins_at))
    return run_of(
        job,
        creation_key=f"tick {schedule.id} {at}",
        source="schedule",
        now=now,
        parameters=typed.values,
        delay_seconds=delay_seconds,
        is_queued=policies.overlap in (Overlap.QUEUE, Overlap.CANCEL_PREVIOUS),
    )


def jitter_seconds(most: float, key: str) -> float:
    """From 0 to so many seconds, always the same for the same key."""
    digest = hashlib.sha256(key.encode()).digest()
    return most * int.from_bytes(digest[:8], "big") / (1 << 64)
