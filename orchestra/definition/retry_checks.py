"""What a retry policy must hold to be usable, and what of it is only unwise."""

import re
from collections.abc import Iterator

from orchestra.definition import bounds
from orchestra.definition.faults import Fault, bound_fault
from orchestra.definition.problems import Path
from orchestra.definition.values import did_you_mean
from orchestra.durations import format_duration
from orchestra.specification import RetryCause, RetryPolicy, names_of_cause

_EXIT_CAUSE = re.compile(r"exit:(\d{1,3})")
_CAUSES = tuple(str(cause) for cause in RetryCause)


def retry_faults(retry: RetryPolicy, path: Path) -> Iterator[Fault]:
    """Everything that forbids to use the policy at this path."""
    yield from bound_fault(retry.max_attempts, bounds.MAX_ATTEMPTS, (*path, "max-attempts"))
    yield from bound_fault(retry.wait_seconds, bounds.RETRY_WAIT, (*path, "wait"))
    yield from bound_fault(retry.factor, bounds.RETRY_FACTOR, (*path, "factor"))
    yield from bound_fault(retry.max_wait_seconds, bounds.RETRY_MAX_WAIT, (*path, "max-wait"))
    if retry.max_wait_seconds in bounds.RETRY_MAX_WAIT and retry.max_wait_seconds < retry.wait_seconds:
        wait = format_duration(retry.wait_seconds)
        yield Fault((*path, "max-wait"), f"is shorter than the first wait of {wait}", f"write `max-wait: {wait}`")
    if not retry.on:
        yield Fault((*path, "on"), "names no cause", "write `on: [exit, timeout, lost]`, or remove `retry`")
    for key, causes in (("on", retry.on), ("never", retry.never)):
        for index, cause in enumerate(causes):
            yield from _cause_fault(cause, (*path, key, str(index)), key)
    never = frozenset(retry.never)
    if retry.on and all(not never.isdisjoint(names_of_cause(cause)) for cause in retry.on):
        yield Fault((*path, "never"), "takes back everything that `on` names", "name less, or remove `retry`")


def retry_hints(retry: RetryPolicy, path: Path) -> Iterator[Fault]:
    """What is allowed and does nothing."""
    if retry.max_attempts == 1 and retry != RetryPolicy():
        yield Fault(path, "allows one attempt, so that nothing is ever tried again", "add `max-attempts: 3`")


def _cause_fault(cause: str, path: Path, key: str) -> Iterator[Fault]:
    code = _EXIT_CAUSE.fullmatch(cause)
    if cause in _CAUSES or (code is not None and 1 <= int(code[1]) <= 255):
        return
    known = f"must be one of {', '.join(_CAUSES)} or exit:CODE with 1 to 255"
    remedy = did_you_mean(cause, _CAUSES) or f"write `{key}: [exit, lost]`, or `{key}: [exit:75]`"
    if _EXIT_CAUSE.fullmatch(f"exit:{cause}") and 1 <= int(cause) <= 255:
        remedy = f"write `exit:{int(cause)}`"
    yield Fault(path, f'{known}, got "{cause[:40]}"', remedy)
