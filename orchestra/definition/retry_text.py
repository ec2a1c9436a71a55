"""A retry policy in words, for the page of a job and the command line."""

from orchestra.durations import duration_in_words
from orchestra.limits import DELAY_SECONDS_MAX
from orchestra.specification import Jitter, RetryPolicy


def describe_retry(retry: RetryPolicy) -> str:
    """`up to 3 attempts, 1 min apart, on exit, timeout, lost; never after exit:2`; empty if there is one attempt."""
    if retry.max_attempts == 1:
        return ""
    words = [f"up to {retry.max_attempts} attempts", f"{duration_in_words(retry.wait_seconds)} apart"]
    if retry.factor != 1:
        words.append(f"each wait {retry.factor:g} times the one before")
    if retry.max_wait_seconds < DELAY_SECONDS_MAX:
        words.append(f"at most {duration_in_words(retry.max_wait_seconds)}")
    if retry.jitter is Jitter.FULL:
        words.append("less by chance")
    words.append(f"on {', '.join(retry.on)}")
    more = [f"never after {', '.join(retry.never)}"] if retry.never else []
    if retry.avoid_worker:
        more.append("rather on another worker than the last")
    return "; ".join([", ".join(words), *more])
