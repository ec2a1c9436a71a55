"""Judges who waits: in the quiet phase nobody does who could go, and who needs much is not passed by.

A look is taken every two seconds, between two transactions. Nothing of the product's is asked: what is held is summed
up from the rows by the limits of `limited_jobs`.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, select

from orchestra.clock import after
from orchestra.lifecycle import HOLDING_STATES, AttemptState, RunState
from orchestra.limits import HOLD_BACK_SECONDS, POLL_SECONDS, REFUSED_OFFER_SECONDS
from orchestra.matching import PIPELINE
from orchestra.storage.tables import attempts, jobs, projects, runs, workers
from tests.simulation.limit_witness import limit_notes
from tests.simulation.limited_jobs import (
    GREEDY,
    MOST,
    NEIGHBOUR,
    STARTS,
    WINDOW_SECONDS,
    needs_much,
    taken_by,
)
from tests.support.clocks import START

if TYPE_CHECKING:
    from tests.simulation.world import World

CALM_SECONDS = 60.0
"""After the last fault, until what mends by itself has: frozen links, stopped machines, long pauses."""
WAIT_SECONDS_MAX = 2 * POLL_SECONDS + 2 * REFUSED_OFFER_SECONDS + 10.0
"""Of a run that could go: a signal that was lost, an offer that nobody answers, a worker that is passed over after it,
another poll, and a margin."""
KEPT_AFTER_SECONDS = HOLD_BACK_SECONDS + 20.0
"""Since when what an elder run demands is surely kept free for it."""


LOOKS_APART_SECONDS_MAX = 3.0
"""Or something was otherwise in between."""


class _Waiting(NamedTuple):
    id: int
    rank: int
    slots: int
    attempts_counted: int
    parameters: str
    name: str
    project: str


@dataclass(frozen=True, kw_only=True)
class _Elder:
    run: int
    resources: frozenset[str]
    looked_at: float


class WaitingJudge:
    """Owned by one world; `look` is called again and again."""

    def __init__(self, world: "World", *, has_reserve: bool) -> None:
        self._world = world
        self._kept_slots = 1 if has_reserve else 0
        self._calm_at: float | None = None
        self._could_go_since: dict[int, float] = {}
        self._told: set[int] = set()
        self._elders: list[_Elder] = []
        self._waits_since: dict[tuple[int, int], float] = {}
        """Of a run with so many attempts behind it."""

    def begin_quiet(self) -> None:
        """The last fault is over, or mends by itself."""
        self._calm_at = self._world.loop.now + CALM_SECONDS

    def look(self, connection: Connection) -> Iterator[str]:
        """Says who waits for nothing."""
        now = self._world.loop.now
        waiting = [_Waiting._make(row) for row in connection.execute(_WAITING)]
        for each in waiting:
            self._waits_since.setdefault((each.id, each.attempts_counted), now)
        if self._calm_at is None or now < self._calm_at:
            return
        self._note_elder(waiting)
        able = {each.id: each for each in self._able(connection, waiting)}
        self._could_go_since = {run: self._could_go_since.get(run, now) for run in able}
        for run, since in self._could_go_since.items():
            if now - since > WAIT_SECONDS_MAX and run not in self._told:
                self._told.add(run)
                yield f"R20: #{run} ({able[run].name}) could go since {since:.0f}, and still waits at {now:.0f}"

    def violations(self, connection: Connection) -> Iterator[str]:
        """Who was given what had to be kept for an elder run."""
        names = {row.id: row.name for row in connection.execute(select(jobs.c.id, jobs.c.name))}
        parameters = {row.id: row.parameters for row in connection.execute(select(runs.c.id, runs.c.parameters))}
        taken = [note for note in limit_notes(connection) if note.kind == "taken"]
        for before, afterwards in pairwise(self._elders):
            if before.run != afterwards.run or afterwards.looked_at - before.looked_at > LOOKS_APART_SECONDS_MAX:
                continue
            between = [note for note in taken if before.looked_at < note.at <= afterwards.looked_at]
            if any(note.run_id == before.run for note in between):
                continue  # It had its turn, and its offer was taken back.
            for note in between:
                name = names[note.job_id]
                takes = taken_by(name, json.loads(parameters[note.run_id]))
                is_small = sum(takes.values()) == 1 and name != "broad"
                if is_small and takes.keys() & before.resources:
                    what = f"at {note.at:.1f} what was kept for #{before.run}"
                    yield f"R20: #{note.run_id} ({name}) was given {what}"

    def _note_elder(self, waiting: Sequence[_Waiting]) -> None:
        """The first of those that need much, if it has waited so long that nobody may pass it by. Masters tell the
        time by their own clocks."""
        large = [each for each in waiting if needs_much(each.name, each.slots)]
        first = min(large, key=lambda each: (each.rank, each.id), default=None)
        if first is None or first.name != GREEDY or "clock set" in self._world.truth.faults:
            return
        # An offer that was taken back is no reason to begin waiting anew.
        since = max(self._calm_at or 0.0, self._waits_since[first.id, first.attempts_counted])
        if self._world.loop.now >= since + KEPT_AFTER_SECONDS:
            resources = frozenset(taken_by(first.name, {}))
            self._elders.append(_Elder(run=first.id, resources=resources, looked_at=self._world.loop.now))

    def _able(self, connection: Connection, waiting: Sequence[_Waiting]) -> Iterator[_Waiting]:
        """Who has a worker with room and all that it demands, that nobody else may claim."""
        held: Counter[str] = Counter()
        used: Counter[str] = Counter()
        for row in connection.execute(_HOLDING):
            held.update(taken_by(row.name, json.loads(row.parameters)))
            used[row.worker] += row.slots
        elders = [each for each in waiting if needs_much(each.name, each.slots)]
        room = [
            worker.slots - used[worker.name]
            for worker in self._world.workers
            if worker.life.is_alive and not worker.life.is_paused and not worker.is_gone
        ]
        for each in waiting:
            takes = taken_by(each.name, json.loads(each.parameters))
            others = [other for other in elders if other.id != each.id]
            if any(other.slots > 1 or takes.keys() & taken_by(other.name, {}).keys() for other in others):
                continue  # It may be kept free.
            if any(MOST[resource] - held[resource] < amount for resource, amount in takes.items()):
                continue
            if each.name == "rated" and not self._may_start(connection):
                continue
            needed = each.slots + (0 if each.project == NEIGHBOUR else self._kept_slots)
            if any(free >= needed for free in room):
                yield each

    def _may_start(self, connection: Connection) -> bool:
        if "clock set" in self._world.truth.faults:
            return False  # Nobody can say.
        since = after(START, self._world.loop.now - WINDOW_SECONDS)
        return len(connection.execute(_STARTS.where(attempts.c.offered_at > since)).all()) < STARTS


_WAITING = (
    select(
        runs.c.id,
        runs.c.rank,
        runs.c.slots,
        runs.c.attempts_counted,
        runs.c.parameters,
        jobs.c.name,
        projects.c.name.label("project"),
    )
    .select_from(runs.join(jobs, jobs.c.id == runs.c.job_id).join(projects, projects.c.id == runs.c.project_id))
    .where(
        runs.c.ended_at.is_(None),
        runs.c.state == RunState.PENDING,
        runs.c.signature != PIPELINE,
        runs.c.stop_requested_at.is_(None),
        jobs.c.quarantined_at.is_(None),
    )
    .order_by(runs.c.id)
)
_HOLDING = (
    select(runs.c.slots, runs.c.parameters, jobs.c.name, workers.c.name.label("worker"))
    .select_from(runs.join(jobs, jobs.c.id == runs.c.job_id).join(workers, workers.c.id == runs.c.worker_id))
    .where(runs.c.ended_at.is_(None), runs.c.state.in_(sorted(HOLDING_STATES)))
)
_STARTS = (
    select(attempts.c.run_id)
    .join(runs, runs.c.id == attempts.c.run_id)
    .join(jobs, jobs.c.id == runs.c.job_id)
    .where(jobs.c.name == "rated", attempts.c.state != AttemptState.WITHDRAWN)
)
