"""The retry policy, rule by rule: who gets another attempt, and after how long."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.identifiers import AttemptNumber, RunId
from orchestra.limits import DELAY_SECONDS_MAX
from orchestra.specification import Jitter, RetryPolicy
from orchestra_master.retrying import known_cause, seconds_until_retry

RUN = RunId(482)
USUAL = RetryPolicy(max_attempts=3)
ALL = ("exit:75", "exit:2", "exit", "timeout", "lost", "exception", "setup")


def wait(policy: RetryPolicy, cause: str | None, *, counted: int = 1, attempt: int = 0, run: int = RUN) -> float | None:
    """The decision about one attempt."""
    number = AttemptNumber(attempt or counted)
    return seconds_until_retry(policy, run=RunId(run), attempt=number, attempts_counted=counted, cause=cause)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A policy, and the causes after which it tries again."""

    on: tuple[str, ...] = USUAL.on
    never: tuple[str, ...] = ()
    tried: tuple[str, ...]


CASES = [
    Case(tried=("exit:75", "exit:2", "exit", "timeout", "lost")),
    Case(on=("exit",), tried=("exit:75", "exit:2", "exit")),
    Case(on=("exit:75",), tried=("exit:75",)),
    Case(on=("timeout",), tried=("timeout",)),
    Case(on=("lost",), tried=("lost",)),
    Case(on=("exception",), tried=("exception", "setup")),
    Case(on=("setup",), tried=("setup",)),
    Case(never=("exit:2",), tried=("exit:75", "exit", "timeout", "lost")),
    Case(never=("exit",), tried=("timeout", "lost")),
    Case(never=("timeout",), tried=("exit:75", "exit:2", "exit", "lost")),
    Case(never=("exit:75", "lost"), tried=("exit:2", "exit", "timeout")),
    Case(on=("exit", "exception"), never=("setup",), tried=("exit:75", "exit:2", "exit", "exception")),
    Case(on=("exit", "setup"), never=("exception",), tried=("exit:75", "exit:2", "exit")),
    Case(on=("exit", "exit:2"), never=("exit:2",), tried=("exit:75", "exit")),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_which_ends_are_tried_again(case: Case) -> None:
    policy = RetryPolicy(max_attempts=3, on=case.on, never=case.never)

    assert tuple(cause for cause in ALL if wait(policy, cause) is not None) == case.tried


@pytest.mark.parametrize("cause", [None, "", "no such cause"])
def test_what_no_policy_can_mean_is_never_tried_again(cause: str | None) -> None:
    assert wait(RetryPolicy(max_attempts=3, on=(*USUAL.on, "exception", "setup")), cause) is None


@pytest.mark.parametrize(
    ("most", "tried"), [(1, [False, False, False]), (2, [True, False, False]), (3, [True, True, False])]
)
def test_no_more_attempts_than_allowed(most: int, tried: list[bool]) -> None:
    policy = RetryPolicy(max_attempts=most)

    assert [wait(policy, "exit:1", counted=count) is not None for count in (1, 2, 3)] == tried


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        (RetryPolicy(max_attempts=9), [60, 60, 60, 60]),
        (RetryPolicy(max_attempts=9, wait_seconds=0), [0, 0, 0, 0]),
        (RetryPolicy(max_attempts=9, wait_seconds=10, factor=2), [10, 20, 40, 80]),
        (RetryPolicy(max_attempts=9, wait_seconds=10, factor=2, max_wait_seconds=30), [10, 20, 30, 30]),
        (RetryPolicy(max_attempts=9, wait_seconds=10, factor=2, max_wait_seconds=10), [10, 10, 10, 10]),
        (RetryPolicy(max_attempts=9, wait_seconds=1, factor=100), [1, 100, 10_000, 1_000_000]),
    ],
)
def test_waits_grow_up_to_their_ceiling(policy: RetryPolicy, waits: list[float]) -> None:
    assert [wait(policy, "exit:1", counted=count) for count in (1, 2, 3, 4)] == waits


def test_no_wait_is_longer_than_a_run_can_be_delayed_whatever_a_program_says() -> None:
    policy = RetryPolicy(max_attempts=100, wait_seconds=1e6, factor=100, max_wait_seconds=1e300)

    assert wait(policy, "exit:1", counted=99) == DELAY_SECONDS_MAX


def test_full_jitter_is_decided_by_run_and_attempt_alone() -> None:
    policy = RetryPolicy(max_attempts=9, jitter=Jitter.FULL)

    first = wait(policy, "exit:1")

    assert wait(policy, "exit:1") == wait(policy, "timeout") == first
    assert len({first, wait(policy, "exit:1", attempt=2), wait(policy, "exit:1", run=483)}) == 3


def test_full_jitter_spreads_evenly_from_nothing_to_the_grown_wait() -> None:
    policy = RetryPolicy(max_attempts=9, wait_seconds=10, factor=4, max_wait_seconds=30, jitter=Jitter.FULL)

    found = [wait(policy, "exit:1", counted=2, run=run) or 0.0 for run in range(10_000)]

    assert 0 <= min(found) < 0.1
    assert 29.9 < max(found) < 30
    counts = [sum(tenth <= each / 3 < tenth + 1 for each in found) for tenth in range(10)]
    assert max(counts) < 1.15 * 1000
    assert min(counts) > 0.85 * 1000


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        (None, None),
        ("exit", "exit"),
        ("exit:75", "exit:75"),
        ("exit:0", "exit"),
        ("exit:\ufffd", "exit"),
        ("timeout", "timeout"),
        ("lost", "lost"),
        ("exception", "exception"),
        ("exception:setup", "setup"),
        ("setup", "setup"),
        ("exception:later", "exception"),
        ("timeout:later", "timeout"),
        ("later", None),
        ("", None),
    ],
)
def test_what_workers_say_is_brought_into_the_words_of_policies(told: str | None, cause: str | None) -> None:
    assert known_cause(told) == cause


@given(
    policy=st.builds(
        RetryPolicy,
        max_attempts=st.integers(1, 100),
        wait_seconds=st.floats(0, 604_800),
        factor=st.floats(1, 100),
        max_wait_seconds=st.floats(0.001, DELAY_SECONDS_MAX),
        jitter=st.sampled_from(Jitter),
        on=st.lists(st.sampled_from(ALL), min_size=1, max_size=3).map(tuple),
        never=st.lists(st.sampled_from(ALL), max_size=2).map(tuple),
    ),
    cause=st.sampled_from(ALL),
    run=st.integers(1, 1 << 40),
)
def test_whatever_the_policy_a_run_has_no_more_attempts_and_no_longer_waits_than_it_allows(
    policy: RetryPolicy, cause: str, run: int
) -> None:
    waits = [wait(policy, cause, counted=count, run=run) for count in range(1, 101)]
    made = [each for each in waits if each is not None]

    assert len(made) in (0, policy.max_attempts - 1)
    assert all(0 <= each <= policy.max_wait_seconds for each in made)
    assert cause not in policy.never or not made
    assert waits == [wait(policy, cause, counted=count, run=run) for count in range(1, 101)]
