"""The tables of lives: what is not in them cannot happen, what is over stays over, every state can be reached."""

from collections.abc import Mapping
from enum import StrEnum
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

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

OVER = sorted(set(AttemptState) - LIVE_ATTEMPT_STATES)
Table = Mapping[tuple[StrEnum, StrEnum], StrEnum]


def pairs(states: type[StrEnum], events: type[StrEnum], table: object) -> list[tuple[object, StrEnum, StrEnum]]:
    return [(table, state, event) for state, event in product(states, events)]


EVERY_PAIR = [
    *pairs(RunState, RunEvent, NEXT_RUN_STATE),
    *pairs(AttemptState, AttemptEvent, NEXT_ATTEMPT_STATE),
    *pairs(WorkerState, WorkerEvent, NEXT_WORKER_STATE),
]


@pytest.mark.parametrize(("table", "state", "event"), EVERY_PAIR)
def test_only_pairs_of_the_table_can_happen(table: Table, state: StrEnum, event: StrEnum) -> None:
    if (state, event) in table:
        assert next_state(table, state, event) is table[state, event]
    else:
        with pytest.raises(ImpossibleTransition) as caught:
            next_state(table, state, event)
        assert str(caught.value) == f"what is {state} cannot become anything by {event.value!r}"


@pytest.mark.parametrize(("state", "event"), list(product(sorted(TERMINAL_STATES), RunEvent)))
def test_a_run_that_is_over_stays_over(state: RunState, event: RunEvent) -> None:
    assert (state, event) not in NEXT_RUN_STATE


@pytest.mark.parametrize(("state", "event"), list(product(OVER, AttemptEvent)))
def test_an_attempt_that_is_over_stays_over(state: AttemptState, event: AttemptEvent) -> None:
    assert (state, event) not in NEXT_ATTEMPT_STATE


@pytest.mark.parametrize(
    ("table", "beginnings", "states"),
    [
        (NEXT_RUN_STATE, {RunState.SCHEDULED, RunState.WAITING, RunState.PENDING}, set(RunState)),
        (NEXT_ATTEMPT_STATE, {AttemptState.OFFERED}, set(AttemptState)),
        (NEXT_WORKER_STATE, {WorkerState.ONLINE}, set(WorkerState)),
    ],
)
def test_every_state_can_be_reached(table: Table, beginnings: set[StrEnum], states: set[StrEnum]) -> None:
    reached = set(beginnings)
    while more := {new for (old, _), new in table.items() if old in reached} - reached:
        reached |= more

    assert reached == states


@pytest.mark.parametrize(
    ("table", "ends", "states"),
    [(NEXT_RUN_STATE, set(TERMINAL_STATES), set(RunState)), (NEXT_ATTEMPT_STATE, set(OVER), set(AttemptState))],
)
def test_every_life_can_end(table: Table, ends: set[StrEnum], states: set[StrEnum]) -> None:
    can_end = set(ends)
    while more := {old for (old, _), new in table.items() if new in can_end} - can_end:
        can_end |= more

    assert can_end == states


@given(st.lists(st.sampled_from(RunEvent)))
def test_whatever_happens_to_a_run_it_ends_at_most_once(events: list[RunEvent]) -> None:
    state, ends = RunState.PENDING, 0

    for event in events:
        try:
            state = next_state(NEXT_RUN_STATE, state, event)
        except ImpossibleTransition:
            continue
        ends += state in TERMINAL_STATES

    assert ends == (state in TERMINAL_STATES)


def test_what_was_accepted_is_never_offered_again() -> None:
    assert not [pair for pair, new in NEXT_ATTEMPT_STATE.items() if new is AttemptState.OFFERED]
