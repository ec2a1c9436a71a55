"""Which of the workers that could take a run gets it: a pure choice, and an extension point."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestra.identifiers import WorkerId, WorkerName
from orchestra.matching import NO_HISTORY, RunHistory, exclusion, favour
from orchestra.specification import Matching, Placement, PropertyValue


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A connected worker as it is while runs are given out."""

    worker: WorkerId
    name: WorkerName
    properties: Mapping[str, PropertyValue]
    slots: int
    free_slots: int
    prefetch_room: int = 0
    """How many attempts beyond its slots it may be given, because others are about to end."""


class WorkerSelector(Protocol):
    """Chooses one of the candidates, all of which match and have the slots; must be pure, since a choice may be
    repeated."""

    def select(
        self, matching: Matching, candidates: Sequence[Candidate], history: RunHistory = NO_HISTORY
    ) -> Candidate:
        """The candidate that gets the run; there is at least one. The history says only what the job asks for."""


class SpreadingSelector:
    """The worker that is most welcome; of several the one that the job's placement names; of these the first by name.

    Where an attempt of the run failed is the last resort. Where the job last succeeded comes before all wishes.
    """

    def select(
        self, matching: Matching, candidates: Sequence[Candidate], history: RunHistory = NO_HISTORY
    ) -> Candidate:
        """The candidate that gets the run."""
        # Packed is spread the other way round.
        direction = 1 if matching.placement is Placement.PACK else -1
        return min(
            candidates,
            key=lambda each: (
                each.worker in history.failed,
                not (matching.sticky and each.worker == history.warm),
                -favour(matching, each.properties),
                direction * each.free_slots,
                each.name,
            ),
        )


def able(matching: Matching, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that match and have enough free slots now."""
    return [
        each
        for each in candidates
        if each.free_slots >= matching.slots and exclusion(matching, each.properties, slots=each.slots) is None
    ]


def able_soon(matching: Matching, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that match and where a run of one slot may wait: one slot is what comes free at a time."""
    if matching.slots > 1:
        return []
    return [
        each
        for each in candidates
        if each.prefetch_room > 0 and exclusion(matching, each.properties, slots=each.slots) is None
    ]
