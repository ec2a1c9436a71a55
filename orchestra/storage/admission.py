"""Whether a run is made, or begins to wait, beside the others: keys that are unique, groups that are full.

Asked in the transaction that makes the run; for one that is made for later, in the one in which it is due. What is
decided about one key or group is decided by one transaction at a time. Decision 0032 has the reasons.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection, select

from orchestra.clock import Instant
from orchestra.demands import DEMANDING_SIGNATURES, Demand, ResourceKind
from orchestra.durations import format_duration
from orchestra.errors import Conflict as NothingToStop
from orchestra.identifiers import JobId, JobVersionId, RunId, Signature
from orchestra.lifecycle import TERMINAL_STATES, RunState
from orchestra.policies import Conflict, Uniqueness, UniqueScope, WhenFull
from orchestra.storage.database import Signal, Topic, announce
from orchestra.storage.new_runs import NewRun, create_run, run_made_with
from orchestra.storage.pipeline_versions import specification_of_version
from orchestra.storage.prepared import PreparedQuery, listed
from orchestra.storage.resources import lock_names
from orchestra.storage.rivals import OtherRun, holders_of, newest_with_key, open_with_key, waiters_for
from orchestra.storage.stop_requests import ask_to_stop
from orchestra.storage.tables import runs
from orchestra.storage.terms import terms_of

BY_POLICY = "policy"
"""Who stops a run whose place another one takes."""


class Ruling(StrEnum):
    """What became of a wish for a run."""

    MADE = "made"
    EXISTING = "existing"
    """Another run is the answer."""
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """What became of it, and what it did to others: the caller follows those ends up (`follow_displaced`)."""

    ruling: Ruling
    run: RunId
    """The new one, or the one that it conflicts with."""
    words: str = ""
    """Why it was not made: "#12 has the same key 'web' and is running"."""
    remedy: str = ""
    ended: tuple[RunId, ...] = ()
    """Whose place it takes, and which nobody had yet."""
    asked: tuple[RunId, ...] = ()
    """Whose place it takes, and which somebody has: they are asked to stop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A run about which others are asked."""

    job: JobId
    signature: Signature
    unique: Uniqueness | None
    unique_key: str | None
    group: Demand | None
    """Only if the group's policy looks at others."""
    when_full: WhenFull
    is_due: bool = False
    """It was made for later, and its time has come."""
    is_retry: bool = False
    """A person wants it again: what is over does not stand against that."""
    is_queued: bool = False
    """It begins when the earlier ones are over: those that are stopped already are not in its way."""
    now: Instant

    @property
    def names(self) -> list[str]:
        """What nobody else may decide about meanwhile; the dispatcher takes those of the groups too."""
        keys = [] if self.unique is None or self.unique_key is None else [f"unique {self.job} {self.unique_key}"]
        return [*keys, *([self.group.resource] if self.group is not None else [])]


def admit(connection: Connection, new: NewRun) -> Admission:
    """Makes the run if its job's policies let it, in place of others if they say so. Asks for locks, so that no row is
    to be locked before."""
    candidate = _candidate(new)
    if not candidate.names or new.delay_seconds > 0:
        return Admission(ruling=Ruling.MADE, run=create_run(connection, new))
    lock_names(connection, candidate.names)
    repeated = run_made_with(connection, new.creation_key)
    if repeated is not None:
        return Admission(ruling=Ruling.MADE, run=repeated)
    found = _look_at_others(connection, candidate)
    if isinstance(found, Admission):
        return found
    return found.displace(connection, create_run(connection, new), new.now)


def admit_due(connection: Connection, run: RunId, candidate: Candidate) -> Admission:
    """The same for one that was made for later and is due now; its names are locked already. What is not admitted is
    ended by the caller."""
    found = _look_at_others(connection, candidate)
    return found if isinstance(found, Admission) else found.displace(connection, run, candidate.now)


def candidates_due(connection: Connection, due: Collection[RunId], now: Instant) -> dict[RunId, Candidate]:
    """Those of these scheduled runs about which others must be asked, now that their time has come. Asks for locks, so
    that no row is to be locked before."""
    found: dict[RunId, Candidate] = {}
    for row in _DUE.all(connection, {"due": list(due)}):
        policies = specification_of_version(connection, JobVersionId(row.job_version_id)).policies
        signature, group = Signature(row.signature), policies.concurrency
        when_full = WhenFull.QUEUE if group is None else group.when_full
        terms = None if when_full is WhenFull.QUEUE else terms_of(connection, signature)
        candidate = Candidate(
            job=JobId(row.job_id),
            signature=signature,
            unique=policies.unique,
            unique_key=row.unique_key,
            group=None if terms is None else _group_among(terms.demands, when_full),
            when_full=when_full,
            is_due=True,
            is_queued=bool(row.is_queued),
            now=now,
        )
        if candidate.names:
            found[RunId(row.id)] = candidate
    lock_names(connection, {name for candidate in found.values() for name in candidate.names})
    return found


def _candidate(new: NewRun) -> Candidate:
    return Candidate(
        job=new.job_id,
        signature=new.signature,
        unique=new.unique,
        unique_key=new.unique_key,
        group=_group_among(new.demands, new.when_full),
        when_full=new.when_full,
        is_retry=new.retry_of is not None,
        is_queued=new.is_queued,
        now=new.now,
    )


