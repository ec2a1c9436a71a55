"""Whether an attempt that did not succeed is followed by another: a pure decision over the job's policy."""

from orchestra.backoff import retry_wait_seconds
from orchestra.limits import DELAY_SECONDS_MAX
from orchestra.specification import RetryPolicy


def seconds_until_retry(policy: RetryPolicy, *, attempts_counted: int, cause: str | None) -> float | None:
    """How long to wait for the next attempt; None if there is none.

    `cause` is "exit:75", "timeout", "lost" or "exception"; a policy's "exit" stands for every exit code.
    """
    if cause is None or attempts_counted >= policy.max_attempts:
        return None
    kind = cause.partition(":")[0]
    if cause not in policy.on and kind not in policy.on:
        return None
    return retry_wait_seconds(
        attempts_counted, wait_seconds=policy.wait_seconds, factor=policy.factor, maximum=DELAY_SECONDS_MAX
    )
