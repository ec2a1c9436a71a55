"""Policies in words, for the page of a job and the command line: one line for each."""

from collections.abc import Iterator

from orchestra.durations import duration_in_words
from orchestra.policies import Concurrency, Conflict, LockDemand, Policies, Uniqueness, UniqueScope, WhenFull

_WHEN_FULL = {
    WhenFull.QUEUE: "waits if full",
    WhenFull.CANCEL_PENDING: "if full it waits, and those that waited are cancelled",
    WhenFull.CANCEL_RUNNING: "if full, those before it are stopped",
    WhenFull.REJECT: "refused if full",
}
_AMONG = {
    UniqueScope.PENDING: "among the runs that wait",
    UniqueScope.ACTIVE: "among the runs that are not over",
}
_CONFLICTS = {
    Conflict.REJECT: "another is refused",
    Conflict.RETURN_EXISTING: "whoever asks for another gets that one",
    Conflict.REPLACE: "another stops that one",
}


def describe_policies(policies: Policies) -> Iterator[tuple[str, str]]:
    """The key of each policy that the job has, and what it says."""
    if policies.concurrency is not None:
        yield "concurrency", _concurrency(policies.concurrency)
    if policies.locks:
        yield "locks", ", ".join(map(_lock, policies.locks))
    if policies.rate is not None:
        yield "rate", f"{_times(policies.rate.starts, 'start')} in any {duration_in_words(policies.rate.per_seconds)}"
    if policies.unique is not None:
        yield "unique", _unique(policies.unique)
    if policies.poison is not None:
        times = _times(policies.poison.lost, "attempt")
        yield "poison", f"quarantined after {times} lost within {duration_in_words(policies.poison.within_seconds)}"


def _concurrency(concurrency: Concurrency) -> str:
    """`one at a time in group deploy-{parameters.env}; waits if full`."""
    count = "one" if concurrency.limit == 1 else str(concurrency.limit)
    group = "" if concurrency.group is None else f" in group {concurrency.group}"
    return f"{count} at a time{group}; {_WHEN_FULL[concurrency.when_full]}"


def _lock(lock: LockDemand) -> str:
    return lock.name if lock.count == 1 else f"{lock.count} of {lock.name}"


def _unique(unique: Uniqueness) -> str:
    """`{parameters.repo} among the runs that are not over; another is refused`."""
    among = _AMONG.get(unique.scope)
    if among is None:
        among = f"{_AMONG[UniqueScope.ACTIVE]} or were made in the last {duration_in_words(unique.window_seconds or 0)}"
    return f"{unique.key} {among}; {_CONFLICTS[unique.conflict]}"


def _times(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
