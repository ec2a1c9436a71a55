"""Why is it waiting? One pure function answers for web, command line and API in the same words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from orchestra.clock import Instant, rfc3339, seconds_between
from orchestra.lifecycle import RunState, WorkerState
from orchestra.limits import BEFORE_COUNT_MAX
from orchestra.matching import exclusion
from orchestra.queries.addresses import moment
from orchestra.queries.forecast import Forecast
from orchestra.queries.worker_facts import WorkerFacts
from orchestra.specification import Matching


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """What decides why a run waits."""

    state: RunState
    reason: str
    matching: Matching
    due_at: Instant | None
    worker: str | None
    stop_requested_by: str | None
    before: int
    """Pending runs with the same demands that are served first."""
    workers: tuple[WorkerFacts, ...]
    obstacles: tuple[str, ...] = ()
    """What stands in its way whatever the workers do, each a sentence: quarantine, locks, groups, rates."""
    kept: Mapping[str, str] = field(default_factory=dict)
    """Workers by name whose free slots are not for this run, and why."""
    forecast: Forecast | None = None
    now: Instant


class WorkerAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one worker could take the run, and why not now."""

    name: str
    matches: bool
    reason: str
    """Why it does not have the run; empty if nothing stands against it."""


class WaitingView(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run waits; `reasons` is never empty for a run that does."""

    state: RunState
    reasons: tuple[str, ...]
    workers: tuple[WorkerAnswer, ...]
    expected_start: datetime | None = None
    """When a pending run is likely to start; null if nobody can know, and `reasons` says why."""


WAITING_STATES = frozenset({RunState.SCHEDULED, RunState.WAITING, RunState.PENDING, RunState.ASSIGNED})


def explain(facts: RunFacts) -> WaitingView:
    """The reasons, the most telling first."""
    match facts.state:
        case RunState.SCHEDULED:
            return _plain(facts, _until_due(facts))
        case RunState.WAITING:
            return _plain(facts, [facts.reason or "it waits for an approval"])
        case RunState.ASSIGNED:
            return _plain(facts, [_assigned_words(facts)])
        case RunState.PENDING:
            return _explain_pending(facts)
        case _:
            return _plain(facts, [])


def match_workers(
    matching: Matching, fleet: Sequence[WorkerFacts], now: Instant, kept: Mapping[str, str] | None = None
) -> tuple[WorkerAnswer, ...]:
    """For each worker: whether it has what the job asks, and why it could not take a run at this moment."""
    return tuple(_answer(matching, worker, now, kept or {}) for worker in fleet)


def _plain(facts: RunFacts, reasons: list[str]) -> WaitingView:
    if facts.stop_requested_by is not None and facts.state in WAITING_STATES:
        reasons = [f"{facts.stop_requested_by} asked to stop it", *reasons]
    return WaitingView(state=facts.state, reasons=tuple(reasons), workers=())


def _assigned_words(facts: RunFacts) -> str:
    worker = next((each for each in facts.workers if each.name == facts.worker), None)
    if worker is not None and worker.is_full:
        return f"it is among the next on {worker.name}, whose {worker.slots} slots are busy"
    return f"it was offered to {facts.worker or 'a worker'}, which has not confirmed its start yet"


def _until_due(facts: RunFacts) -> list[str]:
    if facts.due_at is None:
        return [facts.reason or "it waits for its time"]
    wait = max(0.0, seconds_between(facts.now, facts.due_at))
    starts = f"it starts at {rfc3339(facts.due_at)} (in {_duration(wait)})"
    return [f"{starts}: {facts.reason}" if facts.reason else starts]


def _explain_pending(facts: RunFacts) -> WaitingView:
    answers = match_workers(facts.matching, facts.workers, facts.now, facts.kept)
    forecast = [] if facts.forecast is None else [facts.forecast.words]
    reasons = [*facts.obstacles, *_from_fleet(facts, answers), *_queue(facts), *_last_offer(facts), *forecast]
    expected = None if facts.forecast is None else facts.forecast.expected_at
    view = _plain(facts, reasons)
    return msgspec.structs.replace(view, workers=answers, expected_start=None if expected is None else moment(expected))


def _from_fleet(facts: RunFacts, answers: Sequence[WorkerAnswer]) -> list[str]:
    if not facts.workers:
        return ["no worker has ever connected: start one with 'orchestra worker start'"]
    matching = [answer for answer in answers if answer.matches]
    connected = sum(worker.is_connected(facts.now) for worker in facts.workers)
    some = f"{len(facts.workers)} worker{'' if len(facts.workers) == 1 else 's'}"
    if not matching:
        return [
            f"none of {some} has what the job asks ({connected} connected)",
            *(f"{answer.name}: {answer.reason}" for answer in answers),
        ]
    if any(not answer.reason for answer in matching):
        if facts.obstacles:
            return []
        free = ", ".join(answer.name for answer in matching if not answer.reason)
        return [f"a master will offer it in a moment: {free} can take it"]
    return [
        f"{len(matching)} of {some} can do the job, none of them now ({connected} connected)",
        *(f"{answer.name}: {answer.reason}" for answer in matching),
    ]


def _queue(facts: RunFacts) -> list[str]:
    if not facts.before:
        return []
    count = f"at least {facts.before}" if facts.before >= BEFORE_COUNT_MAX else str(facts.before)
    runs_are = "run with the same demands is" if facts.before == 1 else "runs with the same demands are"
    return [f"{count} {runs_are} before it"]


def _last_offer(facts: RunFacts) -> list[str]:
    return [f"the last offer came to nothing: {facts.reason}"] if facts.reason else []


def _answer(matching: Matching, worker: WorkerFacts, now: Instant, kept: Mapping[str, str]) -> WorkerAnswer:
    excluded = exclusion(matching, worker.properties, slots=worker.slots)
    if excluded is not None:
        return WorkerAnswer(name=worker.name, matches=False, reason=excluded)
    hindrance = _hindrance(matching, worker, now) or kept.get(worker.name, "")
    return WorkerAnswer(name=worker.name, matches=True, reason=hindrance)


def _hindrance(matching: Matching, worker: WorkerFacts, now: Instant) -> str:
    if worker.state is not WorkerState.ONLINE:
        return f"is {worker.state}" + (f" ({worker.reason})" if worker.reason else "")
    if not worker.is_connected(now):
        if worker.last_contact_at is None:
            return "has never been in contact"
        return f"is out of contact for {_duration(seconds_between(worker.last_contact_at, now))}"
    if worker.slots_used + matching.slots > worker.slots:
        return f"is busy: {worker.slots_used} of {worker.slots} slots used by {_held_words(worker)}"
    return ""


def _held_words(worker: WorkerFacts) -> str:
    held = ", ".join(f"#{run}" for run in worker.runs[:5]) + (", …" if len(worker.runs) > 5 else "")
    if not worker.has_other_runs:
        return held
    return f"{held}, and runs of other projects" if held else "runs of other projects"


def _duration(seconds: float) -> str:
    whole = int(seconds)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= 2 * length:
            return f"{whole // length} {unit}"
    return f"{whole} s"
