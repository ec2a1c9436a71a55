"""What the page of policies says of retries and limits is what the code does."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestra.definition.reader import examine_definition, read_definition
from orchestra.durations import format_duration
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.specification import Execution, JobSpecification, RetryPolicy
from orchestra_master.retrying import seconds_until_retry
from orchestra_worker.plan import SILENT, STEP_TIMED_OUT, TIMED_OUT, Finish, PlanFacts, StepOutcome, next_action

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
OK = StepOutcome(exit_code=0)


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the table that begins with this."""
    table = PAGE[PAGE.index(heading) :].split("\n\n")[0]
    for line in table.split("\n")[2:]:
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def job(text: str) -> JobSpecification:
    """A job that says this."""
    work = "" if "steps:" in text else "    run: x\n"
    return read_definition(f"orchestra: 1\nproject: ops\njobs:\n  a:\n{work}    {text}\n", "page").jobs[0].specification


def wait(policy: RetryPolicy, cause: str, *, counted: int = 1) -> float | None:
    """Before the next attempt."""
    return seconds_until_retry(
        policy, run=RunId(1), attempt=AttemptNumber(counted), attempts_counted=counted, cause=cause
    )


def words_of(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def test_the_example_is_a_definition_without_a_hint() -> None:
    block = next(block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "max-attempts: 5" in block)

    reading = examine_definition(block, "docs/policies.md")

    assert (reading.problems, reading.hints) == ((), ())


@pytest.mark.parametrize(("policy", "waits"), list(rows("| `retry:` | waits |")))
def test_waits_are_those_of_the_table(policy: str, waits: str) -> None:
    retry, wanted = job(f"retry: {policy.strip('`')}").retry, waits.split(", ")

    found = [wait(retry, "exit:1", counted=count) for count in range(1, len(wanted) + 1)]

    assert ["none" if each is None else format_duration(each) for each in found] == wanted


@pytest.mark.parametrize(("policy", "tried", "not_tried"), list(rows("| `retry:` with `max-attempts: 3` and |")))
def test_the_ends_of_the_table_are_tried_again_and_the_others_are_not(policy: str, tried: str, not_tried: str) -> None:
    more = "".join(f", {words}" for words in words_of(policy))
    retry = job(f"retry: {{ max-attempts: 3{more} }}").retry

    assert [wait(retry, cause) is not None for cause in words_of(tried)] == [True] * len(words_of(tried))
    assert [wait(retry, cause) is not None for cause in words_of(not_tried)] == [False] * len(words_of(not_tried))
    assert len(words_of(tried)) + len(words_of(not_tried)) == 7


@pytest.mark.parametrize(("says", "_counts", "reason"), list(rows("| what the job says | counts |")))
def test_a_limit_that_is_reached_is_said_as_in_the_table(says: str, _counts: str, reason: str) -> None:
    execution = job(says.strip("`")).execution

    finish = next_action(PlanFacts(execution=execution, ended=ends(execution)))

    assert isinstance(finish, Finish)
    assert finish.reason == reason.strip("`")
    assert finish.cause == (None if execution.teardown else "timeout")


def ends(execution: Execution) -> dict[int, StepOutcome]:
    """How the steps ended when the only limit that the job has was reached."""
    steps = (*execution.setup, *execution.steps, *execution.teardown)
    limited = [number for number, step in enumerate(steps) if step.timeout_seconds is not None]
    word = SILENT if execution.silence_seconds else STEP_TIMED_OUT if limited else TIMED_OUT
    late = limited[0] if limited else 0
    ended = StepOutcome(exit_code=-15, reason=word)
    return {number: ended if number == late else OK for number in range(len(steps))}
