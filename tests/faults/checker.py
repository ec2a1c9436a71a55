"""Compares what the jobs wrote down with what the product says, as Jepsen's test of Chronos does: it counts."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from orchestra.limits import SEGMENT_BYTES
from orchestra.network.client import API
from tests.faults.violations import Guarantee, Violation, Violations, together
from tests.faults.witness import Execution, Witness
from tests.support.journey import Instance

TERMINAL = frozenset({"succeeded", "failed", "aborted", "cancelled", "skipped", "exception"})
NEVER_RAN = frozenset({"cancelled", "skipped"})
SAID_BY_THE_JOB = frozenset({"succeeded", "failed"})


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a run that was triggered must have come to."""

    states: frozenset[str] = frozenset({"succeeded"})
    attempts_max: int = 1
    """What the job's policy allows."""
    log: Callable[[int, int], bytes] | None = None
    """All that the run's attempt prints if it comes to its own end; None: not looked at."""


class AttemptSeen(msgspec.Struct, frozen=True):
    """What the product says of an attempt."""

    number: int
    state: str
    reason: str
    log_length: int
    log_digest: str | None
    lost_bytes: int


class RunSeen(msgspec.Struct, frozen=True):
    """What the product says of a run."""

    id: int
    state: str
    reason: str
    exit_code: int | None
    log_length: int
    attempts_counted: int
    attempts: tuple[AttemptSeen, ...]


class TickSeen(msgspec.Struct, frozen=True):
    """What the product says of a due instant."""

    due_at: datetime
    decision: str
    run: int | None


class TicksSeen(msgspec.Struct, frozen=True):
    """A page of them."""

    items: tuple[TickSeen, ...]
    next: str | None = None


def check(instance: Instance, witness: Witness, expected: Mapping[int, Expected]) -> Violations:
    """Everything that is not as promised about these runs, and every execution of a run that nobody asked for."""
    executions = by_run(witness.executions())
    found = [
        Violation(guarantee=Guarantee.ACCEPTANCE, kind="extra", text=f"#{run} was executed, and nobody triggered it")
        for run in executions
        if run not in expected
    ]
    for number, promise in expected.items():
        seen = see(instance, number)
        executed = executions.get(number, [])
        found += executions_of(seen, promise, executed)
        found += outcome_of(seen, promise, executed)
        if promise.log is not None:
            found += logs_of(instance, seen, promise.log)
    return together(found)


def check_unchanged(before: Iterable[RunSeen], after: Mapping[int, RunSeen]) -> Violations:
    """What has changed about runs that were over."""
    return together(
        Violation(guarantee=Guarantee.LIVENESS, kind="changed", text=f"{old} has become {after[old.id]}")
        for old in before
        if old.state in TERMINAL and old != after[old.id]
    )


def check_ticks(instance: Instance, job: str, due: Sequence[datetime], witness: Witness) -> Violations:
    """Each due instant of `project/job` has one decision, and `fired` means one run that was executed once."""
    ticks = ticks_of(instance, job)
    decided = Counter(tick.due_at for tick in ticks)
    executed = by_run(witness.executions())
    found = [("missed", f"nothing was decided about {instant}") for instant in due if instant not in decided]
    found += [("extra", f"{count} decisions about {instant}") for instant, count in decided.items() if count > 1]
    found += [("extra", f"{instant} was never due") for instant in decided if instant not in set(due)]
    for tick in ticks:
        count = 0 if tick.run is None else len(executed.get(tick.run, []))
        if tick.decision.startswith("fired") != (tick.run is not None):
            found.append(("outcome", f"{tick} has a decision and a run that do not fit"))
        elif tick.run is not None and count != 1:
            found.append(("missed" if count == 0 else "extra", f"{tick} was executed {count} times"))
    return together(Violation(guarantee=Guarantee.TICKS, kind=kind, text=text) for kind, text in found)


def see(instance: Instance, run: int) -> RunSeen:
    """The run as the product tells of it now."""
    return instance.api.get(f"{API}/runs/{run}").read(RunSeen)


def ticks_of(instance: Instance, job: str) -> list[TickSeen]:
    """Every decision about `project/job`, newest first."""
    project, _, name = job.partition("/")
    found: list[TickSeen] = []
    key: str | None = None
    while True:
        path = f"{API}/projects/{project}/jobs/{name}/schedule/ticks"
        page = instance.api.get(path, {"limit": 100, "cursor": key}).read(TicksSeen)
        found += page.items
        if page.next is None:
            return found
        key = page.next


def by_run(executions: Iterable[Execution]) -> dict[int, list[Execution]]:
    """The executions of each run, in their order."""
    found: dict[int, list[Execution]] = {}
    for execution in executions:
        found.setdefault(execution.run, []).append(execution)
    return found


