"""The lives of runs, attempts and workers, each an enumeration and a table: a pair that is not there cannot happen."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from orchestra.errors import ImpossibleTransition


class RunState(StrEnum):
    """Where a run is in its life."""

    SCHEDULED = "scheduled"
    """Waits for a time: a delay, or the back-off before a retry."""
    WAITING = "waiting"
    """Waits for a person: approval."""
    PENDING = "pending"
    """Ready; waits for a worker, a lock, a limit."""
    ASSIGNED = "assigned"
    """Offered to a worker; its start is not yet confirmed."""
    RUNNING = "running"
    """A worker executes it. "Out of contact" is a note on this state, never a state."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The job said no: exit code, signal, timeout."""
    ABORTED = "aborted"
    """Stopped on request while it ran."""
    CANCELLED = "cancelled"
    """Withdrawn before it started, or expired."""
    SKIPPED = "skipped"
    """A pipeline rule or an overlap policy said so."""
    EXCEPTION = "exception"
    """Our side or the worker failed: set-up, bad template, command not found, worker lost."""


class RunEvent(StrEnum):
    """What can happen to a run."""

    DUE = "due"
    APPROVED = "approved"
    APPROVAL_SATISFIED = "approval satisfied"
    OFFERED = "offered"
    WITHDRAWN = "withdrawn"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SKIPPED = "skipped"
    BROKE = "broke"
    RETRY_PLANNED = "retry planned"


TERMINAL_STATES = frozenset(
    {
        RunState.SUCCEEDED,
        RunState.FAILED,
        RunState.ABORTED,
        RunState.CANCELLED,
        RunState.SKIPPED,
        RunState.EXCEPTION,
    }
)

HOLDING_STATES = frozenset({RunState.ASSIGNED, RunState.RUNNING})
"""In these a run has what it demands of locks and the like; in all others it has nothing of it."""

NEXT_RUN_STATE: Mapping[tuple[RunState, RunEvent], RunState] = {
    (RunState.SCHEDULED, RunEvent.DUE): RunState.PENDING,
    (RunState.SCHEDULED, RunEvent.CANCELLED): RunState.CANCELLED,
    (RunState.SCHEDULED, RunEvent.SKIPPED): RunState.SKIPPED,
    (RunState.WAITING, RunEvent.APPROVED): RunState.PENDING,
    (RunState.WAITING, RunEvent.APPROVAL_SATISFIED): RunState.SUCCEEDED,
    (RunState.WAITING, RunEvent.CANCELLED): RunState.CANCELLED,
    (RunState.PENDING, RunEvent.OFFERED): RunState.ASSIGNED,
    (RunState.PENDING, RunEvent.STARTED): RunState.RUNNING,
    (RunState.PENDING, RunEvent.SKIPPED): RunState.SKIPPED,
    (RunState.PENDING, RunEvent.CANCELLED): RunState.CANCELLED,
    (RunState.PENDING, RunEvent.EXPIRED): RunState.CANCELLED,
    (RunState.PENDING, RunEvent.BROKE): RunState.EXCEPTION,
    (RunState.ASSIGNED, RunEvent.STARTED): RunState.RUNNING,
    (RunState.ASSIGNED, RunEvent.WITHDRAWN): RunState.PENDING,
    (RunState.ASSIGNED, RunEvent.RETRY_PLANNED): RunState.SCHEDULED,
    (RunState.ASSIGNED, RunEvent.CANCELLED): RunState.CANCELLED,
    (RunState.ASSIGNED, RunEvent.ABORTED): RunState.ABORTED,
    (RunState.ASSIGNED, RunEvent.BROKE): RunState.EXCEPTION,
    (RunState.RUNNING, RunEvent.SUCCEEDED): RunState.SUCCEEDED,
    (RunState.RUNNING, RunEvent.FAILED): RunState.FAILED,
    (RunState.RUNNING, RunEvent.ABORTED): RunState.ABORTED,
    (RunState.RUNNING, RunEvent.BROKE): RunState.EXCEPTION,
    (RunState.RUNNING, RunEvent.RETRY_PLANNED): RunState.SCHEDULED,
}


