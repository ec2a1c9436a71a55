"""Which of the workers that could take a run gets it: a pure choice, and an extension point."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestra.identifiers import WorkerId, WorkerName
from orchestra.matching import exclusion, wishes_fulfilled
from orchestra.specification import Matching, PropertyValue


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

    def select(self, matching: Matching, candidates: Sequence[Candidate]) -> Candidate:
        """The candidate that gets the run; there is at least one."""


class SpreadingSelector:
    """The worker that fulfils most wishes; of these the one with most free slots; of these the first by name."""

    def select(self, matching: Matching, candidates: Sequence[Candidate]) -> Candidate:
        """The candidate that gets the run."""
        return min(
            candidates, key=lambda each: (-wishes_fulfilled(matching, each.properties), -each.free_slots, each.name)
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
