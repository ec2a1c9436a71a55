"""Runs that are wanted, begin, end and become due in any order: no two of a scope have one key, no group is passed."""

import shutil
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection, select

from orchestra.clock import after
from orchestra.identifiers import RunId
from orchestra.lifecycle import HOLDING_STATES, RunEvent, RunState
from orchestra.policies import Concurrency, Conflict, Policies, Uniqueness, UniqueScope, WhenFull
from orchestra.specification import Execution, JobSpecification, Step
from orchestra.storage.admission import Ruling, admit_due, candidates_due
from orchestra.storage.jobs import add_job, job_of
from orchestra.storage.new_runs import run_of
from orchestra.storage.pending import due_runs
from orchestra.storage.run_moves import state_of_run
from orchestra.storage.runs import admit_run, follow_displaced, move_run, request_stop
from orchestra.storage.sqlite_file import sqlite_engine
from orchestra.storage.tables import projects, runs
from tests.properties.effort import effort
from tests.support.clocks import START

KEY = "{parameters.repo}"
WINDOW_SECONDS = 600.0
ENDS = (RunEvent.SUCCEEDED, RunEvent.FAILED, RunEvent.ABORTED, RunEvent.BROKE)
POLICIES = [
    *(
        Policies(unique=Uniqueness(key=KEY, scope=scope, window_seconds=WINDOW_SECONDS, conflict=conflict))
        for scope in UniqueScope
        for conflict in Conflict
    ),
    *(
        Policies(concurrency=Concurrency(limit=limit, when_full=when_full))
        for when_full in (WhenFull.CANCEL_PENDING, WhenFull.CANCEL_RUNNING, WhenFull.REJECT)
        for limit in (1, 2)
    ),
]
_numbers = count(1)


class Row(NamedTuple):
    """What is looked at of a run."""

    id: int
    state: str
    unique_key: str
    created_at: int
    attempt: int
    stop_requested_at: int | None
    ended_at: int | None

    @property
    def is_for_later(self) -> bool:
        """Whether nobody has been asked about it yet."""
        return self.state == RunState.SCHEDULED and self.attempt == 0


def rows_of(connection: Connection) -> Sequence[Row]:
    """Of all runs."""
    query = select(*(runs.c[name] for name in Row._fields)).order_by(runs.c.id)
    return [Row._make(row) for row in connection.execute(query)]


