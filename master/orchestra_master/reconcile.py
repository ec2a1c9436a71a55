"""What a worker that comes back still holds, set against what the database knows: a pure decision for every attempt."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestra.lifecycle import AttemptState
from orchestra.protocol.messages import Forget, Go, Held, MasterMessage, Resume, Stop
from orchestra.storage.attempts import OpenAttempt

_NOT_STARTED = (AttemptState.OFFERED, AttemptState.ACCEPTED)


@dataclass(kw_only=True, slots=True)
class Reconciliation:
    """What follows from a hello. `answers` are sent after the changes are committed."""

    answers: list[MasterMessage] = field(default_factory=list)
    accept: list[OpenAttempt] = field(default_factory=list)
    """Journalled by the worker while the master still believes them to be offered: its acceptance got lost."""
    withdraw: list[OpenAttempt] = field(default_factory=list)
    """Offered, but never journalled, or not wanted any more: nothing ran."""
    lost: list[tuple[OpenAttempt, str]] = field(default_factory=list)
    """Accepted or started once, but the worker cannot tell any more what became of them."""
    kept: list[OpenAttempt] = field(default_factory=list)
    """What goes on."""
    ready: list[OpenAttempt] = field(default_factory=list)
    """Those of them that have not started, as far as the worker knows."""
    prefetched: list[OpenAttempt] = field(default_factory=list)
    """Those of them for which no slot is free: they are told to go later."""

    def let_go(self, slots: int) -> None:
        """Lets those that are ready go on this many slots: what has started comes first, then what was made first."""
        waits = {(each.run, each.attempt) for each in self.ready}
        free = slots - sum(each.slots for each in self.kept if (each.run, each.attempt) not in waits)
        for each in sorted(self.ready, key=lambda each: each.run):
            if each.slots <= free and not self.prefetched:
                free -= each.slots
                self.answers.append(Go(run=each.run, attempt=each.attempt))
            else:
                self.prefetched.append(each)


def reconcile(held: Sequence[Held], stored: Sequence[OpenAttempt]) -> Reconciliation:
    """Sets every held attempt against the stored one; each held attempt gets exactly one first answer."""
    result = Reconciliation()
    by_key = {(each.run, each.attempt): each for each in stored}
    for each in held:
        known = by_key.pop((each.run, each.attempt), None)
        if known is None:
            result.answers.append(Forget(run=each.run, attempt=each.attempt))
        else:
            _set_against(each, known, result)
    for missing in by_key.values():
        if missing.state is AttemptState.OFFERED:
            result.withdraw.append(missing)
        else:
            result.lost.append((missing, "the worker came back without any trace of it"))
    return result


def _set_against(held: Held, known: OpenAttempt, result: Reconciliation) -> None:
    run, attempt = held.run, held.attempt
    if known.state is AttemptState.OFFERED:
        if held.state not in _NOT_STARTED:
            # Never said go, and yet it ran: the database is older than the worker. To give it away would run it twice.
            result.lost.append((known, "the worker has started what was only offered to it"))
            result.answers.append(Forget(run=run, attempt=attempt))
        elif known.stop_reason is not None:
            result.withdraw.append(known)
            result.answers.append(Forget(run=run, attempt=attempt))
        else:
            result.accept.append(known)
            result.kept.append(known)
            result.ready.append(known)
            result.answers.append(Resume(run=run, attempt=attempt, sequence=0, log_length=0))
        return
    went_back = held.sequence < known.sequence or held.log_length < known.log_length
    if went_back or (known.state is AttemptState.STARTED and held.state in _NOT_STARTED):
        result.lost.append((known, "the worker came back with an older state of it"))
        result.answers.append(Forget(run=run, attempt=attempt))
        return
    result.kept.append(known)
    result.answers.append(Resume(run=run, attempt=attempt, sequence=known.sequence, log_length=known.log_length))
    if known.stop_reason is not None:
        result.answers.append(Stop(run=run, attempt=attempt, reason=known.stop_reason))
    elif held.state in _NOT_STARTED:
        result.ready.append(known)