def executions_of(seen: RunSeen, promise: Expected, executed: Sequence[Execution]) -> Iterator[Violation]:
    """More executions than allowed, and those that were there at the same time."""
    each = Counter(one.attempt for one in executed)
    for attempt, count in each.items():
        if count > 1:
            yield _violation(Guarantee.ONE_SPAWN, "extra", seen, f"attempt {attempt} was executed {count} times")
    if len(each) > promise.attempts_max:
        text = f"{len(each)} attempts were executed where {promise.attempts_max} were allowed"
        yield _violation(Guarantee.ONE_SPAWN, "extra", seen, text)
    told = {attempt.number for attempt in seen.attempts}
    for attempt in each:
        if attempt not in told:
            yield _violation(Guarantee.ONE_SPAWN, "extra", seen, f"attempt {attempt} ran and is told of nowhere")
    for earlier, later in itertools.pairwise(executed):
        if later.first < earlier.last:
            text = f"attempt {later.attempt} began while attempt {earlier.attempt} was alive"
            yield _violation(Guarantee.NO_OVERLAP, "overlapping", seen, text)


def outcome_of(seen: RunSeen, promise: Expected, executed: Sequence[Execution]) -> Iterator[Violation]:
    """An end that is missing, is not allowed, or does not fit what the job did."""
    if seen.state not in TERMINAL:
        yield _violation(Guarantee.LIVENESS, "missed", seen, "it is not over")
    elif seen.state not in promise.states:
        yield _violation(Guarantee.LIVENESS, "outcome", seen, f"it should be {' or '.join(sorted(promise.states))}")
    if seen.state in SAID_BY_THE_JOB and not executed:
        yield _violation(Guarantee.LIVENESS, "missed", seen, "it is over and was never executed")
    if seen.state == "succeeded" and executed and not executed[-1].has_ended:
        yield _violation(Guarantee.LIVENESS, "outcome", seen, "its last execution never came to its end")
    if seen.state in NEVER_RAN and executed:
        yield _violation(Guarantee.CANCEL, "extra", seen, f"it was executed {len(executed)} times")
    if seen.attempts_counted > promise.attempts_max:
        yield _violation(Guarantee.ONE_SPAWN, "extra", seen, f"{seen.attempts_counted} attempts are counted")


def logs_of(instance: Instance, seen: RunSeen, log: Callable[[int, int], bytes]) -> Iterator[Violation]:
    """Stored bytes that are not those that were printed; an attempt that was broken off has a beginning of them."""
    for attempt in seen.attempts:
        if attempt.log_digest is None and attempt.log_length == 0:
            continue  # nothing of it ever came
        stored, printed = instance.log(seen.id, attempt.number), log(seen.id, attempt.number)
        place = f"attempt {attempt.number} ({attempt.state})"
        if attempt.state in SAID_BY_THE_JOB and stored != printed:
            yield _violation(Guarantee.LOG, "log", seen, f"{place} {difference(stored, printed)}")
        elif not printed.startswith(stored):
            yield _violation(Guarantee.LOG, "log", seen, f"{place} {difference(stored, printed[: len(stored)])}")
        if attempt.log_length != len(stored):
            yield _violation(Guarantee.LOG, "log", seen, f"{place} tells of {attempt.log_length}, has {len(stored)}")
        if attempt.log_digest is not None and attempt.log_digest != digest_of(stored):
            yield _violation(Guarantee.LOG, "log", seen, f"{place} has a digest of something else")
        if attempt.lost_bytes:
            yield _violation(Guarantee.LOG, "log", seen, f"{place} has lost {attempt.lost_bytes} bytes")


def digest_of(log: bytes) -> str:
    """SHA-256 over the SHA-256 of each segment, computed anew and by nobody's code but this."""
    pieces = [log[start : start + SEGMENT_BYTES] for start in range(0, len(log), SEGMENT_BYTES)]
    return hashlib.sha256(b"".join(hashlib.sha256(piece).digest() for piece in pieces)).hexdigest()


def difference(stored: bytes, printed: bytes) -> str:
    """Where two logs part."""
    pairs = enumerate(zip(stored, printed, strict=False))
    at = next((place for place, (one, other) in pairs if one != other), min(len(stored), len(printed)))
    return (
        f"has {len(stored)} bytes of {len(printed)}, and other ones from {at}:"
        f" stored {stored[at : at + 60]!r}, printed {printed[at : at + 60]!r}"
    )


def _violation(guarantee: Guarantee, kind: str, seen: RunSeen, text: str) -> Violation:
    return Violation(guarantee=guarantee, kind=kind, text=f"#{seen.id} ({seen.state}: {seen.reason}): {text}")