class AdmissionMachine(RuleBasedStateMachine):
    """One job; steps of its runs are taken as workers and masters would."""

    def __init__(self, template: Path, folder: Path, policies: Policies) -> None:
        super().__init__()
        path = folder / f"{next(_numbers)}.db"
        shutil.copyfile(template, path)
        # What is tried is no crash: the disk is not waited for.
        self.engine = sqlite_engine(path, pragmas=["PRAGMA synchronous=OFF"], begin="BEGIN IMMEDIATE", connections=1)
        self.now = START
        self.wishes = 0
        self.unique, self.group = policies.unique, policies.concurrency
        specification = JobSpecification(execution=Execution(steps=(Step(name="run", run="x"),)), policies=policies)
        with self.engine.begin() as connection:
            made = projects.insert().values(name="ops", created_at=self.now).returning(projects.c.id)
            project = connection.execute(made).scalar_one()
            job = add_job(connection, project, "job", specification, enabled=True, now=self.now)
            self.job = job_of(connection, job)

    @rule(repo=st.sampled_from(["web", "api"]), delay=st.sampled_from([0.0, 0.0, 0.0, 60.0, 3600.0]))
    def want(self, repo: str, delay: float) -> None:
        """Somebody wants a run, maybe for later; what comes of it is worked out by hand as well."""
        self.wishes += 1
        expected = None if delay or self.unique is None else self.expected(self.unique, repo, self.rows())
        new = run_of(
            self.job,
            creation_key=f"wish {self.wishes}",
            source="user ana",
            now=self.now,
            parameters={"repo": repo},
            delay_seconds=delay,
        )
        with self.engine.begin() as connection:
            found = admit_run(connection, new)
        assert expected is None or found.ruling is expected
        assert found.ruling is Ruling.MADE or not delay

    def expected(self, unique: Uniqueness, key: str, others: Sequence[Row]) -> Ruling:
        """What the rule says, run by run."""
        since = after(self.now, -WINDOW_SECONDS)
        same = [row for row in others if row.unique_key == key]
        if unique.scope is UniqueScope.PENDING:
            same = [row for row in same if row.ended_at is None and row.state not in HOLDING_STATES]
        elif unique.scope is UniqueScope.ACTIVE:
            same = [row for row in same if row.ended_at is None]
        else:
            same = [
                row
                for row in same
                if row.ended_at is None or (row.created_at > since and row.state != RunState.SKIPPED)
            ]
        if not same or unique.conflict is Conflict.REPLACE:
            return Ruling.MADE
        return Ruling.EXISTING if unique.conflict is Conflict.RETURN_EXISTING else Ruling.REFUSED

    @rule(seconds=st.floats(1, WINDOW_SECONDS))
    def wait(self, seconds: float) -> None:
        """Time goes by, and what is due by then is promoted."""
        self.now = after(self.now, seconds)
        with self.engine.begin() as connection:
            due = [run for run, _ in due_runs(connection, self.now, 100)]
            candidates = candidates_due(connection, due, self.now) if due else {}
            for run in due:
                if state_of_run(connection, run) is not RunState.SCHEDULED:
                    continue
                event = RunEvent.DUE
                if run in candidates:
                    rows = rows_of(connection)
                    others = [row for row in rows if row.id != run and not row.is_for_later]
                    admission = admit_due(connection, run, candidates[run])
                    key = next(row.unique_key for row in rows if row.id == run)
                    assert self.unique is None or admission.ruling is self.expected(self.unique, key, others)
                    follow_displaced(connection, admission, now=self.now)
                    event = RunEvent.DUE if admission.ruling is Ruling.MADE else RunEvent.SKIPPED
                self.move(connection, run, event)

    @rule(place=st.integers(0, 20))
    def offer(self, place: int) -> None:
        """A worker gets one, if its group has room."""
        held = self.in_states(*HOLDING_STATES)
        if self.group is None or len(held) < self.group.limit:
            self.step(self.in_states(RunState.PENDING), place, RunEvent.OFFERED)

    @rule(place=st.integers(0, 20))
    def start(self, place: int) -> None:
        """It begins."""
        self.step(self.in_states(RunState.ASSIGNED), place, RunEvent.STARTED)

    @rule(place=st.integers(0, 20), event=st.sampled_from(ENDS))
    def end(self, place: int, event: RunEvent) -> None:
        """It is over."""
        self.step(self.in_states(RunState.RUNNING), place, event)

    @rule(place=st.integers(0, 20))
    def plan_retry(self, place: int) -> None:
        """It waits for its next attempt: beside one that waits, or that got its place in the group meanwhile."""
        if self.unique is not None and self.unique.scope is not UniqueScope.PENDING:
            running = [row for row in self.in_states(RunState.RUNNING) if row.stop_requested_at is None]
            self.step(running, place, RunEvent.RETRY_PLANNED)

    @rule(place=st.integers(0, 20))
    def stop(self, place: int) -> None:
        """A person stops one."""
        found = [row for row in self.rows() if row.ended_at is None]
        if found:
            with self.engine.begin() as connection:
                request_stop(connection, RunId(found[place % len(found)].id), by="ana", reason="", now=self.now)

    @invariant()
    def no_two_have_one_key(self) -> None:
        """Of the runs of a scope that are not on their way out already."""
        if self.unique is None:
            return
        there = [row for row in self.rows() if row.ended_at is None and not row.is_for_later]
        if self.unique.conflict is Conflict.REPLACE:
            there = [row for row in there if row.stop_requested_at is None]
        if self.unique.scope is UniqueScope.PENDING:
            there = [row for row in there if row.state not in HOLDING_STATES]
        assert not [key for key, many in Counter(row.unique_key for row in there).items() if many > 1], there

    @invariant()
    def no_group_has_more_than_its_policy_lets_it(self) -> None:
        """Counting what runs and what waits; those that are asked to stop make way."""
        if self.group is None:
            return
        there = [row for row in self.rows() if row.ended_at is None and not row.is_for_later]
        if self.group.when_full is not WhenFull.REJECT:
            there = [row for row in there if row.stop_requested_at is None]
        # Only where the others are cancelled and not stopped does one wait beside a full group.
        beside = 1 if self.group.when_full is WhenFull.CANCEL_PENDING else 0
        assert len(there) <= self.group.limit + beside, there

    def rows(self) -> Sequence[Row]:
        """Of all runs."""
        with self.engine.begin() as connection:
            return rows_of(connection)

    def in_states(self, *states: RunState) -> Sequence[Row]:
        """The runs in one of these."""
        return [row for row in self.rows() if row.state in states]

    def step(self, found: Sequence[Row], place: int, event: RunEvent) -> None:
        """One of these takes this step, if there is one."""
        if found:
            with self.engine.begin() as connection:
                self.move(connection, RunId(found[place % len(found)].id), event)

    def move(self, connection: Connection, run: RunId, event: RunEvent) -> None:
        """It does."""
        changes: dict[str, object] = {"attempt": 1} if event is RunEvent.OFFERED else {}
        if event is RunEvent.RETRY_PLANNED:
            changes["due_at"] = after(self.now, 30.0)
        move_run(connection, run, event, actor="test", now=self.now, changes=changes)

    def teardown(self) -> None:
        """The file is given back."""
        self.engine.dispose()


def _words(policies: Policies) -> str:
    unique, group = policies.unique, policies.concurrency
    if unique is not None:
        return f"{unique.scope}, {unique.conflict}"
    assert group is not None, "it is one or the other"
    return f"{group.when_full} of {group.limit}"


@pytest.mark.parametrize("policies", POLICIES, ids=_words)
def test_no_order_of_wishes_starts_and_ends_passes_a_key_or_a_group(
    sqlite_template: Path, tmp_path: Path, policies: Policies
) -> None:
    class Machine(AdmissionMachine):
        def __init__(self) -> None:
            super().__init__(sqlite_template, tmp_path, policies)

    run_state_machine_as_test(Machine, settings=effort(20, steps=40))
