"""The plan of one pass: which of the next runs of their signatures goes to which worker, and what the others lack.

Pure: a plan may be made again from the same rows. Between projects the one goes first that had the least of the slots
by its share, within a project the run whose turn it is. What a run demands it gets whole or not at all.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from orchestra.demands import Demand, project_of
from orchestra.identifiers import ProjectId, RunId, Signature, WorkerId
from orchestra.limits import OFFERS_PER_PASS_MAX, SHARE_OF_A_START_SECONDS
from orchestra.matching import NO_HISTORY, RunHistory
from orchestra.storage.pending import PendingRun
from orchestra.storage.resources import Stock
from orchestra.storage.terms import Terms
from orchestra_master.selection import Candidate, WorkerSelector, able, able_soon


@dataclass(frozen=True, kw_only=True, slots=True)
class Reserve:
    """Slots that a project does not use yet, and that nobody else may have: none are left of one that it fills."""

    project: ProjectId
    slots: int
    workers: frozenset[WorkerId]


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """All that a plan looks at."""

    heads: Sequence[PendingRun]
    terms: Mapping[Signature, Terms]
    candidates: Sequence[Candidate]
    stocks: Mapping[str, Stock] = field(default_factory=dict)
    had: Mapping[ProjectId, float] = field(default_factory=dict)
    """Slot-seconds of each project lately; nothing for one that is not there."""
    shares: Mapping[ProjectId, int] = field(default_factory=dict)
    """1 for one that is not there."""
    reserves: Sequence[Reserve] = ()
    settling: Mapping[WorkerId, int] = field(default_factory=dict)
    """Free slots that the rows behind the reserves still count as filled: nobody knows yet whose they were."""
    histories: Mapping[RunId, RunHistory] = field(default_factory=dict)
    elder: PendingRun | None = None
    """Has waited for much for so long that room is kept free for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Who gets what."""

    given: Sequence[tuple[PendingRun, WorkerId]]
    crowded: frozenset[Signature]
    """No candidate has room for their next run."""
    lacking: frozenset[Signature]
    """Their next run must wait for something else than a worker with room."""
    short: frozenset[Signature]
    """Those of them that wait for what others hold: no worker that comes free changes that."""


def where_to_wait(terms: Terms, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those at which such a run may wait for a slot: none, if it held meanwhile what others could use."""
    return [] if terms.demands else able_soon(terms.matching, candidates)


def plan(situation: Situation, selector: WorkerSelector) -> Plan:
    """Gives out what can be given."""
    return _Planning(situation, selector).plan()


