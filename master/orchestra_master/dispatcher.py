"""Gives pending runs to connected workers: the hot path, woken by signals, with a slow poll as safety net.

What is pending stays in the database behind an index; in memory are only the signatures that may have pending runs, so
that a pass costs the same with ten or a million of them.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial

from orchestra.clock import Instant, seconds_between
from orchestra.demands import project_of
from orchestra.identifiers import ProjectId, Signature, WorkerId
from orchestra.limits import (
    ELDERS_LOOKED_AT_MAX,
    OFFERS_PER_PASS_MAX,
    REFUSED_OFFER_SECONDS,
    SIGNATURES_PER_PASS_MAX,
    SIGNATURES_REMEMBERED_MAX,
)
from orchestra.matching import exclusion
from orchestra.storage.database import Signal, Topic
from orchestra.storage.pending import pending_signatures
from orchestra.storage.terms import Terms, terms_of
from orchestra_master.claiming import Claiming, Outcome, Request
from orchestra_master.offering import Offering
from orchestra_master.parts import MasterParts
from orchestra_master.planning import where_to_wait
from orchestra_master.selection import Candidate, able
from orchestra_master.shares import Shares


class Dispatcher:
    """Owned by one master; gives runs only to workers that are connected to it."""

    def __init__(self, *, parts: MasterParts, claiming: Claiming, offering: Offering) -> None:
        self._parts = parts
        self._claiming = claiming
        self._offering = offering
        self._shares = Shares()
        self._terms: dict[Signature, Terms] = {}
        self._hungry: set[Signature] = set()
        """May have pending runs that a worker could take now."""
        self._blocked: dict[Signature, float] = {}
        """Had pending runs when none of them could go, and since when (monotonic)."""
        self._short: set[Signature] = set()
        """The blocked ones that wait for what others hold: they are looked at once that is released, not before."""
        self._looked_to = Signature("")
        self._polled_at: float | None = None
        self._rates_free_at: float | None = None
        """When (monotonic) a rate that is used up lets another run start."""

    @property
    def hungry(self) -> int:
        """How many kinds of requirements may have runs that a worker could take now."""
        return len(self._hungry)

    @property
    def blocked(self) -> int:
        """How many have runs, but no worker could take one."""
        return len(self._blocked)

    @property
    def remembered(self) -> int:
        """Of how many it is known what their runs need."""
        return len(self._terms)

    @property
    def rest_seconds(self) -> float | None:
        """After how long there may be somebody to give runs to though nothing was signalled; None: not by itself."""
        if not self._blocked:
            return None
        now = self._parts.clock.monotonic()
        waits = [each.refused_until - now for each in self._parts.roster.connected() if each.refused_until > now]
        if self._rates_free_at is not None:
            waits.append(max(0.0, self._rates_free_at - now))
        return min(waits, default=None)

    def wake(self, signals: frozenset[Signal]) -> None:
        """Takes in what was signalled; a signal without a signature stands for all of them."""
        for signal in signals:
            if not signal.payload:
                self._polled_at = None
            elif signal.topic is Topic.RELEASED:
                self._released(Signature(signal.payload))
            else:
                self._hungry.add(Signature(signal.payload))

    def capacity_changed(self) -> None:
        """A worker may be able to take what was blocked."""
        self._hungry.update(self._blocked.keys() - self._short)

    def _released(self, signature: Signature) -> None:
        """What a run with this signature held is free for those that demand it too."""
        terms = self._terms.get(signature)
        freed = None if terms is None else {demand.resource for demand in terms.demands}
        for blocked in self._blocked:
            if freed is None or any(demand.resource in freed for demand in self._terms[blocked].demands):
                self._hungry.add(blocked)

    async def dispatch_once(self) -> bool:
        """Gives away what can be given in one transaction; true if there may be more at once."""
        await self._poll()
        await self._learn_terms()
        # No await from here to the transaction: a worker that comes in between would find its signature neither hungry
        # nor blocked, and would wait for the next poll.
        now = self._parts.clock.monotonic()
        if self._rates_free_at is not None and self._rates_free_at <= now:
            self._rates_free_at = None
            self._hungry.update(self._blocked)
        request = self._request(now)
        if not request.wanted:
            return bool(self._hungry)
        # Until it is known otherwise: what is freed while the transaction is under way makes them hungry again.
        for signature in request.wanted:
            self._hungry.discard(signature)
            self._blocked.setdefault(signature, now)
        at = self._parts.clock.now()
        try:
            done = await self._parts.database.write(
                lambda connection: self._claiming.claim(connection, request, at), signals=_signals_of
            )
        except BaseException:
            self._hungry.update(request.wanted)
            raise
        self._take_in(request, done, at)
        await self._offering.offer(done.claimed)
        return bool(self._hungry)

    def _request(self, now: float) -> Request:
        """What of the hungry there is room for; what has none is blocked until something changes."""
        candidates = self._candidates(now)
        wanted: dict[Signature, int] = {}
        hungry = sorted(self._hungry & self._terms.keys())
        # Not always the same ones first, where there are more than one pass looks at.
        first = bisect_right(hungry, self._looked_to)
        for signature in hungry[first:] + hungry[:first]:
            if len(wanted) == SIGNATURES_PER_PASS_MAX:
                break
            self._looked_to = signature
            self._short.discard(signature)
            room = _room(self._terms[signature], candidates)
            if room:
                wanted[signature] = min(room, OFFERS_PER_PASS_MAX)
            else:
                self._blocked.setdefault(signature, now)
                self._hungry.discard(signature)
        return Request(
            wanted=wanted,
            elders=self._elders() if wanted else (),
            terms=self._terms,
            candidates=candidates,
            fleet=self._parts.roster.connected(),
            settling={each.worker: each.settling_slots for each in self._parts.roster.connected() if each.over},
            had=self._shares.had(),
        )

    def _elders(self) -> list[Signature]:
        """Those that need so much that they could wait for ever, for workers that are there; the longest blocked
        first."""
        large = [each for each in self._blocked if self._terms[each].may_be_passed_by]
        if not large:
            return []
        connected = [each for each in self._parts.roster.connected() if each.accepts_runs]
        found = [
            signature
            for signature in large
            if any(
                exclusion(self._terms[signature].matching, each.properties, slots=each.slots) is None
                for each in connected
            )
        ]
        return sorted(found, key=lambda each: self._blocked[each])[:ELDERS_LOOKED_AT_MAX]

    def _take_in(self, request: Request, done: Outcome, at: Instant) -> None:
        now = self._parts.clock.monotonic()
        given = Counter(run.signature for run, _ in done.claimed)
        for signature in {*request.wanted, *given}:
            if signature in done.lacking:
                # What was released meanwhile has made it hungry again.
                if signature in done.short and signature not in self._hungry:
                    self._short.add(signature)
                continue
            if signature not in done.exhausted:
                self._hungry.add(signature)
            if signature not in self._hungry or given[signature]:
                self._blocked.pop(signature, None)
        if done.frees_at is not None:
            wait = max(0.0, seconds_between(at, done.frees_at))
            self._rates_free_at = min(now + wait, self._rates_free_at or now + wait)
        if done.in_use is not None:
            self._shares.observe(done.in_use, now)
        charged: Counter[ProjectId] = Counter()
        for run, _ in done.claimed:
            charged[project_of(run.signature)] += run.slots
        self._shares.charge(charged)
        self._pass_over(done.void)

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
                waiting = set(await self._parts.database.read(pending_signatures))
            except BaseException:
                self._polled_at = None
                raise
            self._hungry |= waiting
            # Of what waits for others nobody sees that its last run is gone.
            for gone in self._short - self._hungry:
                self._short.discard(gone)
                self._blocked.pop(gone, None)
            self._forget_terms()

    def _forget_terms(self) -> None:
        """Groups and locks may be named after anything: there is no end of signatures."""
        if len(self._terms) > SIGNATURES_REMEMBERED_MAX:
            for signature in self._terms.keys() - self._hungry - self._blocked.keys():
                del self._terms[signature]

    def _candidates(self, now: float) -> list[Candidate]:
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

    async def _learn_terms(self) -> None:
        for signature in self._hungry - self._terms.keys():
            found = await self._parts.database.read(partial(terms_of, signature=signature))
            if found is None:
                self._hungry.discard(signature)
            else:
                self._terms[signature] = found


def _room(terms: Terms, candidates: Sequence[Candidate]) -> int:
    """How many runs of this kind fit on the candidates now, or will in a moment."""
    matching = terms.matching
    now = sum(each.free_slots // matching.slots for each in able(matching, candidates))
    return now + sum(each.prefetch_room for each in where_to_wait(terms, candidates))


def _signals_of(done: Outcome) -> list[Signal]:
    return [Signal(Topic.RUN, str(claimed.run)) for claimed, _ in done.claimed]
