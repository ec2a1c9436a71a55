"""Schedules: each due instant gets exactly one decision, however many masters look, and whatever the clock does.

The ticker waits for the next due instant; it never asks whether a schedule "is now". A cursor moves only by a
compare-and-set inside the transaction that writes the decisions and makes the run, and only forwards.
"""

import asyncio
import logging
from dataclasses import dataclass
from functools import lru_cache, partial

from sqlalchemy import Connection

from orchestra.clock import Clock, Instant, seconds_between
from orchestra.cron.occurrences import dues_after, next_after
from orchestra.definition.parameters import validate_parameters
from orchestra.errors import InvalidFields, OrchestraError
from orchestra.identifiers import RunId
from orchestra.limits import (
    BATCH_CHANGES_MAX,
    POLL_SECONDS,
    TICKER_SECONDS_MAX,
    TICKS_PER_PASS_MAX,
)
from orchestra.specification import Overlap, ScheduleSpecification
from orchestra.storage.database import Database, Signal, Subscription, Topic
from orchestra.storage.jobs import JobRecord, job_of
from orchestra.storage.runs import NewRun, create_run, signals_of_run
from orchestra.storage.schedules import (
    DueSchedule,
    ScheduleRecord,
    Tick,
    add_ticks,
    due_schedules,
    lock_due_schedule,
    move_cursor,
    next_due_at,
    open_run_of_job,
)

logger = logging.getLogger(__name__)

FIRED = "fired"
MISSED = "skipped: missed"
DISABLED = "skipped: disabled"


