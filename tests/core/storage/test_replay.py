"""Which changes go together again after a failure, without any database."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from orchestra.storage.database import Signal
from orchestra.storage.transaction import Failure, Replay, Waiting


class Plain:
    """A change that is only a number, good or bad."""

    signals: Sequence[Signal] = ()

    def __init__(self, number: int, *, is_bad: bool) -> None:
        self.number = number
        self.is_bad = is_bad
        self.has_failed = False

    def apply(self, connection: Connection) -> None:
        raise AssertionError("the plan itself applies nothing")

    def fail(self, error: BaseException) -> None:
        self.has_failed = True

    def settle(self) -> None:
        raise AssertionError("the plan itself settles nothing")


def run(changes: Sequence[Plain], *, commit_fails: bool = False) -> tuple[list[int], int]:
    """What is committed, in its order, and the number of transactions."""
    by_identity: dict[int, Plain] = {id(change): change for change in changes}
    waiting: Sequence[Waiting] = changes
    replay = Replay(waiting)
    committed: list[int] = []
    transactions = 0
    while segment := replay.next():
        transactions += 1
        plain = [by_identity[id(change)] for change in segment]
        culprit = next((index for index, change in enumerate(plain) if change.is_bad), None)
        if culprit is not None or (commit_fails and len(segment) > 1):
            replay.failed(segment, Failure(index=culprit, error=ValueError()))
        else:
            committed += [change.number for change in plain]
    return committed, transactions


@given(st.lists(st.booleans(), max_size=60), st.booleans())
def test_every_good_change_is_committed_once_in_order_and_every_bad_one_fails(
    bad: list[bool], commit_fails: bool
) -> None:
    changes = [Plain(number, is_bad=is_bad) for number, is_bad in enumerate(bad)]

    committed, transactions = run(changes, commit_fails=commit_fails)

    assert committed == [number for number, is_bad in enumerate(bad) if not is_bad]
    assert [change.has_failed for change in changes] == bad
    assert transactions <= 3 * len(bad) + 1


def test_a_bad_change_among_many_costs_few_commits() -> None:
    _, transactions = run([Plain(number, is_bad=number == 100) for number in range(256)])

    assert transactions == 4


def test_what_is_left_can_be_taken_at_once() -> None:
    changes = [Plain(number, is_bad=False) for number in range(5)]
    replay = Replay(changes)
    segment = replay.next()
    replay.failed(segment, Failure(index=2, error=ValueError()))

    assert list(replay.rest()) == changes
    assert not replay.next()
