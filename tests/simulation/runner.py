"""Runs many seeds on all processors, each few in a process of their own, and adds up what they have shown."""

import hashlib
import logging
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from orchestra_migrations import upgrade
from tests.simulation.world import Outcome, World

SEEDS_PER_PROCESS = 20
"""What killed processes leave behind, memory and descriptors, ends with theirs."""
PROCESSOR_SECONDS_PER_SEED_MAX = 120
"""A world that turns for ever ends its process, and is told by its absence. Not of real time, of which a machine with
other work takes any amount."""
SECONDS_PER_SEED_MAX = 1800
"""Of real time: also one that waits for ever."""
MEMORY_FOLDER = Path("/dev/shm")


@dataclass(kw_only=True)
class Summary:
    """What all seeds have shown together."""

    seeds: int = 0
    runs: int = 0
    virtual_seconds: float = 0.0
    real_seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)
    _digests: dict[int, str] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """One more seed."""
        self.seeds += 1
        self.runs += outcome.runs
        self.virtual_seconds += outcome.virtual_seconds
        self.faults.update(outcome.faults)
        self._digests[outcome.seed] = outcome.digest
        if outcome.violations:
            self.failed.append(outcome)

    def digest(self) -> str:
        """The same for the same seeds, in any process."""
        return hashlib.sha256(repr(sorted(self._digests.items())).encode()).hexdigest()

    def text(self) -> str:
        """For people."""
        fired = [f"{kind} {count}" for kind, count in sorted(self.faults.items())]
        lines = [
            f"{self.seeds} seeds, {self.runs} runs, {self.virtual_seconds / 3600:.1f} virtual hours in "
            f"{self.real_seconds:.0f} s: {self.seeds / self.real_seconds:.1f} seeds/s, "
            f"{self.virtual_seconds / self.real_seconds:.0f} times real time",
            f"{sum(self.faults.values())} faults: {', '.join(fired)}",
        ]
        for outcome in self.failed[:20]:
            lines += [f"seed {outcome.seed}:", *(f"    {each}" for each in outcome.violations[:6])]
        lines.append(f"{len(self.failed)} seeds with violations")
        return "\n".join(lines)


_worlds: list[World] = []
"""Kept until the process ends: a coroutine of a killed process that is collected would run its `finally`."""


def run_seed(seed: int, template: Path) -> Outcome:
    """One seed in this process, in a folder of its own that is removed."""
    place = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix=f"simulation-{seed}-", dir=place))
    try:
        world = World(seed, folder=folder, template=template)
        _worlds.append(world)
        return world.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_seeds(seeds: Sequence[int], *, processes: int | None = None, work: "Work | None" = None) -> Iterator[Outcome]:
    """Runs them on all processors; outcomes come as they are done."""
    with tempfile.TemporaryDirectory(prefix="simulation-") as made:
        upgrade(Path(made))
        template = Path(made) / "orchestra.db"
        shares = [seeds[start : start + SEEDS_PER_PROCESS] for start in range(0, len(seeds), SEEDS_PER_PROCESS)]
        shares.reverse()
        missing: dict[Connection, list[int]] = {}
        context = multiprocessing.get_context("fork")
        while shares or missing:
            while shares and len(missing) < (processes or os.cpu_count() or 1):
                share = shares.pop()
                receiver, sender = context.Pipe(duplex=False)
                context.Process(target=work or work_off, args=(share, template, sender), daemon=True).start()
                sender.close()
                missing[receiver] = list(share)
            for end in wait(list(missing)):
                assert isinstance(end, Connection)
                try:
                    outcome = end.recv()
                except EOFError:
                    yield from (_never_ended(seed) for seed in missing.pop(end)[:1])
                else:
                    missing[end].remove(outcome.seed)
                    yield outcome


Work = Callable[[Sequence[int], Path, Connection], None]
"""What a process does with its share of the seeds."""


def work_off(seeds: Sequence[int], template: Path, sender: Connection) -> None:
    """Runs a share of the seeds and ends this process."""
    logging.getLogger().setLevel(logging.ERROR)
    logging.getLogger().addHandler(logging.NullHandler())
    for seed in seeds:
        signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS_PER_SEED_MAX)
        signal.alarm(SECONDS_PER_SEED_MAX)
        sender.send(run_seed(seed, template))
    sender.close()
    # Not by the usual end: the coroutines of killed processes must never run again.
    os._exit(0)


def _never_ended(seed: int) -> Outcome:
    words = "the world hung, or its process died; the rest of its share was not run"
    return Outcome(seed=seed, violations=(words,), faults={}, virtual_seconds=0.0, steps=0, runs=0, digest="")
