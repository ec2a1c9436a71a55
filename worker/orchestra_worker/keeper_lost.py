"""What remains of steps whose keeper is dead: their trees are ended here, and their files say what is known."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from orchestra.clock import Clock
from orchestra.limits import LEFTOVER_GRACE_SECONDS
from orchestra_worker.cgroup import Cgroup
from orchestra_worker.keeper_files import boot_id, read_claim, read_report
from orchestra_worker.keeper_protocol import StepReport
from orchestra_worker.process_tree import ProcessTree

LOOK_SECONDS = 0.02
KILL_SECONDS_MAX = 5.0


class StepPlace(NamedTuple):
    """A step and where its files are."""

    step: str
    folder: Path
    number: int


async def end_lost_steps(places: Sequence[StepPlace], *, clock: Clock) -> tuple[StepReport, ...]:
    """Ends the trees of those steps whose keeper died, and reports on all that were ever claimed."""
    trees = [tree for place in places if (tree := _lost_tree(place)) is not None]
    await _end(trees, clock)
    reports = [(place, read_report(str(place.folder), place.number)) for place in places]
    # A claim that was torn by the crash does not know its step's name.
    return tuple(report._replace(step=place.step) for place, report in reports if report is not None)


async def end_unknown_steps(folders: Sequence[Path], *, clock: Clock) -> None:
    """The same for the folders of attempts that no journal knows any more: which steps there were, only claims say."""
    await end_lost_steps([place for folder in folders for place in _claimed_steps(folder)], clock=clock)


def _claimed_steps(folder: Path) -> list[StepPlace]:
    numbers = sorted(int(claim.stem) for claim in folder.glob("*.claim") if claim.stem.isdigit())
    return [StepPlace(step=f"{folder.name}-{number}", folder=folder, number=number) for number in numbers]


def _lost_tree(place: StepPlace) -> ProcessTree | None:
    claim = read_claim(str(place.folder), place.number)
    report = read_report(str(place.folder), place.number)
    if claim is None or not claim.marker or report is None or report.state != "unknown" or claim.boot != boot_id():
        return None
    cgroup = Cgroup(claim.cgroup) if claim.cgroup else None
    # The pid is not given: nobody has kept it from being used again.
    return ProcessTree(marker=claim.marker, leader=None, cgroup=cgroup)


async def _end(trees: Sequence[ProcessTree], clock: Clock) -> None:
    started = clock.monotonic()
    for tree in trees:
        tree.terminate()
    left = [tree for tree in trees if tree.has_leftovers()]
    while left and clock.monotonic() < started + KILL_SECONDS_MAX:
        await asyncio.sleep(LOOK_SECONDS)
        if clock.monotonic() >= started + LEFTOVER_GRACE_SECONDS:
            for tree in left:
                tree.kill()
        left = [tree for tree in left if tree.has_leftovers()]
    for tree in trees:
        tree.remove()
