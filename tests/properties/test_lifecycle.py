"""The lives of a run, its attempts and its worker, lived at random: only what the tables allow, and nothing after the
end."""

from collections.abc import Mapping
from enum import StrEnum
from itertools import product

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestra.errors import ImpossibleTransition
from orchestra.lifecycle import (
    LIVE_ATTEMPT_STATES,
    NEXT_ATTEMPT_STATE,
    NEXT_RUN_STATE,
    NEXT_WORKER_STATE,
    TERMINAL_STATES,
    AttemptEvent,
    AttemptState,
    RunEvent,
    RunState,
    WorkerEvent,
    WorkerState,
    next_state,
)
from tests.properties.effort import effort

Table = Mapping[tuple[StrEnum, StrEnum], StrEnum]

MAY_BECOME: dict[StrEnum, str] = {
    RunState.SCHEDULED: "pending cancelled skipped",
    RunState.WAITING: "pending succeeded cancelled",
    RunState.PENDING: "assigned running skipped cancelled exception",
    RunState.ASSIGNED: "running pending scheduled cancelled aborted exception",
    RunState.RUNNING: "succeeded failed aborted exception scheduled",
    AttemptState.OFFERED: "accepted withdrawn",
    AttemptState.ACCEPTED: "started withdrawn aborted exception",
    AttemptState.STARTED: "succeeded failed aborted exception",
    WorkerState.ONLINE: "draining disabled quarantined",
    WorkerState.DRAINING: "online disabled quarantined",
    WorkerState.DISABLED: "online",
    WorkerState.QUARANTINED: "online disabled",
}
"""The promise in its plainest words, written down a second time; a state that is not here is an end."""
LIVES = [
    (NEXT_RUN_STATE, RunState, RunEvent),
    (NEXT_ATTEMPT_STATE, AttemptState, AttemptEvent),
    (NEXT_WORKER_STATE, WorkerState, WorkerEvent),
]
NEWS_OF_ATTEMPT = {
    AttemptEvent.STARTED: RunEvent.STARTED,
    AttemptEvent.SUCCEEDED: RunEvent.SUCCEEDED,
    AttemptEvent.FAILED: RunEvent.FAILED,
    AttemptEvent.ABORTED: RunEvent.ABORTED,
    AttemptEvent.BROKE: RunEvent.BROKE,
    AttemptEvent.WITHDRAWN: RunEvent.WITHDRAWN,
}
"""What an attempt's news is to its run."""
MAY_RETRY = frozenset({AttemptEvent.FAILED, AttemptEvent.BROKE})


@pytest.mark.parametrize(("table", "states", "events"), LIVES, ids=["run", "attempt", "worker"])
def test_the_table_is_the_promise(table: Table, states: type[StrEnum], events: type[StrEnum]) -> None:
    for state in states:
        became = {table[state, event] for event in events if (state, event) in table}

        assert became == set(MAY_BECOME.get(state, "").split())
        assert state not in became