def _group_among(demands: Collection[Demand], when_full: WhenFull) -> Demand | None:
    """The group at which a run looks before it is made, if it does."""
    if when_full is WhenFull.QUEUE:
        return None
    return next((each for each in demands if each.kind is ResourceKind.GROUP), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Displaced:
    """The runs whose place the new one takes."""

    replaced: Sequence[OtherRun]
    superseded: Sequence[OtherRun]

    def displace(self, connection: Connection, run: RunId, now: Instant) -> Admission:
        """Stops them, now that it is known which run they make way for."""
        reasons = {each.id: f"superseded by #{run}" for each in self.superseded}
        reasons |= {each.id: f"replaced by #{run}" for each in self.replaced}
        ended: list[RunId] = []
        asked: list[RunId] = []
        for other in sorted(reasons):
            try:
                state = ask_to_stop(connection, other, by=BY_POLICY, reason=reasons[other], now=now)
            except NothingToStop:
                continue  # It has just ended.
            announce(connection, Signal(Topic.STOPS, str(other)), Signal(Topic.RUN, str(other)))
            (ended if state in TERMINAL_STATES else asked).append(other)
        return Admission(ruling=Ruling.MADE, run=run, ended=tuple(ended), asked=tuple(asked))


def _look_at_others(connection: Connection, candidate: Candidate) -> Admission | _Displaced:
    replaced: Sequence[OtherRun] = ()
    if candidate.unique is not None and candidate.unique_key is not None:
        same = _same(connection, candidate, candidate.unique, candidate.unique_key)
        if same and candidate.unique.conflict is not Conflict.REPLACE:
            return _kept_out_by(same[0], candidate.unique, candidate.unique_key)
        replaced = [each for each in same if each.state not in TERMINAL_STATES]
    if candidate.group is None:
        return _Displaced(replaced=replaced, superseded=())
    superseded = _superseded(connection, candidate, candidate.group, {each.id for each in replaced})
    if isinstance(superseded, Admission):
        return superseded
    return _Displaced(replaced=replaced, superseded=superseded)


# --- uniqueness ---


def _same(connection: Connection, candidate: Candidate, unique: Uniqueness, key: str) -> Sequence[OtherRun]:
    """The runs that stand against it, the oldest first: those of the scope that have the same key."""
    same = [each for each in open_with_key(connection, candidate.job, key) if _counts(each, candidate)]
    if unique.scope is UniqueScope.PENDING:
        return [each for each in same if not each.is_held]
    if same or unique.scope is UniqueScope.ACTIVE or candidate.is_retry:
        return same
    assert unique.window_seconds is not None, "a window has a length"
    newest = newest_with_key(connection, candidate.job, key, unique.window_seconds, candidate.now)
    return [] if newest is None else [newest]


def _counts(other: OtherRun, candidate: Candidate) -> bool:
    if candidate.is_queued and other.is_stopping:
        return False
    # Of two that are due at different times the later one is asked when its own time has come. So this one is itself no
    # rival of its own.
    return not candidate.is_due or not other.is_for_later


def _kept_out_by(other: OtherRun, unique: Uniqueness, key: str) -> Admission:
    words = f"#{other.id} has the same key {key!r} and is {other.state}"
    remedy = "wait until it is over, or stop it first"
    if other.state in TERMINAL_STATES:
        window = format_duration(unique.window_seconds or 0.0)
        words = f"#{other.id} has the same key {key!r} and was made within the last {window}"
        remedy = "wait until that time has passed, or retry that run"
    elif unique.scope is UniqueScope.PENDING:
        remedy = "it has not begun yet and does the same; cancel it first if it must not"
    ruling = Ruling.EXISTING if unique.conflict is Conflict.RETURN_EXISTING else Ruling.REFUSED
    return Admission(ruling=ruling, run=other.id, words=words, remedy=remedy)


# --- groups ---


def _superseded(
    connection: Connection, candidate: Candidate, group: Demand, replaced: Collection[RunId]
) -> Sequence[OtherRun] | Admission:
    """Whose place in the group it takes, or why it does not get one.

    Runs that are pending and alike go before it, so that they count as if they had the room already: what is decided
    does not depend on how soon they are given to a worker.
    """
    holders = [each for each in holders_of(connection, group.resource) if each.id not in replaced]
    waiters = [
        each for each in waiters_for(connection, group.resource) if each.id not in replaced and not each.is_for_later
    ]
    room = group.most - sum(each.amount for each in holders)
    alike = [each for each in waiters if each.state is RunState.PENDING and each.signature == candidate.signature]
    before = [*holders, *alike]
    if not before or room - sum(each.amount for each in alike) >= group.amount:
        return ()
    match candidate.when_full:
        case WhenFull.CANCEL_PENDING:
            return _beyond(waiters, room)
        case WhenFull.CANCEL_RUNNING:
            return [*holders, *waiters]
        case _:
            words = f"group {group.name} is full: #{before[0].id} is {before[0].state}"
            return Admission(
                ruling=Ruling.REFUSED,
                run=before[0].id,
                words=words if group.most == 1 else f"{words}, and it takes {group.most} at once",
                remedy="wait until it is over, or stop it first",
            )


def _beyond(waiters: Sequence[OtherRun], room: int) -> Sequence[OtherRun]:
    """Those that wait without any room for them, in the order of their turns."""
    beyond = []
    for each in waiters:
        if each.state is RunState.PENDING and each.amount <= room:
            room -= each.amount
        else:
            beyond.append(each)
    return beyond


class _Due(NamedTuple):
    id: int
    job_id: int
    job_version_id: int
    signature: str
    unique_key: str | None
    is_queued: bool


# One that has had an attempt was asked about before that one, and only waits for the next.
_DUE = PreparedQuery(
    _Due,
    lambda count: select(*(runs.c[name] for name in _Due._fields)).where(
        runs.c.id.in_(listed("due", runs.c.id.type, count)),
        runs.c.attempt == 0,
        runs.c.unique_key.is_not(None) | runs.c.signature.like(DEMANDING_SIGNATURES),
    ),
    of_list="due",
)
