"""Why an attempt ended is kept with it, in the words of policies, and is what they decide on."""

import pytest
from sqlalchemy import Connection, select, update

from orchestra.clock import Instant
from orchestra.identifiers import RunId
from orchestra.lifecycle import AttemptState, RunState
from orchestra.logs.digest import SegmentedDigest
from orchestra.protocol.messages import Event, Final, Started
from orchestra.specification import Jitter, RetryPolicy
from orchestra.storage.job_versions import JobVersions
from orchestra.storage.tables import attempts, runs
from orchestra_master.losing import lose_attempt
from orchestra_master.retrying import seconds_until_retry
from tests.master.stored_attempt import ATTEMPT, NOW, offered_attempt
from tests.support import given
from tests.support.worker_end import event

FIRST = RunId(1)
ALL = RetryPolicy(max_attempts=3, wait_seconds=60, on=("exit", "timeout", "lost", "exception"))


def ended(outcome: AttemptState, cause: str | None) -> Event:
    """What a worker says at last."""
    digest = SegmentedDigest().hexdigest()
    happening = Final(outcome=outcome, exit_code=None, reason="", cause=cause, log_length=0, log_digest=digest)
    return event(FIRST, ATTEMPT, 2, happening)


def cause_of(connection: Connection) -> str | None:
    """What is kept of attempt 1."""
    cause: str | None = connection.execute(select(attempts.c.cause).where(attempts.c.run_id == FIRST)).scalar_one()
    return cause


@pytest.mark.parametrize(
    ("outcome", "told", "kept", "state"),
    [
        (AttemptState.FAILED, "exit:75", "exit:75", RunState.SCHEDULED),
        (AttemptState.FAILED, "exit:2", "exit:2", RunState.FAILED),
        (AttemptState.FAILED, "exit", "exit", RunState.SCHEDULED),
        (AttemptState.FAILED, "timeout", "timeout", RunState.SCHEDULED),
        (AttemptState.EXCEPTION, "lost", "lost", RunState.SCHEDULED),
        (AttemptState.EXCEPTION, "exception", "exception", RunState.SCHEDULED),
        (AttemptState.EXCEPTION, "exception:setup", "setup", RunState.EXCEPTION),
        (AttemptState.EXCEPTION, "no such cause", None, RunState.EXCEPTION),
        (AttemptState.SUCCEEDED, None, None, RunState.SUCCEEDED),
        (AttemptState.SUCCEEDED, "exit:75", None, RunState.SUCCEEDED),
        (AttemptState.ABORTED, "lost", None, RunState.ABORTED),
    ],
)
def test_the_cause_of_an_end_is_kept_and_decides(
    connection: Connection, outcome: AttemptState, told: str | None, kept: str | None, state: RunState
) -> None:
    policy = RetryPolicy(max_attempts=3, on=ALL.on, never=("exit:2", "setup"))
    stored = offered_attempt(connection, given.specification(retry=policy))

    stored.tell(connection, event(FIRST, ATTEMPT, 1, Started()), ended(outcome, told), accepts=True, log=b"")

    assert cause_of(connection) == kept
    assert stored.rows(connection)["run"][0].state == state


@pytest.mark.parametrize("stop_asked", [False, True])
def test_a_lost_attempt_is_kept_as_lost_whether_it_is_tried_again_or_not(
    connection: Connection, stop_asked: bool
) -> None:
    stored = offered_attempt(connection, given.specification(retry=ALL))
    stored.tell(connection, event(FIRST, ATTEMPT, 1, Started()), accepts=True)
    if stop_asked:
        connection.execute(update(runs).values(stop_requested_at=Instant(1), stop_requested_by="user ana"))

    lose_attempt(connection, JobVersions(), FIRST, ATTEMPT, reason="out of contact", actor="master m1", now=NOW)

    assert cause_of(connection) == "lost"
    assert stored.rows(connection)["run"][0].state == (RunState.EXCEPTION if stop_asked else RunState.SCHEDULED)


def test_the_next_attempt_is_due_after_the_wait_that_run_and_attempt_decide(connection: Connection) -> None:
    policy = RetryPolicy(max_attempts=3, wait_seconds=60, jitter=Jitter.FULL)
    stored = offered_attempt(connection, given.specification(retry=policy))

    stored.tell(
        connection, event(FIRST, ATTEMPT, 1, Started()), ended(AttemptState.FAILED, "timeout"), accepts=True, log=b""
    )

    wait = seconds_until_retry(policy, run=FIRST, attempt=ATTEMPT, attempts_counted=1, cause="timeout")
    assert wait is not None
    assert 0 < wait < 60
    assert stored.rows(connection)["run"][0].due_at == NOW + round(wait * 1_000_000)