@dataclass(frozen=True, slots=True)
class Dues:
    """The instants of one schedule that are decided together."""

    passed: tuple[Instant, ...]
    """Due, in order; the last one is the newest, unless there are more."""
    cursor: Instant | None
    """The instant after them."""
    are_more: bool
    """The cursor is due as well: the schedule was away for so long that it needs another pass."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What one transaction did."""

    ticks: int = 0
    signals: tuple[Signal, ...] = ()
    """About the run that was made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TickerPass:
    """What one look at the schedules did."""

    decisions: int
    left: int
    """Due schedules that this ticker could not decide about: another one has them, or something is wrong."""


class Ticker:
    """Makes runs from schedules. Any number of masters may each have one on the same database."""

    def __init__(self, *, database: Database, clock: Clock, poll_seconds: float = POLL_SECONDS) -> None:
        self._database = database
        self._clock = clock
        self._poll_seconds = poll_seconds

    async def run(self) -> None:
        """Ticks until it is cancelled; an error of the database is logged and tried again after a while."""
        subscription = self._database.subscribe(Topic.DUE)
        try:
            while True:
                due_at, seconds = None, TICKER_SECONDS_MAX
                try:
                    done = await self.tick_once()
                    if not done.left:
                        due_at, seconds = await self._database.read(next_due_at), self._poll_seconds
                except OrchestraError as error:
                    logger.warning("schedules_not_decided cause=%s", error)
                await self._wait(subscription, due_at, seconds)
        finally:
            subscription.close()

    async def tick_once(self) -> TickerPass:
        """Decides about every instant that is due now."""
        decisions = 0
        while True:
            now = self._clock.now()
            dues = await self._database.read(partial(due_schedules, now=now, limit=BATCH_CHANGES_MAX))
            # In parallel, so that they share a commit.
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._decide(due, now), name=f"tick of schedule {due.id}") for due in dues]
            made = sum(task.result() for task in tasks)
            decisions += made
            # No decision although there are dues: another master has them, or they cannot be decided. No hot loop then.
            if not dues or not made:
                return TickerPass(decisions=decisions, left=len(dues))

    async def _decide(self, due: DueSchedule, now: Instant) -> int:
        try:
            decided = await self._database.write(
                lambda connection: decide_due(connection, due, now), signals=_signals_of
            )
        except OrchestraError as error:
            # One schedule that cannot be decided must not keep the others waiting.
            logger.warning("schedule_not_decided schedule=%d cause=%s", due.id, error)
            return 0
        except Exception:
            logger.exception("schedule_not_decided schedule=%d", due.id)
            return 0
        return decided.ticks

    async def _wait(self, subscription: Subscription, due_at: Instant | None, seconds_max: float) -> None:
        """Returns when the instant has come, when schedules have changed, or after so many seconds."""
        begin = self._clock.monotonic()
        while (left := begin + seconds_max - self._clock.monotonic()) > 0:
            seconds = left
            if due_at is not None:
                # A difference of wall clocks is never waited out whole: the clock may jump meanwhile.
                seconds = min(left, seconds_between(self._clock.now(), due_at), TICKER_SECONDS_MAX)
            if seconds <= 0 or await subscription.wait(seconds):
                return


def decide_due(connection: Connection, due: DueSchedule, now: Instant) -> Decided:
    """Decides about all due instants of one schedule in this transaction; nothing if another master has it."""
    schedule = lock_due_schedule(connection, due.id, due.due_at)
    if schedule is None:
        return Decided()
    dues = dues_until(schedule.specification, due.due_at, now)
    if not move_cursor(connection, schedule.id, due_at=due.due_at, next_fire_at=dues.cursor):
        return Decided()
    missed = dues.passed if dues.are_more else dues.passed[:-1]
    ticks = [_tick(at, now, MISSED) for at in missed]
    if dues.are_more:
        add_ticks(connection, schedule.id, ticks)
        return Decided(ticks=len(missed))
    job = job_of(connection, schedule.job_id)
    at = dues.passed[-1]
    decision = _obstacle(connection, schedule, job)
    run = None if decision else _create(connection, schedule, job, at, now)
    add_ticks(connection, schedule.id, [*ticks, _tick(at, now, decision or FIRED, run)])
    if run is None:
        return Decided(ticks=len(dues.passed))
    expire_after_seconds = job.specification.expire_after_seconds
    signals = signals_of_run(job.signature, delay_seconds=0.0, expire_after_seconds=expire_after_seconds)
    return Decided(ticks=len(dues.passed), signals=signals)


def dues_until(specification: ScheduleSpecification, cursor: Instant, now: Instant) -> Dues:
    """The due instants from the cursor until now, at most TICKS_PER_PASS_MAX of them, and where the cursor goes."""
    passed = [cursor]
    following = _next_after(specification.cron, specification.every_seconds, specification.zone, cursor)
    if following is None or following > now:
        return Dues(tuple(passed), following, False)
    for following in dues_after(specification, cursor):
        if following > now or len(passed) == TICKS_PER_PASS_MAX:
            return Dues(tuple(passed), following, following <= now)
        passed.append(following)
    return Dues(tuple(passed), None, False)


@lru_cache(maxsize=1024)
def _next_after(cron: str | None, every_seconds: float | None, zone: str, instant: Instant) -> Instant | None:
    # What is due in the same second often has the same expression, and to work it out takes longer than to store it.
    return next_after(ScheduleSpecification(cron=cron, every_seconds=every_seconds, zone=zone), instant)


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


def _create(connection: Connection, schedule: ScheduleRecord, job: JobRecord, at: Instant, now: Instant) -> RunId:
    specification = job.specification
    typed = validate_parameters(specification.parameters, schedule.specification.parameters, {})
    return create_run(
        connection,
        NewRun(
            creation_key=f"tick {schedule.id} {at}",
            project_id=job.project_id,
            job_id=job.id,
            job_version_id=job.version_id,
            signature=job.signature,
            slots=specification.matching.slots,
            priority=specification.priority,
            parameters=typed.values,
            sealed_secrets=None,
            source="schedule",
            retry_of=None,
            delay_seconds=0.0,
            expire_after_seconds=specification.expire_after_seconds,
            now=now,
        ),
    )


def _tick(at: Instant, now: Instant, decision: str, run: RunId | None = None) -> Tick:
    return Tick(due_at=at, decided_at=now, decision=decision, run=run)


def _signals_of(decided: Decided) -> tuple[Signal, ...]:
    return decided.signals
