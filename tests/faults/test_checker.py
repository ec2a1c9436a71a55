"""The checker is no decoration: each kind of violation, planted by hand, is found and named."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.checker import (
    AttemptSeen,
    Expected,
    RunSeen,
    check_unchanged,
    digest_of,
    executions_of,
    logs_of,
    outcome_of,
)
from tests.faults.fired import Fired
from tests.faults.load import printed
from tests.faults.violations import Violation, together
from tests.faults.witness import Execution, Witness
from tests.support.journey import Instance

RUN = 7
WHOLE = printed(RUN, 1, lines=3)


class StoredLog(Instance):
    """An instance that has one log and nothing else."""

    def __init__(self, log: bytes) -> None:
        super().__init__()
        self._log = log

    def log(self, number: int, attempt: int | None = None) -> bytes:
        """The log that was given."""
        return self._log


def seen(state: str = "succeeded", *, attempts: int = 1, log: bytes = WHOLE, counted: int | None = None) -> RunSeen:
    """A run that the product tells of; all attempts but the last have failed."""
    each = [
        AttemptSeen(
            number=number,
            state=state if number == attempts else "failed",
            reason="",
            log_length=len(log),
            log_digest=digest_of(log),
            lost_bytes=0,
        )
        for number in range(1, attempts + 1)
    ]
    return RunSeen(
        id=RUN,
        state=state,
        reason="",
        exit_code=0,
        log_length=len(log),
        attempts_counted=attempts if counted is None else counted,
        attempts=tuple(each),
    )


def executed(folder: Path, *lines: str) -> list[Execution]:
    """What a witness of these lines (`attempt pid word`) tells."""
    witness = Witness(folder)
    witness.file.write_text("".join(f"{RUN} {line} {number}0000000\n" for number, line in enumerate(lines)))
    return witness.executions()


def kinds(found: Sequence[Violation]) -> list[str]:
    return [one.kind for one in found]


@pytest.mark.parametrize(
    ("lines", "attempts", "allowed", "expected"),
    [
        (("1 50 begins", "1 50 ends"), 1, 1, []),
        (("1 50 begins", "1 50 ends", "1 51 begins", "1 51 ends"), 1, 1, ["extra"]),
        (("1 50 begins", "1 50 ends", "1 50 begins", "1 50 ends"), 1, 1, ["extra"]),
        (("1 50 begins", "1 50 ends", "2 51 begins", "2 51 ends"), 2, 2, []),
        (("1 50 begins", "1 50 ends", "2 51 begins", "2 51 ends"), 2, 1, ["extra"]),
        (("1 50 begins", "1 50 ends", "2 51 begins", "2 51 ends"), 1, 2, ["extra"]),
        (("1 50 begins", "2 51 begins", "1 50 beat", "2 51 ends"), 2, 2, ["overlapping"]),
        (("1 50 begins", "1 50 beat", "2 51 begins", "2 51 ends"), 2, 2, []),
    ],
)
def test_more_executions_than_allowed_and_overlapping_ones_are_found(
    lines: tuple[str, ...], attempts: int, allowed: int, expected: list[str], tmp_path: Path, fired: Fired
) -> None:
    found = list(executions_of(seen(attempts=attempts), Expected(attempts_max=allowed), executed(tmp_path, *lines)))
    fired("planted")

    assert kinds(found) == expected


@pytest.mark.parametrize(
    ("state", "lines", "expected"),
    [
        ("succeeded", ("1 50 begins", "1 50 ends"), []),
        ("failed", ("1 50 begins", "1 50 ends"), ["outcome"]),
        ("running", ("1 50 begins",), ["missed"]),
        ("succeeded", (), ["missed"]),
        ("succeeded", ("1 50 begins",), ["outcome"]),
        ("cancelled", ("1 50 begins",), ["outcome", "extra"]),
    ],
)
def test_ends_that_are_missing_or_wrong_are_found(
    state: str, lines: tuple[str, ...], expected: list[str], tmp_path: Path, fired: Fired
) -> None:
    found = list(outcome_of(seen(state), Expected(), executed(tmp_path, *lines)))
    fired("planted")

    assert kinds(found) == expected


@pytest.mark.parametrize(
    ("stored", "state", "expected"),
    [
        (WHOLE, "succeeded", []),
        (WHOLE[:-1], "succeeded", ["log"]),
        (WHOLE + b"x", "succeeded", ["log"]),
        (WHOLE[:20] + WHOLE[19:], "succeeded", ["log"]),
        (WHOLE[:20], "exception", []),
        (WHOLE[1:], "exception", ["log"]),
    ],
)
def test_logs_that_differ_in_one_byte_are_found(stored: bytes, state: str, expected: list[str], fired: Fired) -> None:
    found = list(logs_of(StoredLog(stored), seen(state, log=stored), lambda run, attempt: WHOLE))
    fired("planted")

    assert kinds(found) == expected


def test_a_digest_of_other_bytes_and_lengths_that_differ_are_found(fired: Fired) -> None:
    found = list(logs_of(StoredLog(WHOLE), seen(log=WHOLE + b"x"), lambda run, attempt: WHOLE))
    fired("planted")

    assert kinds(found) == ["log", "log"]


def test_an_end_that_has_changed_is_found_and_all_is_told_in_one_text(fired: Fired) -> None:
    found = check_unchanged([seen("failed")], {RUN: seen("succeeded")})
    fired("planted")

    assert found.counts == {"changed": 1}
    assert str(found).startswith("1 violations (1 changed)\nR1 ")
    assert str(together([])) == "0 violations"
    with pytest.raises(AssertionError, match="R1 one end"):
        found.assert_none()


def test_a_test_whose_fault_did_not_fire_would_fail(fired: Fired) -> None:
    none, other = Fired(), Fired()
    other.want("cut", "kill")
    other("cut")
    fired("planted")

    with pytest.raises(AssertionError, match="no fault fired"):
        none.assert_all()
    with pytest.raises(AssertionError, match="did not fire: kill"):
        other.assert_all()
