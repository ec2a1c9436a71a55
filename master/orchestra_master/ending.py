"""How the end of an attempt becomes the end of its run, or the plan for another attempt."""

from dataclasses import dataclass

from orchestra.clock import Instant, after
from orchestra.identifiers import AttemptNumber
from orchestra.lifecycle import AttemptState, RunEvent
from orchestra.specification import JobSpecification
from orchestra.storage.database import Signal, Topic
from orchestra.storage.run_moves import RunMove
from orchestra_master.retrying import seconds_until_retry


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """The end of a run's newest attempt."""

    attempt: AttemptNumber
    outcome: AttemptState
    reason: str
    cause: str | None
    """What the retry policy looks at; None if no policy may make another attempt."""
    exit_code: int | None
    log_length: int
    log_digest: str | None
    attempts_counted: int
    specification: JobSpecification


def end_run(move: RunMove, ending: Ending, *, actor: str, now: Instant) -> set[Signal]:
    """Ends the run, or schedules its next attempt if the job's policy wants one; returns the signals for after the
    commit. Storing the move is the caller's.

    A failed attempt that will be retried does not make the run failed: the run is scheduled again.
    """
    policy = ending.specification.retry
    wait = seconds_until_retry(
        policy,
        run=move.run,
        attempt=ending.attempt,
        attempts_counted=ending.attempts_counted,
        cause=ending.cause,
    )
    changes: dict[str, object] = {"worker_id": None, "progress": None, "progress_text": None}
    if wait is not None:
        words = f"attempt {ending.attempts_counted} of {policy.max_attempts} {ending.outcome}: {ending.reason}"
        event = RunEvent.RETRY_PLANNED
        due_at = after(now, wait)
        changes |= {"due_at": due_at, "expires_at": after(due_at, ending.specification.expire_after_seconds)}
        signals = {Signal(Topic.DUE)}
    else:
        words = ending.reason
        event = _EVENT_OF_OUTCOME[ending.outcome]
        changes = {
            "exit_code": ending.exit_code,
            "log_length": ending.log_length,
            "log_digest": ending.log_digest,
        }
        signals = set()
    move.take(
        event,
        actor=actor,
        now=now,
        attempt=ending.attempt,
        reason=words,
        changes=changes,
    )
    return signals | {Signal(Topic.RUN, str(move.run))}


_EVENT_OF_OUTCOME = {
    AttemptState.SUCCEEDED: RunEvent.SUCCEEDED,
    AttemptState.FAILED: RunEvent.FAILED,
    AttemptState.ABORTED: RunEvent.ABORTED,
    AttemptState.EXCEPTION: RunEvent.BROKE,
}
