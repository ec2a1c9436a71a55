"""Judges locks, groups, rates, quarantine and causes that forbid a retry, by commits and by true processes."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Row

from orchestra.lifecycle import AttemptState
from tests.simulation.limit_witness import LimitNote
from tests.simulation.limited_jobs import LOST_MAX, MOST, NEVER_AGAIN, POISON, STARTS, WINDOW_SECONDS, taken_by

if TYPE_CHECKING:
    from tests.simulation.truth import Key, Spawn
    from tests.simulation.world import World

_MICROSECONDS = 1_000_000
RELEASE_SECONDS = 10.0
"""From a reading of the clock to its commit, by a slow database."""


class LimitJudge:
    """Of one world that is over."""

    def __init__(
        self,
        world: "World",
        *,
        notes: Sequence[LimitNote],
        runs: Mapping[int, "Row[tuple[object, ...]]"],
        attempts: Sequence["Row[tuple[object, ...]]"],
        job_names: Mapping[int, str],
        spawns: Mapping["Key", "list[Spawn]"],
    ) -> None:
        self._world = world
        self._notes = notes
        self._attempts = attempts
        self._names = job_names
        self._spawns = spawns
        self._takes = {run.id: taken_by(job_names[run.job_id], json.loads(run.parameters)) for run in runs.values()}
        self._jobs = {run.id: job_names[run.job_id] for run in runs.values()}

    def violations(self) -> Iterator[str]:
        """Each broken promise as a sentence that begins with its name."""
        yield from self._rows_within_limits()
        yield from self._processes_within_limits()
        yield from self._rates_kept()
        yield from self._quarantine_kept()
        yield from self._never_means_never()

    def _rows_within_limits(self) -> Iterator[str]:
        held: dict[str, dict[int, int]] = defaultdict(dict)
        for note in self._notes:
            if note.kind not in ("taken", "given back"):
                continue
            for resource, amount in self._takes[note.run_id].items():
                if note.kind == "given back":
                    held[resource].pop(note.run_id, None)
                    continue
                held[resource][note.run_id] = amount
                if sum(held[resource].values()) > MOST[resource]:
                    yield f"R17: at {note.at:.3f} {resource} is held by {held[resource]}, of {MOST[resource]}"
        for resource, holders in held.items():
            if holders:
                yield f"R17: {resource} is held for ever by {holders}"

    def _processes_within_limits(self) -> Iterator[str]:
        """An attempt that was declared lost gives back what it held though its process may still run: from the commit
        that says so its process does not count. What was destroyed under it likewise. Both are counted."""
        given_back = {(each.run_id, each.attempt): each.at for each in self._notes if each.kind == "given back"}
        given_up = {(each.run_id, each.number) for each in self._attempts if each.state == AttemptState.EXCEPTION}
        given_up |= self._world.truth.excused.keys()
        changes: dict[str, list[tuple[float, int, Key]]] = defaultdict(list)
        for key, spawns in self._spawns.items():
            begins_at = min(each.began_at for each in spawns)
            ends_at = max(self._world.loop.now if each.ended_at is None else each.ended_at for each in spawns)
            if key in given_up and given_back.get(key, ends_at) < ends_at:
                ends_at = max(begins_at, given_back[key])
                if self._takes[key[0]]:
                    self._world.truth.fault("given up while its process held something")
            for resource, amount in self._takes[key[0]].items():
                changes[resource] += [(begins_at, amount, key), (ends_at, -amount, key)]
        for resource, all_of_it in changes.items():
            held = 0
            for at, amount, key in sorted(all_of_it):
                held += amount
                if amount > 0 and held > MOST[resource]:
                    where = f"#{key[0]} attempt {key[1]} began at {at:.3f}"
                    yield f"R17: {where}, when processes already held {held - amount} of {MOST[resource]} {resource}"

    def _rates_kept(self) -> Iterator[str]:
        """By the clocks of who offered them, the offers that were not taken back."""
        withdrawn = {(each.run_id, each.attempt) for each in self._notes if each.kind == "withdrawn"}
        offers = sorted(
            (each.moment or 0, each.run_id)
            for each in self._notes
            if each.kind == "offered"
            and self._names[each.job_id] == "rated"
            and (each.run_id, each.attempt) not in withdrawn
        )
        for (first_at, first), (last_at, last) in zip(offers, offers[STARTS:], strict=False):
            seconds = (last_at - first_at) / _MICROSECONDS
            if seconds < WINDOW_SECONDS:
                yield f"R18: #{last} was started {seconds:.3f} s after #{first}, with {STARTS - 1} in between"

    def _quarantine_kept(self) -> Iterator[str]:
        held: set[int] = set()
        lost: dict[int, list[float]] = defaultdict(list)
        released_at: dict[int, float] = defaultdict(lambda: -RELEASE_SECONDS)
        for note in self._notes:
            name = self._names.get(note.job_id, "")
            # What was lost about the time of a release may count or not: clocks are read before the commit.
            most = sum(at > released_at[note.job_id] - RELEASE_SECONDS for at in lost[note.job_id])
            least = sum(at > released_at[note.job_id] + RELEASE_SECONDS for at in lost[note.job_id])
            match note.kind:
                case "quarantined":
                    held.add(note.job_id)
                    if name != POISON or (most < LOST_MAX and self._clocks_agree):
                        yield f"R19: {name} came into quarantine at {note.at:.3f} after {most} losses"
                case "released":
                    held.discard(note.job_id)
                    released_at[note.job_id] = note.at
                case "lost":
                    lost[note.job_id].append(note.at)
                case "offered" if note.job_id in held:
                    yield f"R19: #{note.run_id} of {name} was offered at {note.at:.3f}, in quarantine"
                case "offered" if name == POISON and least >= LOST_MAX and self._clocks_agree:
                    yield f"R19: #{note.run_id} was offered at {note.at:.3f} after {least} losses"

    @property
    def _clocks_agree(self) -> bool:
        """Or what was lost a moment ago was lost an hour ago."""
        return "clock set" not in self._world.truth.faults

    def _never_means_never(self) -> Iterator[str]:
        ended = {(each.run_id, each.number) for each in self._attempts if each.state == AttemptState.FAILED}
        for run, attempt in self._spawns:
            code = NEVER_AGAIN.get(self._jobs[run])
            is_final = any(each.exit_code == code and not each.was_stopped for each in self._spawns[run, attempt])
            if code is None or not is_final or (run, attempt) not in ended:
                continue
            if (run, attempt + 1) in {(each.run_id, each.number) for each in self._attempts}:
                yield f"R3: #{run} was tried again after attempt {attempt} ended with exit code {code}"