class _Planning:
    """What is left while runs are given out one after the other."""

    def __init__(self, situation: Situation, selector: WorkerSelector) -> None:
        self._situation = situation
        self._selector = selector
        self._candidates = {each.worker: each for each in situation.candidates}
        self._taken: dict[str, int] = defaultdict(int)
        self._had = defaultdict(float, situation.had)
        self._given: list[tuple[PendingRun, WorkerId]] = []
        self._kept_resources: frozenset[str] = frozenset()
        self._kept_worker: WorkerId | None = None
        self._fills_reserve = False

    def plan(self) -> Plan:
        crowded: set[Signature] = set()
        lacking: set[Signature] = set()
        kept_out: set[Signature] = set()
        short: set[Signature] = set()
        elder = self._situation.elder
        if elder is not None and not self._give(elder):
            self._keep_free_for(elder)
            lacking.add(elder.signature)
        waiting = self._by_project()
        while waiting and len(self._given) < OFFERS_PER_PASS_MAX:
            project = min(waiting, key=lambda each: (self._usage(each), waiting[each][-1].turn))
            head = waiting[project].pop()
            if not waiting[project]:
                del waiting[project]
            # Behind one that could not go, those of the same signature cannot either.
            if head.signature in crowded or head.signature in lacking or head.signature in kept_out:
                continue
            if self._uses_up_a_rate(head):
                crowded.add(head.signature)
            elif not self._is_at_hand(head):
                lacking.add(head.signature)
                if self._is_short(head):
                    short.add(head.signature)
            elif not self._give(head):
                is_kept = self._kept_worker is not None or bool(self._situation.reserves)
                (kept_out if is_kept else crowded).add(head.signature)
        # Who was kept out of a reserve that is filled now, which the rows will say, is to be looked at again.
        (crowded if self._fills_reserve else lacking).update(kept_out)
        return Plan(given=self._given, crowded=frozenset(crowded), lacking=frozenset(lacking), short=frozenset(short))

    def _by_project(self) -> dict[ProjectId, list[PendingRun]]:
        """The heads of each project, those whose turn comes first at the end."""
        waiting: dict[ProjectId, list[PendingRun]] = defaultdict(list)
        for head in sorted(self._situation.heads, key=lambda each: each.turn, reverse=True):
            if head != self._situation.elder:
                waiting[project_of(head.signature)].append(head)
        return dict(waiting)

    def _usage(self, project: ProjectId) -> float:
        return self._had[project] / self._situation.shares.get(project, 1)

    def _give(self, head: PendingRun) -> bool:
        if not self._is_at_hand(head):
            return False
        terms = self._situation.terms[head.signature]
        matching, history = terms.matching, self._situation.histories.get(head.run, NO_HISTORY)
        if possible := able(matching, self._where_allowed(head, matching.slots)):
            chosen = self._selector.select(matching, possible, history)
            changed = replace(chosen, free_slots=chosen.free_slots - matching.slots)
        elif possible := where_to_wait(terms, self._beside_no_reserve(head)):
            chosen = self._selector.select(matching, possible, history)
            changed = replace(chosen, prefetch_room=chosen.prefetch_room - 1)
        else:
            return False
        self._candidates[chosen.worker] = changed
        for demand in terms.demands:
            self._taken[demand.resource] += demand.amount
        self._had[project_of(head.signature)] += matching.slots * SHARE_OF_A_START_SECONDS
        self._given.append((head, chosen.worker))
        own = [each for each in self._situation.reserves if each.project == project_of(head.signature)]
        self._fills_reserve |= any(each.slots > 0 and chosen.worker in each.workers for each in own)
        return True

    def _is_at_hand(self, head: PendingRun) -> bool:
        """Whether there is all that it demands."""
        demands = self._situation.terms[head.signature].demands
        return not self._is_short(head) and not any(each.resource in self._kept_resources for each in demands)

    def _is_short(self, head: PendingRun) -> bool:
        """Whether others have what it demands."""
        return any(self._left_for(each) < each.amount for each in self._situation.terms[head.signature].demands)

    def _uses_up_a_rate(self, head: PendingRun) -> bool:
        """Whether there was enough for it before this plan: when there will be again only the next look can say."""
        rates = [each for each in self._situation.terms[head.signature].demands if each.window_seconds is not None]
        return any(
            self._left_for(each) < each.amount <= self._situation.stocks[each.stock].left_for(each) for each in rates
        )

    def _left_for(self, demand: Demand) -> int:
        return self._situation.stocks[demand.stock].left_for(demand) - self._taken[demand.resource]

    def _keep_free_for(self, elder: PendingRun) -> None:
        terms = self._situation.terms[elder.signature]
        self._kept_resources = frozenset(demand.resource for demand in terms.demands)
        # Until it has all else, which others may hold for hours, slots that were kept for it would lie idle.
        if terms.matching.slots > 1 and not self._is_short(elder):
            any_room = msgspec.structs.replace(terms.matching, slots=1)
            suiting = [
                each for each in able(any_room, self._where_allowed(elder, 1)) if each.slots >= terms.matching.slots
            ]
            # Of those the one with most room: while it is kept, its room only grows.
            best = max(suiting, key=lambda each: (each.free_slots, each.name), default=None)
            self._kept_worker = None if best is None else best.worker

    def _where_allowed(self, head: PendingRun, slots: int) -> list[Candidate]:
        if self._kept_worker is None and not self._situation.reserves:
            return list(self._candidates.values())
        return [each for each in self._candidates.values() if self._may_have(head, each, slots)]

    def _beside_no_reserve(self, head: PendingRun) -> list[Candidate]:
        """What waits at a worker takes the place of whatever ends there next: that may be one which is to be kept,
        also if its project fills it now."""
        return [
            each
            for each in self._candidates.values()
            if each.worker != self._kept_worker and not self._others_reserves(head, each.worker)
        ]

    def _may_have(self, head: PendingRun, candidate: Candidate, slots: int) -> bool:
        if candidate.worker == self._kept_worker:
            return False
        return all(self._free_of(each) - slots >= each.slots for each in self._others_reserves(head, candidate.worker))

    def _others_reserves(self, head: PendingRun, worker: WorkerId) -> list[Reserve]:
        project = project_of(head.signature)
        return [each for each in self._situation.reserves if each.project != project and worker in each.workers]

    def _free_of(self, reserve: Reserve) -> int:
        free = sum(self._candidates[each].free_slots for each in reserve.workers if each in self._candidates)
        return free - sum(slots for worker, slots in self._situation.settling.items() if worker in reserve.workers)
