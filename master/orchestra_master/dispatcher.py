"""Gives pending runs to connected workers: the hot path, woken by signals, with a slow poll as safety net.

What is pending stays in the database behind an index; in memory are only the requirement signatures that may have
pending runs, so that a pass costs the same with ten or a million of them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import msgspec
from sqlalchemy import Connection

from orchestra.clock import Instant
from orchestra.errors import OrchestraError
from orchestra.identifiers import Signature, WorkerId
from orchestra.lifecycle import RunEvent, RunState
from orchestra.limits import (
    FRAME_BYTES_MAX,
    OFFERS_PER_PASS_MAX,
    REFUSED_OFFER_SECONDS,
)
from orchestra.protocol.codec import frame_bytes
from orchestra.protocol.messages import Offer
from orchestra.specification import JobSpecification, Matching, ParameterType, PropertyValue
from orchestra.storage.attempts import Claim, ClaimedRun, claim_runs, withdraw_offer
from orchestra.storage.database import Signal, Topic
from orchestra.storage.job_versions import JobVersion
from orchestra.storage.jobs import matching_of
from orchestra.storage.pending import PendingRun, pending_heads, pending_signatures
from orchestra.storage.run_moves import state_of_run
from orchestra.storage.runs import move_run
from orchestra_master.parts import MasterParts
from orchestra_master.selection import Candidate, WorkerSelector, able, able_soon


class SecretReader(Protocol):
    """Opens what the service sealed."""

    def open(self, sealed: str) -> dict[str, str]:
        """The secret parameters of a run; raises an OrchestraError if they cannot be opened."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pass:
    """What one transaction gave away."""

    claimed: list[tuple[ClaimedRun, JobVersion]]
    exhausted: frozenset[Signature]
    """Signatures of which every pending run was looked at and given away."""
    void: frozenset[WorkerId]
    """Workers that were chosen, but whose session is not the newest any more or that take nothing."""


