"""Why a run waits: never without a reason, and the reason names what stands in the way."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.clock import Instant, after
from orchestra.lifecycle import RunState, WorkerState
from orchestra.queries.waiting import WAITING_STATES, RunFacts, explain
from orchestra.queries.worker_facts import WorkerFacts
from orchestra.specification import Matching, Operator, PropertyValue, Requirement

NOW = Instant(1_763_700_000_000_000)
WINDOWS = Matching(requirements=(Requirement(name="os", operator=Operator.IN, values=("windows",)),))


def worker(
    name: str = "atlas",
    *,
    state: WorkerState = WorkerState.ONLINE,
    silent_seconds: float | None = 1.0,
    has_master: bool = True,
    slots: int = 2,
    held: tuple[int, ...] = (),
    properties: dict[str, PropertyValue] | None = None,
) -> WorkerFacts:
    return WorkerFacts(
        name=name,
        state=state,
        reason="",
        has_master=has_master,
        connected_at=NOW,
        last_contact_at=None if silent_seconds is None else after(NOW, -silent_seconds),
        version="1",
        properties={"os": "linux"} if properties is None else properties,
        slots=slots,
        slots_used=len(held),
        is_full=len(held) >= slots,
        runs=held,
        has_other_runs=False,
        load=0.0,
        free_disk_bytes=0,
    )


def assigned(*fleet: WorkerFacts) -> RunFacts:
    return replace(pending(*fleet), state=RunState.ASSIGNED, worker="atlas")


def pending(*fleet: WorkerFacts, matching: Matching | None = None, before: int = 0, reason: str = "") -> RunFacts:
    return RunFacts(
        state=RunState.PENDING,
        reason=reason,
        matching=matching or Matching(),
        due_at=NOW,
        worker=None,
        stop_requested_by=None,
        before=before,
        workers=fleet,
        now=NOW,
    )


@pytest.mark.parametrize(
    ("facts", "reasons"),
    [
        (pending(), ["no worker has ever connected: start one with 'orchestra worker start'"]),
        (
            pending(worker(), matching=WINDOWS),
            ["none of 1 worker has what the job asks (1 connected)", "atlas: `os` is linux, needs windows"],
        ),
        (
            pending(worker(), matching=Matching(slots=4)),
            ["none of 1 worker has what the job asks (1 connected)", "atlas: it has 2 slots, the job needs 4"],
        ),
        (
            pending(worker(held=(480, 481))),
            [
                "1 of 1 worker can do the job, none of them now (1 connected)",
                "atlas: is busy: 2 of 2 slots used by #480, #481",
            ],
        ),
        (
            pending(worker(state=WorkerState.DRAINING)),
            ["1 of 1 worker can do the job, none of them now (1 connected)", "atlas: is draining"],
        ),
        (
            pending(worker(silent_seconds=1200.0)),
            ["1 of 1 worker can do the job, none of them now (0 connected)", "atlas: is out of contact for 20 min"],
        ),
        (
            assigned(worker(held=(480, 481))),
            ["it is among the next on atlas, whose 2 slots are busy"],
        ),
        (
            assigned(worker(held=(480,))),
            ["it was offered to atlas, which has not confirmed its start yet"],
        ),
        (pending(worker()), ["a master will offer it in a moment: atlas can take it"]),
        (
            pending(worker(), before=3, reason="offer not accepted in time"),
            [
                "a master will offer it in a moment: atlas can take it",
                "3 runs with the same demands are before it",
                "the last offer came to nothing: offer not accepted in time",
            ],
        ),
    ],
)
def test_the_reasons_in_words(facts: RunFacts, reasons: list[str]) -> None:
    assert list(explain(facts).reasons) == reasons


workers = st.lists(
    st.builds(
        worker,
        st.text("abc", min_size=1, max_size=3),
        state=st.sampled_from(WorkerState),
        silent_seconds=st.none() | st.floats(0, 1e6),
        has_master=st.booleans(),
        slots=st.integers(0, 3),
        held=st.lists(st.integers(1, 99), max_size=3).map(tuple),
        properties=st.sampled_from([{}, {"os": "linux"}, {"os": "windows"}]),
    ),
    max_size=4,
)


@given(
    st.builds(
        RunFacts,
        state=st.sampled_from(sorted(WAITING_STATES)),
        reason=st.sampled_from(["", "exit code 3"]),
        matching=st.sampled_from([Matching(), WINDOWS, Matching(slots=3)]),
        due_at=st.none() | st.integers(-10, 10).map(lambda hours: after(NOW, hours * 3600.0)),
        worker=st.none() | st.just("atlas"),
        stop_requested_by=st.none() | st.just("user ana"),
        before=st.integers(0, 100),
        workers=workers.map(tuple),
        now=st.just(NOW),
    )
)
def test_a_run_that_waits_always_has_a_reason(facts: RunFacts) -> None:
    view = explain(facts)

    assert view.reasons
    assert all(view.reasons)
    if facts.state is RunState.PENDING:
        assert [answer.name for answer in view.workers] == [each.name for each in facts.workers]
        assert all(answer.matches or answer.reason for answer in view.workers)


@pytest.mark.parametrize("state", sorted(set(RunState) - WAITING_STATES))
def test_a_run_that_does_not_wait_has_none(state: RunState) -> None:
    facts = pending(worker())

    assert not explain(RunFacts(**{name: getattr(facts, name) for name in facts.__slots__} | {"state": state})).reasons
