"""Whether an attempt that did not succeed is followed by another: a pure decision over the job's policy."""

import re

from orchestra.backoff import retry_wait_seconds
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.limits import DELAY_SECONDS_MAX
from orchestra.specification import Jitter, RetryCause, RetryPolicy, names_of_cause
from orchestra_master.ticking import jitter_seconds

_EXIT = re.compile(r"exit:[1-9]\d{0,8}", re.ASCII)
_SETUP_AS_TOLD = f"{RetryCause.EXCEPTION}:{RetryCause.SETUP}"


def seconds_until_retry(
    policy: RetryPolicy, *, run: RunId, attempt: AttemptNumber, attempts_counted: int, cause: str | None
) -> float | None:
    """How long to wait for the next attempt; None if there is none.

    Jitter comes from run and attempt and nothing else, so that a transaction that is replayed decides the same.
    """
    if cause is None or attempts_counted >= policy.max_attempts:
        return None
    names = names_of_cause(cause)
    if not any(name in policy.on for name in names) or any(name in policy.never for name in names):
        return None
    wait = retry_wait_seconds(
        attempts_counted,
        wait_seconds=policy.wait_seconds,
        factor=policy.factor,
        maximum=min(policy.max_wait_seconds, DELAY_SECONDS_MAX),
    )
    return jitter_seconds(wait, f"retry {run} {attempt}") if policy.jitter is Jitter.FULL else wait


def known_cause(told: str | None) -> str | None:
    """What a worker calls the cause of an end, as policies call it; None for what no policy can mean.

    A worker calls a failed set-up `exception:setup`, which a master that knows of no `setup` takes for an exception;
    so is any other detail that we do not know.
    """
    if told is None or _EXIT.fullmatch(told):
        return told
    if told == _SETUP_AS_TOLD:
        return RetryCause.SETUP
    kind = told.partition(":")[0]
    return kind if kind in list(RetryCause) else None