class LifeMachine(RuleBasedStateMachine):
    """A run, the attempts that are made for it, and their worker, to all of which anything happens at any time.

    What happens to an attempt happens to its run in the same step, as the master does it in one transaction.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run = RunState.PENDING
        self.attempts: list[AttemptState] = []
        self.worker = WorkerState.ONLINE
        self.ends = 0
        self.runs_seen = [self.run]

    @initialize(first=st.sampled_from((RunState.PENDING, RunState.SCHEDULED, RunState.WAITING)))
    def begin(self, first: RunState) -> None:
        self.run = first
        self.runs_seen = [first]

    @rule(event=st.sampled_from(sorted(set(RunEvent) - set(NEWS_OF_ATTEMPT.values()) - {RunEvent.RETRY_PLANNED})))
    def happens_to_the_run(self, event: RunEvent) -> None:
        if self._happened_to_run(event) and event is RunEvent.OFFERED:
            self.attempts.append(AttemptState.OFFERED)
        if self.run in TERMINAL_STATES and self.attempts and self.attempts[-1] is AttemptState.OFFERED:
            self.attempts[-1] = next_state(NEXT_ATTEMPT_STATE, self.attempts[-1], AttemptEvent.WITHDRAWN)

    @precondition(lambda self: self.attempts)
    @rule(event=st.sampled_from(AttemptEvent), is_retried=st.booleans())
    def happens_to_the_newest_attempt(self, event: AttemptEvent, is_retried: bool) -> None:
        before = self.attempts[-1]
        try:
            self.attempts[-1] = next_state(NEXT_ATTEMPT_STATE, before, event)
        except ImpossibleTransition:
            assert (before, event) not in NEXT_ATTEMPT_STATE
            return
        assert self.attempts[-1] in MAY_BECOME[before].split()
        if event in MAY_RETRY and is_retried:
            assert self._happened_to_run(RunEvent.RETRY_PLANNED)
        elif event in NEWS_OF_ATTEMPT:
            # Whatever the table allows an attempt, the table of runs must take: else a word would find no place.
            assert self._happened_to_run(NEWS_OF_ATTEMPT[event])

    @precondition(lambda self: len(self.attempts) > 1)
    @rule(event=st.sampled_from(AttemptEvent), place=st.integers(0, 50))
    def happens_to_an_older_attempt(self, event: AttemptEvent, place: int) -> None:
        older = self.attempts[place % (len(self.attempts) - 1)]
        with pytest.raises(ImpossibleTransition):
            next_state(NEXT_ATTEMPT_STATE, older, event)

    @rule(event=st.sampled_from(WorkerEvent))
    def happens_to_the_worker(self, event: WorkerEvent) -> None:
        before = self.worker
        try:
            self.worker = next_state(NEXT_WORKER_STATE, before, event)
        except ImpossibleTransition:
            assert (before, event) not in NEXT_WORKER_STATE
        else:
            assert self.worker in MAY_BECOME[before].split()

    def _happened_to_run(self, event: RunEvent) -> bool:
        if self.run is RunState.ASSIGNED and event is RunEvent.CANCELLED and self.attempts[-1] is AttemptState.ACCEPTED:
            return False  # What a worker has accepted may run any moment: it is aborted by the worker's word only.
        if self.run is RunState.PENDING and event is RunEvent.STARTED:
            return False  # Only a run without an attempt of its own starts by itself: a pipeline.
        before = self.run
        try:
            self.run = next_state(NEXT_RUN_STATE, before, event)
        except ImpossibleTransition:
            assert (before, event) not in NEXT_RUN_STATE
            return False
        assert self.run in MAY_BECOME[before].split()
        self.ends += self.run in TERMINAL_STATES
        self.runs_seen.append(self.run)
        return True

    @invariant()
    def it_ends_once_and_stays_over(self) -> None:
        assert self.ends == (self.run in TERMINAL_STATES)
        assert not any(state in TERMINAL_STATES for state in self.runs_seen[:-1])

    @invariant()
    def run_and_attempts_tell_the_same_story(self) -> None:
        live = [state for state in self.attempts if state in LIVE_ATTEMPT_STATES]
        assert len(live) <= 1
        assert live == self.attempts[-1:] * len(live)
        assert (self.run is RunState.ASSIGNED) == (live in ([AttemptState.OFFERED], [AttemptState.ACCEPTED]))
        assert (self.run is RunState.RUNNING) == (live == [AttemptState.STARTED])


LifeMachine.TestCase.settings = effort(200, steps=40)
TestLives = LifeMachine.TestCase


@pytest.mark.parametrize(("table", "states", "events"), LIVES, ids=["run", "attempt", "worker"])
def test_there_is_a_way_to_every_state_and_from_there_to_an_end(
    table: Table, states: type[StrEnum], events: type[StrEnum]
) -> None:
    edges = [(state, table[state, event]) for state, event in product(states, events) if (state, event) in table]
    begins = {RunState.SCHEDULED, RunState.WAITING, RunState.PENDING, AttemptState.OFFERED, WorkerState.ONLINE}
    ends = set(states) - set(MAY_BECOME) or {WorkerState.ONLINE}

    reached, ending = begins & set(states), set(ends)
    for _ in states:
        reached |= {to for origin, to in edges if origin in reached}
        ending |= {origin for origin, to in edges if to in ending}

    assert reached == ending == set(states)
