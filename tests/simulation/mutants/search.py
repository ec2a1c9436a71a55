"""Looks for the first seed in which the oracle finds a planted defect."""

import logging
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from orchestra_migrations import upgrade
from tests.simulation.loop import SimulatedLoop
from tests.simulation.mutants.planting import Graft, Mutant
from tests.simulation.runner import SEEDS_PER_PROCESS, Work, run_seed, work_off

SEEDS_MAX = 1000
STEPS_MAX = 1_000_000
"""Of one world, nearly three times what any sound one of the first 1,000 needs: a defect may let it turn for ever."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A seed that shows the defect."""

    seed: int
    violation: str
    """The first that the defect explains."""

    @property
    def promise(self) -> str:
        """The promise that was broken."""
        return self.violation.partition(":")[0]


@contextmanager
def template() -> Iterator[Path]:
    """A new database, for worlds to copy."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        upgrade(Path(folder))
        yield Path(folder) / "orchestra.db"


def first_found(mutant: Mutant, seeds: Sequence[int], database: Path) -> Found | None:
    """Runs the seeds one after the other until the defect shows itself; None if it does not."""
    context = multiprocessing.get_context("fork")
    for start in range(0, len(seeds), SEEDS_PER_PROCESS):
        receiver, sender = context.Pipe(duplex=False)
        share = seeds[start : start + SEEDS_PER_PROCESS]
        process = context.Process(target=_work, args=(mutant, share, database, sender), daemon=True)
        process.start()
        sender.close()
        try:
            found: Found | None = receiver.recv()
        except EOFError:
            raise RuntimeError(f"the process of {mutant.name} from seed {share[0]} has died") from None
        finally:
            receiver.close()
            process.join()
        if found is not None:
            return found
    return None


def working_with(mutant: Mutant) -> Work:
    """What a process of the simulator's own command does when the defect is planted."""

    def work(seeds: Sequence[int], database: Path, sender: Connection) -> None:
        _bound_steps()
        with mutant.planted():
            work_off(seeds, database, sender)

    return work


def _work(mutant: Mutant, seeds: Sequence[int], database: Path, sender: Connection) -> None:
    logging.getLogger().setLevel(logging.ERROR)
    logging.getLogger().addHandler(logging.NullHandler())
    _bound_steps()
    with mutant.planted():
        found = next(_finds(mutant, seeds, database), None)
    sender.send(found)
    sender.close()
    # Not by the usual end: the coroutines of killed processes must never run again.
    os._exit(0)


def _finds(mutant: Mutant, seeds: Sequence[int], database: Path) -> Iterator[Found]:
    for seed in seeds:
        violations = run_seed(seed, database).violations
        yield from (Found(seed=seed, violation=each) for each in violations if mutant.explains(each))


def _bound_steps() -> None:
    following = SimulatedLoop._next

    def bounded(self: SimulatedLoop) -> object:
        if self.steps > STEPS_MAX:
            self.errors.append(f"R1: not settled after {STEPS_MAX} steps")
            raise RuntimeError("it turns for ever")
        return following(self)

    Graft().replace(SimulatedLoop, "_next", bounded)
