"""Two tickers on real rows, whose clocks jump: at most one decision for each instant, none left out, none too early."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, select

from orchestra.clock import Instant, after, seconds_between
from orchestra.commands.definitions import apply_definition
from orchestra.identifiers import RunId
from orchestra.lifecycle import RunEvent
from orchestra.specification import (
    CatchUp,
    Execution,
    JobDefinition,
    JobSpecification,
    Overlap,
    ProjectDefinition,
    ScheduleSpecification,
    Step,
)
from orchestra.storage.due_schedules import DueSchedule, due_schedules
from orchestra.storage.runs import move_run
from orchestra.storage.schedules import (
    move_cursor,
    pause_schedule,
    resume_schedule,
)
from orchestra.storage.sqlite_file import sqlite_engine
from orchestra.storage.tables import runs, schedule_ticks, schedules
from orchestra_master.ticking import decide_due
from tests.properties.effort import effort
from tests.support.clocks import START
from tests.support.timetables import every

HOUR = 3600.0
PERIOD = 600.0
TICKERS = st.integers(0, 1)
_numbers = count(1)


def definition(overlap: Overlap, catch_up: CatchUp, limit: int) -> ProjectDefinition:
    """One job that is due every ten minutes."""
    schedule = ScheduleSpecification(
        timetable=every(PERIOD), overlap=overlap, catch_up=catch_up, catch_up_limit=limit, grace_seconds=60.0
    )
    execution = Execution(steps=(Step(name="step", run="true"),))
    job = JobDefinition(name="tick", specification=JobSpecification(execution=execution), schedule=schedule)
    return ProjectDefinition(name="ops", jobs=(job,))


class TickersMachine(RuleBasedStateMachine):
    """Each ticker looks and decides in two steps, with its own idea of the time, and anything happens in between."""

    def __init__(self, template: Path, folder: Path) -> None:
        super().__init__()
        path = folder / f"{next(_numbers)}.db"
        shutil.copyfile(template, path)
        # What is tried is no crash: the disk is not waited for.
        self.engine = sqlite_engine(path, pragmas=["PRAGMA synchronous=OFF"], begin="BEGIN IMMEDIATE", connections=1)
        self.now = START
        self.errors = [0.0, 0.0]
        self.seen: list[tuple[DueSchedule, Instant] | None] = [None, None]
        self.latest = START
        self.decisions = 0

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One."""
        with self.engine.begin() as connection:
            yield connection

    def clock(self, ticker: int) -> Instant:
        """What this one takes for the time."""
        return after(self.now, self.errors[ticker])

    @initialize(
        overlap=st.sampled_from(list(Overlap)), catch_up=st.sampled_from(list(CatchUp)), limit=st.integers(1, 3)
    )
    def apply(self, overlap: Overlap, catch_up: CatchUp, limit: int) -> None:
        """There is a schedule."""
        self.overlap, self.limit = overlap, limit
        with self.transaction() as connection:
            apply_definition(
                connection,
                definition(overlap, catch_up, limit),
                owner_file=None,
                source="test",
                by="ana",
                now=self.now,
            )
            row = connection.execute(select(schedules.c.id, schedules.c.next_fire_at)).one()
        self.schedule, self.first = row.id, row.next_fire_at

    @rule(seconds=st.one_of(st.floats(0, 60), st.floats(0, 3 * HOUR)))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.now = after(self.now, seconds)

    @rule(ticker=TICKERS, seconds=st.sampled_from((-HOUR, -60.0, 0.0, 60.0, HOUR)))
    def set_clock(self, ticker: int, seconds: float) -> None:
        """The clock of one of them jumps."""
        self.errors[ticker] = seconds

    @rule(ticker=TICKERS)
    def look(self, ticker: int) -> None:
        """It asks what is due."""
        now = self.clock(ticker)
        with self.transaction() as connection:
            found = due_schedules(connection, now=now, limit=10)
        self.seen[ticker] = (found[0], now) if found else None

    @precondition(lambda self: any(self.seen))
    @rule(ticker=TICKERS)
    def decide(self, ticker: int) -> None:
        """It decides about what it has seen, however long ago that was."""
        if self.seen[ticker] is None:
            return
        due, now = self.seen[ticker] or (None, None)
        assert due is not None
        assert now is not None
        with self.transaction() as connection:
            made = decide_due(connection, due, now)
        self.decisions += made
        self.latest = max(self.latest, now) if made else self.latest

    @rule(seconds=st.one_of(st.none(), st.floats(1, 2 * HOUR)))
    def pause(self, seconds: float | None) -> None:
        """A person pauses it."""
        until = None if seconds is None else after(self.now, seconds)
        with self.transaction() as connection:
            pause_schedule(connection, self.schedule, by="ana", reason="", until=until, now=self.now)

    @rule()
    def resume(self) -> None:
        """A person resumes it."""
        with self.transaction() as connection:
            if connection.execute(select(schedules.c.paused_at)).scalar_one() is not None:
                resume_schedule(connection, self.schedule, now=self.now)

    @rule()
    def end_runs(self) -> None:
        """Workers have done what was pending."""
        with self.transaction() as connection:
            for run in connection.execute(select(runs.c.id).where(runs.c.state == "pending")).scalars().all():
                for event in (RunEvent.OFFERED, RunEvent.STARTED, RunEvent.SUCCEEDED):
                    move_run(connection, RunId(run), event, actor="worker", now=self.now)

    @rule()
    def move_by_a_stale_cursor(self) -> None:
        """Whoever names an instant that is decided already moves nothing."""
        with self.transaction() as connection:
            cursor = connection.execute(select(schedules.c.next_fire_at)).scalar_one()
            stale = after(cursor, -PERIOD)
            assert not move_cursor(connection, self.schedule, due_at=stale, next_fire_at=stale)

    @invariant()
    def every_instant_until_the_cursor_has_one_decision(self) -> None:
        """In order, by the period, and each run belongs to one of them."""
        with self.transaction() as connection:
            ticks = connection.execute(select(schedule_ticks).order_by(schedule_ticks.c.due_at)).all()
            cursor = connection.execute(select(schedules.c.next_fire_at)).scalar_one()
            keys = set(connection.execute(select(runs.c.creation_key)).scalars())
        period = round(PERIOD * 1_000_000)
        assert [tick.due_at for tick in ticks] == list(range(self.first, cursor, period))
        assert len(ticks) == self.decisions
        assert all(tick.due_at <= tick.decided_at <= self.latest for tick in ticks)
        fired = [tick for tick in ticks if tick.decision.startswith("fired")]
        assert keys == {f"tick {self.schedule} {tick.due_at}" for tick in fired}
        assert {tick.run_id is None for tick in fired} <= {False}
        self.no_storm(ticks=[(tick.decided_at, tick.due_at) for tick in fired])

    def no_storm(self, *, ticks: list[tuple[Instant, Instant]]) -> None:
        """At one moment not more than the limit is caught up."""
        for moment in {decided_at for decided_at, _ in ticks}:
            late = [due for at, due in ticks if at == moment and seconds_between(due, at) > 60.0]
            assert len(late) <= self.limit, (self.overlap, late)

    def teardown(self) -> None:
        """The file is given back."""
        self.engine.dispose()


def test_two_tickers_decide_once_about_each_instant_however_their_clocks_jump(
    sqlite_template: Path, tmp_path: Path
) -> None:
    class Machine(TickersMachine):
        def __init__(self) -> None:
            super().__init__(sqlite_template, tmp_path)

    run_state_machine_as_test(Machine, settings=effort(60, steps=40))