class Dispatcher:
    """Owned by one master; gives runs only to workers that are connected to it."""

    def __init__(self, *, parts: MasterParts, selector: WorkerSelector, secrets: SecretReader) -> None:
        self._parts = parts
        self._selector = selector
        self._secrets = secrets
        self._matchings: dict[Signature, Matching] = {}
        self._hungry: set[Signature] = set()
        """May have pending runs that a worker could take now."""
        self._blocked: set[Signature] = set()
        """Had pending runs when no worker could take one."""
        self._polled_at: float | None = None

    @property
    def hungry(self) -> int:
        """How many kinds of requirements may have runs that a worker could take now."""
        return len(self._hungry)

    @property
    def blocked(self) -> int:
        """How many have runs, but no worker could take one."""
        return len(self._blocked)

    @property
    def rest_seconds(self) -> float | None:
        """After how long there may be somebody to give runs to though nothing was signalled; None: not by itself."""
        now = self._parts.clock.monotonic()
        waits = [each.refused_until - now for each in self._parts.roster.connected() if each.refused_until > now]
        return min(waits, default=None) if self._blocked else None

    def wake(self, signals: frozenset[Signal]) -> None:
        """Takes in what was signalled; a signal without a signature stands for all of them."""
        for signal in signals:
            if signal.payload:
                self._hungry.add(Signature(signal.payload))
            else:
                self._polled_at = None

    def capacity_changed(self) -> None:
        """A worker may be able to take what was blocked."""
        self._hungry |= self._blocked
        self._blocked.clear()

    async def dispatch_once(self) -> bool:
        """Gives away what can be given in one transaction; true if there may be more at once."""
        await self._poll()
        await self._learn_matchings()
        # No await from here to the transaction: a worker that comes in between would find its signature neither hungry
        # nor blocked, and would wait for the next poll.
        candidates = self._candidates()
        wanted: dict[Signature, tuple[Matching, int]] = {}
        for signature in sorted(self._hungry & self._matchings.keys()):
            matching = self._matchings[signature]
            room = _room(matching, candidates)
            if room:
                wanted[signature] = (matching, min(room, OFFERS_PER_PASS_MAX))
                self._blocked.discard(signature)
            else:
                self._blocked.add(signature)
        self._hungry -= self._blocked
        if not wanted:
            return False
        now = self._parts.clock.now()
        # What is signalled while the transaction is under way must stay hungry after it.
        self._hungry.difference_update(wanted)
        try:
            done = await self._parts.database.write(
                lambda connection: self._give(connection, wanted, candidates, now), signals=_signals_of
            )
        except BaseException:
            self._hungry.update(wanted)
            raise
        self._hungry.update(signature for signature in wanted if signature not in done.exhausted)
        self._pass_over(done.void)
        # First all that can be offered, so that a database that goes away meanwhile holds up none of them.
        failed = [failure for each, version in done.claimed if (failure := self._offer(each, version))]
        for failure in failed:
            await self._take_back(failure)
        return bool(self._hungry)

    def _pass_over(self, void: Collection[WorkerId]) -> None:
        """Without this the same worker would be chosen again and again, and the run never start elsewhere."""
        for worker in void:
            connected = self._parts.roster.find(worker)
            if connected is not None:
                connected.refused_until = self._parts.clock.monotonic() + REFUSED_OFFER_SECONDS

    async def _poll(self) -> None:
        now = self._parts.clock.monotonic()
        if self._polled_at is None or now - self._polled_at >= self._parts.poll_seconds:
            self._polled_at = now
            try:
                self._hungry |= set(await self._parts.database.read(pending_signatures))
            except BaseException:
                self._polled_at = None
                raise

    def _candidates(self) -> list[Candidate]:
        now = self._parts.clock.monotonic()
        return [
            Candidate(
                worker=each.worker,
                name=each.name,
                properties=each.properties,
                slots=each.slots,
                free_slots=free_slots,
                prefetch_room=prefetch_room,
            )
            for each in self._parts.roster.connected()
            if each.accepts_runs and each.refused_until <= now
            if (free_slots := max(0, each.free_slots)) + (prefetch_room := each.prefetch_room(now)) > 0
        ]

    async def _learn_matchings(self) -> None:
        for signature in self._hungry - self._matchings.keys():
            found = await self._parts.database.read(partial(matching_of, signature=signature))
            if found is None:
                self._hungry.discard(signature)
            else:
                self._matchings[signature] = found

    def _give(
        self,
        connection: Connection,
        wanted: Mapping[Signature, tuple[Matching, int]],
        candidates: Sequence[Candidate],
        now: Instant,
    ) -> _Pass:
        """Looks at the heads of the queues and claims for them, in one transaction. Replayable: changes nothing of
        its own."""
        heads: list[PendingRun] = []
        exhausted = set(wanted)
        for signature, (_, limit) in wanted.items():
            found = pending_heads(connection, signature, limit)
            heads += found
            if len(found) == limit:
                exhausted.discard(signature)
        heads.sort(key=lambda head: (-head.priority, head.run))
        claims, left = self._assign(heads[:OFFERS_PER_PASS_MAX], wanted, candidates)
        exhausted -= {head.signature for head in [*left, *heads[OFFERS_PER_PASS_MAX:]]}
        given = claim_runs(connection, claims, actor=self._parts.actor, now=now)
        void_runs = {claim.run for claim in claims if claim.worker in given.void}
        exhausted -= {head.signature for head in heads if head.run in void_runs}
        versions = self._parts.versions
        return _Pass(
            claimed=[(each, versions.get(connection, each.job_version_id)) for each in given.claimed],
            exhausted=frozenset(exhausted),
            void=given.void,
        )

    def _assign(
        self,
        heads: Sequence[PendingRun],
        wanted: Mapping[Signature, tuple[Matching, int]],
        candidates: Sequence[Candidate],
    ) -> tuple[list[Claim], list[PendingRun]]:
        free = {each.worker: each for each in candidates}
        claims, left = [], []
        for head in heads:
            matching = wanted[head.signature][0]
            everybody = list(free.values())
            connected = None
            if possible := able(matching, everybody):
                chosen = self._selector.select(matching, possible)
                free[chosen.worker] = replace(chosen, free_slots=chosen.free_slots - matching.slots)
                connected = self._parts.roster.find(chosen.worker)
            elif possible := able_soon(matching, everybody):
                chosen = self._selector.select(matching, possible)
                free[chosen.worker] = replace(chosen, prefetch_room=chosen.prefetch_room - 1)
                connected = self._parts.roster.find(chosen.worker)
            if connected is None:
                left.append(head)
            else:
                claims.append(Claim(run=head.run, worker=connected.worker, epoch=connected.epoch))
        return claims, left

    def _offer(self, claimed: ClaimedRun, version: JobVersion) -> "_Failure | None":
        connected = self._parts.roster.find(claimed.worker)
        if connected is None or connected.epoch != claimed.epoch:
            # It went between the claim and now: its link could not withdraw what it had not been offered yet.
            return _Failure(claimed=claimed, reason="the worker went away before it was offered")
        try:
            secrets = self._secrets.open(claimed.sealed_secrets) if claimed.sealed_secrets else {}
        except OrchestraError as error:
            return _Failure(claimed=claimed, reason="the offer could not be made", broken=str(error))
        offer = Offer(
            run=claimed.run,
            attempt=claimed.attempt,
            project=version.project,
            job=version.job,
            slots=claimed.slots,
            execution=version.specification.execution,
            parameters=msgspec.json.decode(claimed.parameters, type=dict[str, PropertyValue]),
            secrets={name: secrets[name] for name in _secret_names(version.specification) if name in secrets},
        )
        if (size := frame_bytes(offer)) > FRAME_BYTES_MAX:
            # Each worker would drop its connection over it, one after the other, with all that runs there.
            words = f"the job and its parameters have {size} bytes, {FRAME_BYTES_MAX} at most can be sent to a worker"
            return _Failure(claimed=claimed, reason="the offer could not be made", broken=words)
        connected.hold((claimed.run, claimed.attempt), claimed.slots, self._parts.clock.monotonic())
        self._parts.roster.offered.set()
        connected.send(offer)
        return None

    async def _take_back(self, failure: "_Failure") -> None:
        """Nothing was offered: the run is pending again, or over if no offer of it can ever be made."""
        claimed, now, actor = failure.claimed, self._parts.clock.now(), self._parts.actor

        def take_back(connection: Connection) -> None:
            withdrawn = withdraw_offer(
                connection, claimed.run, claimed.attempt, actor=actor, reason=failure.reason, now=now
            )
            is_broken = withdrawn and failure.broken is not None
            if is_broken and state_of_run(connection, claimed.run) is RunState.PENDING:
                move_run(connection, claimed.run, RunEvent.BROKE, actor=actor, now=now, reason=failure.broken or "")

        await self._parts.database.write(
            take_back, signals=[Signal(Topic.PENDING), Signal(Topic.RUN, str(claimed.run))]
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Failure:
    """A run that was claimed and could not be offered."""

    claimed: ClaimedRun
    reason: str
    broken: str | None = None
    """Why no offer of it can ever be made."""


def _secret_names(specification: JobSpecification) -> list[str]:
    """Of its parameters: a pipeline hands on all of its secrets, and a job is given those that it asks for."""
    return [each.name for each in specification.parameters if each.type is ParameterType.SECRET]


def _room(matching: Matching, candidates: Sequence[Candidate]) -> int:
    """How many runs of this kind fit on the candidates now, or will in a moment."""
    now = sum(each.free_slots // matching.slots for each in able(matching, candidates))
    return now + sum(each.prefetch_room for each in able_soon(matching, candidates))


def _signals_of(done: _Pass) -> list[Signal]:
    return [Signal(Topic.RUN, str(claimed.run)) for claimed, _ in done.claimed]
