"""What becomes of every attempt at a hello: each pair of what is held and what is stored has one allowed answer."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import LIVE_ATTEMPT_STATES, AttemptState
from orchestra.protocol.messages import Forget, Go, Held, MasterMessage, Resume, Stop
from orchestra.storage.attempts import OpenAttempt
from orchestra_master.reconcile import Reconciliation, reconcile

RUN, ATTEMPT = RunId(5), AttemptNumber(2)
OFFERED, ACCEPTED, STARTED = AttemptState.OFFERED, AttemptState.ACCEPTED, AttemptState.STARTED
OVER = (AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.ABORTED, AttemptState.EXCEPTION)
WORDS = "stopped by user ana"

GO, FORGET = Go(run=RUN, attempt=ATTEMPT), Forget(run=RUN, attempt=ATTEMPT)
STOP = Stop(run=RUN, attempt=ATTEMPT, reason=WORDS)


def held(state: AttemptState, sequence: int = 0, log_length: int = 0) -> Held:
    return Held(run=RUN, attempt=ATTEMPT, state=state, sequence=sequence, log_length=log_length)


def stored(state: AttemptState, sequence: int = 0, log_length: int = 0, stop: str | None = None) -> OpenAttempt:
    return OpenAttempt(
        run=RUN,
        attempt=ATTEMPT,
        state=state,
        sequence=sequence,
        log_length=log_length,
        slots=1,
        stop_reason=stop,
    )


def resume(sequence: int = 0, log_length: int = 0) -> Resume:
    return Resume(run=RUN, attempt=ATTEMPT, sequence=sequence, log_length=log_length)


def what_happens(result: Reconciliation) -> set[str]:
    """Which of the lists have something in them."""
    lists = {"accept": result.accept, "withdraw": result.withdraw, "lost": result.lost, "kept": result.kept}
    return {name for name, each in lists.items() if each}


Case = tuple[Held | None, OpenAttempt | None, list[MasterMessage], set[str]]
CASES: dict[str, Case] = {
    "nobody has it": (None, None, [], set()),
    "offered, and never arrived": (None, stored(OFFERED), [], {"withdraw"}),
    "accepted, and no trace of it": (None, stored(ACCEPTED), [], {"lost"}),
    "started, and no trace of it": (None, stored(STARTED, 1), [], {"lost"}),
    "the acceptance got lost": (held(ACCEPTED), stored(OFFERED), [resume(), GO], {"accept", "kept"}),
    "the acceptance got lost, and a stop was asked": (
        held(ACCEPTED),
        stored(OFFERED, stop=WORDS),
        [FORGET],
        {"withdraw"},
    ),
    "go got lost": (held(ACCEPTED), stored(ACCEPTED), [resume(), GO], {"kept"}),
    "go got lost, and a stop was asked": (held(ACCEPTED), stored(ACCEPTED, stop=WORDS), [resume(), STOP], {"kept"}),
    "started, and not told yet": (held(STARTED, 1, 10), stored(ACCEPTED), [resume()], {"kept"}),
    "both know that it runs": (held(STARTED, 3, 90), stored(STARTED, 2, 50), [resume(2, 50)], {"kept"}),
    "it runs, and a stop was asked": (
        held(STARTED, 3, 90),
        stored(STARTED, 2, 50, WORDS),
        [resume(2, 50), STOP],
        {"kept"},
    ),
    "the worker forgot its start": (held(ACCEPTED, 1), stored(STARTED, 1), [FORGET], {"lost"}),
    "the worker forgot an event": (held(STARTED, 1, 50), stored(STARTED, 2, 50), [FORGET], {"lost"}),
    "the worker forgot some log": (held(STARTED, 2, 49), stored(STARTED, 2, 50), [FORGET], {"lost"}),
    "the database forgot the acceptance": (held(STARTED, 1), stored(OFFERED), [FORGET], {"lost"}),
}
for _over in OVER:
    CASES |= {
        f"{_over}, and nobody wants it": (held(_over, 4), None, [FORGET], set()),
        f"{_over}, and not told yet": (held(_over, 4, 90), stored(STARTED, 1, 50), [resume(1, 50)], {"kept"}),
        f"{_over}, and its start not told yet": (held(_over, 4, 90), stored(ACCEPTED), [resume()], {"kept"}),
        f"{_over}, and a stop was asked": (
            held(_over, 4, 90),
            stored(STARTED, 1, 50, WORDS),
            [resume(1, 50), STOP],
            {"kept"},
        ),
        f"{_over}, and only offered": (held(_over, 4), stored(OFFERED), [FORGET], {"lost"}),
    }


@pytest.mark.parametrize(("of_worker", "of_database", "answers", "changes"), CASES.values(), ids=CASES.keys())
def test_each_pair_has_one_answer(
    of_worker: Held | None, of_database: OpenAttempt | None, answers: list[MasterMessage], changes: set[str]
) -> None:
    result = reconcile([of_worker] if of_worker else [], [of_database] if of_database else [])
    result.let_go(slots=1)

    assert result.answers == answers
    assert what_happens(result) == changes


def test_an_attempt_of_an_earlier_number_is_forgotten_and_the_newer_one_withdrawn() -> None:
    newer = replace(stored(OFFERED), attempt=AttemptNumber(3))

    result = reconcile([held(STARTED, 1)], [newer])

    assert result.answers == [FORGET]
    assert result.withdraw == [newer]
    assert result.kept == []


many_held = st.lists(
    st.builds(
        Held,
        run=st.integers(1, 6).map(RunId),
        attempt=st.integers(1, 2).map(AttemptNumber),
        state=st.sampled_from((ACCEPTED, STARTED, *OVER)),
        sequence=st.integers(0, 3),
        log_length=st.integers(0, 3),
    ),
    unique_by=lambda each: (each.run, each.attempt),
)
many_stored = st.lists(
    st.builds(
        OpenAttempt,
        run=st.integers(1, 6).map(RunId),
        attempt=st.integers(1, 2).map(AttemptNumber),
        state=st.sampled_from(sorted(LIVE_ATTEMPT_STATES)),
        sequence=st.integers(0, 3),
        log_length=st.integers(0, 3),
        slots=st.just(1),
        stop_reason=st.sampled_from((None, WORDS)),
    ),
    unique_by=lambda each: (each.run, each.attempt),
)


@given(many_held, many_stored)
def test_nothing_is_passed_over_and_nothing_decided_twice(
    of_worker: Sequence[Held], of_database: Sequence[OpenAttempt]
) -> None:
    result = reconcile(of_worker, of_database)

    ended = [(each.run, each.attempt) for each in [*result.withdraw, *(lost for lost, _ in result.lost)]]
    kept = [(each.run, each.attempt) for each in result.kept]
    assert sorted(ended + kept) == sorted((each.run, each.attempt) for each in of_database)
    first_answers = [each for each in result.answers if isinstance(each, Resume | Forget)]
    assert sorted(map(_key, first_answers)) == sorted((each.run, each.attempt) for each in of_worker)


@given(many_held, many_stored)
def test_only_what_goes_on_is_told_to_go(of_worker: Sequence[Held], of_database: Sequence[OpenAttempt]) -> None:
    result = reconcile(of_worker, of_database)

    told = {_key(answer) for answer in result.answers if isinstance(answer, Go | Resume | Stop)}
    assert told == _keys(result.kept)


@given(many_held, many_stored, st.integers(1, 4))
def test_no_more_go_than_there_are_slots(
    of_worker: Sequence[Held], of_database: Sequence[OpenAttempt], slots: int
) -> None:
    result = reconcile(of_worker, of_database)
    begun = len(result.kept) - len(result.ready)

    result.let_go(slots)

    told = [_key(answer) for answer in result.answers if isinstance(answer, Go)]
    later = [(each.run, each.attempt) for each in result.prefetched]
    assert len(told) == min(len(result.ready), max(0, slots - begun))
    assert told + later == sorted((each.run, each.attempt) for each in result.ready)


def test_a_wide_run_is_not_overtaken_on_its_way_to_enough_slots() -> None:
    wide, narrow = replace(stored(ACCEPTED), slots=2), replace(stored(ACCEPTED), run=RunId(99))
    result = reconcile([held(ACCEPTED), replace_run(held(ACCEPTED), 99)], [wide, narrow])

    result.let_go(slots=1)

    assert result.prefetched == [wide, narrow]


def replace_run(one: Held, run: int) -> Held:
    return msgspec.structs.replace(one, run=RunId(run))


def _key(message: Go | Resume | Stop | Forget) -> tuple[RunId, AttemptNumber]:
    return message.run, message.attempt


def _keys(every: Sequence[OpenAttempt]) -> set[tuple[RunId, AttemptNumber]]:
    return {(each.run, each.attempt) for each in every}