class AttemptState(StrEnum):
    """Where one try of a run on one worker is in its life."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    """From here on only the worker's word, or lost-after, ends the attempt."""
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    EXCEPTION = "exception"
    WITHDRAWN = "withdrawn"
    """Never ran: neither counted nor shown as an attempt."""


class AttemptEvent(StrEnum):
    """What can happen to an attempt."""

    ACCEPTED = "accepted"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    BROKE = "broke"
    WITHDRAWN = "withdrawn"


LIVE_ATTEMPT_STATES = frozenset({AttemptState.OFFERED, AttemptState.ACCEPTED, AttemptState.STARTED})

NEXT_ATTEMPT_STATE: Mapping[tuple[AttemptState, AttemptEvent], AttemptState] = {
    (AttemptState.OFFERED, AttemptEvent.ACCEPTED): AttemptState.ACCEPTED,
    (AttemptState.OFFERED, AttemptEvent.WITHDRAWN): AttemptState.WITHDRAWN,
    (AttemptState.ACCEPTED, AttemptEvent.STARTED): AttemptState.STARTED,
    (AttemptState.ACCEPTED, AttemptEvent.WITHDRAWN): AttemptState.WITHDRAWN,
    (AttemptState.ACCEPTED, AttemptEvent.ABORTED): AttemptState.ABORTED,
    (AttemptState.ACCEPTED, AttemptEvent.BROKE): AttemptState.EXCEPTION,
    (AttemptState.STARTED, AttemptEvent.SUCCEEDED): AttemptState.SUCCEEDED,
    (AttemptState.STARTED, AttemptEvent.FAILED): AttemptState.FAILED,
    (AttemptState.STARTED, AttemptEvent.ABORTED): AttemptState.ABORTED,
    (AttemptState.STARTED, AttemptEvent.BROKE): AttemptState.EXCEPTION,
}


class WorkerState(StrEnum):
    """Whether a worker gets runs. Being out of contact is no state: see its last contact."""

    ONLINE = "online"
    DRAINING = "draining"
    """Finishes what it has and takes nothing new."""
    DISABLED = "disabled"
    """A person said: nothing new."""
    QUARANTINED = "quarantined"
    """Two live instances took the name from each other; a person must say which is right."""


class WorkerEvent(StrEnum):
    """What can happen to a worker."""

    DRAIN_ASKED = "drain asked"
    RESUMED = "resumed"
    DISABLED = "disabled"
    ENABLED = "enabled"
    CONTESTED = "contested"


NEXT_WORKER_STATE: Mapping[tuple[WorkerState, WorkerEvent], WorkerState] = {
    (WorkerState.ONLINE, WorkerEvent.DRAIN_ASKED): WorkerState.DRAINING,
    (WorkerState.ONLINE, WorkerEvent.DISABLED): WorkerState.DISABLED,
    (WorkerState.ONLINE, WorkerEvent.CONTESTED): WorkerState.QUARANTINED,
    (WorkerState.DRAINING, WorkerEvent.RESUMED): WorkerState.ONLINE,
    (WorkerState.DRAINING, WorkerEvent.DISABLED): WorkerState.DISABLED,
    (WorkerState.DRAINING, WorkerEvent.CONTESTED): WorkerState.QUARANTINED,
    (WorkerState.DISABLED, WorkerEvent.ENABLED): WorkerState.ONLINE,
    (WorkerState.QUARANTINED, WorkerEvent.ENABLED): WorkerState.ONLINE,
    (WorkerState.QUARANTINED, WorkerEvent.DISABLED): WorkerState.DISABLED,
}

State = TypeVar("State", bound=StrEnum)
Event = TypeVar("Event", bound=StrEnum)


def next_state(table: Mapping[tuple[State, Event], State], state: State, event: Event) -> State:
    """The state after the event; raises ImpossibleTransition for a pair that the table does not have."""
    try:
        return table[state, event]
    except KeyError:
        raise ImpossibleTransition(state.value, event.value) from None
