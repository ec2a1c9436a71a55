"""Defects of what becomes of the instants of schedules."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

import msgspec
from sqlalchemy import Connection, insert, select, update

from orchestra.clock import Instant, after
from orchestra.identifiers import JobId, RunId, ScheduleId
from orchestra.lifecycle import RunState
from orchestra.specification import ScheduleSpecification
from orchestra.storage import runs as run_rows
from orchestra.storage import schedules as schedule_rows
from orchestra.storage.admission import Admission, Ruling
from orchestra.storage.due_schedules import DueSchedule
from orchestra.storage.jobs import job_of
from orchestra.storage.new_runs import NewRun, create_run
from orchestra.storage.queued import QueuedRun, open_run_of_job
from orchestra.storage.runs import let_go
from orchestra.storage.schedules import ScheduleRecord, Tick
from orchestra.storage.tables import runs, schedule_ticks, schedules
from orchestra_master import passed_instants, promoter, ticker, ticking
from orchestra_master.passed_instants import PastPause, Verdict, judge
from orchestra_master.ticking import decide_due
from tests.simulation.mutants.planting import Graft, Mutants

scheduling = Mutants()


@scheduling.breaks("R10")
def tick_without_compare_and_set(graft: Graft) -> None:
    """Two masters may both decide about one instant of a schedule."""

    made: list[RunId] = []

    def lock(connection: Connection, schedule: ScheduleId, due_at: Instant) -> ScheduleRecord | None:
        row = connection.execute(schedule_rows._schedules().where(schedules.c.id == schedule)).one()
        return schedule_rows._record(schedule_rows._ScheduleRow._make(row))

    def move(connection: Connection, schedule: ScheduleId, *, due_at: Instant, next_fire_at: Instant | None) -> bool:
        connection.execute(update(schedules).where(schedules.c.id == schedule).values(next_fire_at=next_fire_at))
        return True

    def add(connection: Connection, schedule: ScheduleId, ticks: Sequence[Tick]) -> None:
        for tick in ticks:
            values = {
                "schedule_id": schedule,
                "due_at": tick.due_at,
                "decided_at": tick.decided_at,
                "decision": tick.decision,
                "run_id": tick.run,
            }
            connection.execute(insert(schedule_ticks).prefix_with("or ignore").values(values))

    def admit(connection: Connection, new: NewRun) -> Admission:
        # A key of its own from the second on, or the key would keep the promise by itself.
        made.append(create_run(connection, new))
        if made.count(made[-1]) > 1:
            made.append(create_run(connection, replace(new, creation_key=f"{new.creation_key} again {len(made)}")))
        return Admission(ruling=Ruling.MADE, run=made[-1])

    graft.replace(ticking, "lock_due_schedule", lock)
    graft.replace(ticking, "move_cursor", move)
    graft.replace(ticking, "add_ticks", add)
    graft.replace(ticking, "admit_run", admit)


@scheduling.breaks("R10")
def caught_up_by_two_masters(graft: Graft) -> None:
    """What is late is caught up although another master has decided about it since it was looked for."""

    def decide(connection: Connection, due: DueSchedule, now: Instant) -> int:
        made = decide_due(connection, due, now)
        row = connection.execute(schedule_rows._schedules().where(schedules.c.id == due.id)).one()
        record = schedule_rows._record(schedule_rows._ScheduleRow._make(row))
        if not made and record.pause is None:
            job = job_of(connection, record.job_id)
            for at, verdict in judge(record.specification, due.due_at, now).verdicts:
                if verdict is Verdict.CATCH_UP:
                    ticking._decided(connection, record, job, at, verdict, now)
        return made

    def admit(connection: Connection, new: NewRun) -> Admission:
        taken = select(runs.c.id).where(runs.c.creation_key == new.creation_key)
        is_again = connection.execute(taken).first() is not None
        again = replace(new, creation_key=f"{new.creation_key} again") if is_again else new
        return Admission(ruling=Ruling.MADE, run=create_run(connection, again))

    graft.replace(ticker, "decide_due", decide)
    graft.replace(ticking, "admit_run", admit)


@scheduling.breaks("R10")
def missed_instants_leave_no_trace(graft: Graft) -> None:
    """What is neither fired nor caught up is passed over without a word."""
    add = schedule_rows.add_ticks

    def add_some(connection: Connection, schedule: ScheduleId, ticks: Sequence[Tick]) -> None:
        told = [tick for tick in ticks if tick.decision != Verdict.MISS]
        if told:
            add(connection, schedule, told)

    graft.replace(ticking, "add_ticks", add_some)


@scheduling.breaks("R10")
def caught_up_without_a_limit(graft: Graft) -> None:
    """Whatever its limit says, `all` catches up with everything that was decided together."""

    def caught_up(
        specification: ScheduleSpecification, passed: Sequence[Instant], late_before: Instant, *, is_more: bool
    ) -> frozenset[Instant]:
        unbounded = specification.catch_up_limit + len(passed)
        return original(_with_limit(specification, unbounded), passed, late_before, is_more=is_more)

    original = passed_instants._caught_up
    graft.replace(passed_instants, "_caught_up", caught_up)


@scheduling.breaks("R10")
def resume_fires_what_was_paused(graft: Graft) -> None:
    """What was due shortly before the end of a pause counts as in time."""

    def late_before(specification: ScheduleSpecification, now: Instant, pause: PastPause | None) -> Instant:
        return after(now, -specification.grace_seconds)

    graft.replace(passed_instants, "_late_before", late_before)


@scheduling.breaks("R10")
def pause_not_looked_at_again(graft: Graft) -> None:
    """A schedule that was paused since it was found to be due is decided about."""
    lock = schedule_rows.lock_due_schedule

    def lock_unpaused(connection: Connection, schedule: ScheduleId, due_at: Instant) -> ScheduleRecord | None:
        found = lock(connection, schedule, due_at)
        return None if found is None else replace(found, pause=None)

    graft.replace(ticking, "lock_due_schedule", lock_unpaused)


@scheduling.breaks("R1")
def queue_loses_its_tick(graft: Graft) -> None:
    """A run that waits for the one before it is never told that its turn has come."""

    def nobody(connection: Connection, ended: Sequence[RunId]) -> list[QueuedRun]:
        return []

    def nobody_at_all(connection: Connection, *, lock: bool) -> list[QueuedRun]:
        return []

    graft.replace(run_rows, "queued_behind", nobody)
    graft.replace(promoter, "queued_first", nobody_at_all)


@scheduling.breaks("R10")
def queue_lets_go_of_all(graft: Graft) -> None:
    """When a run ends, everything that waits in the queue of its job may begin."""

    def let_all_go(connection: Connection, turns: Iterable[QueuedRun], *, now: Instant) -> None:
        turns = list(turns)
        jobs = select(runs.c.job_id).where(runs.c.id.in_([turn.id for turn in turns]))
        others = select(*(runs.c[name] for name in QueuedRun._fields)).where(
            runs.c.job_id.in_(jobs),
            runs.c.state == RunState.SCHEDULED,
            runs.c.due_at.is_(None),
            runs.c.id.not_in([turn.id for turn in turns]),
        )
        behind = [QueuedRun._make(row) for row in connection.execute(others)]
        let_go(connection, chain(turns, behind), now=now)

    graft.replace(run_rows, "let_go", let_all_go)


@scheduling.breaks("R10")
def overlap_sees_only_what_runs(graft: Graft) -> None:
    """Whether a run of the job is not over is asked only of those that a worker executes."""

    def only_taken(connection: Connection, job: JobId) -> RunId | None:
        found = open_run_of_job(connection, job)
        taken = select(runs.c.id).where(runs.c.id == found, runs.c.state == RunState.RUNNING)
        return found if connection.execute(taken).first() is not None else None

    graft.replace(ticking, "open_run_of_job", only_taken)


def _with_limit(specification: ScheduleSpecification, limit: int) -> ScheduleSpecification:
    return msgspec.structs.replace(specification, catch_up_limit=limit)
