"""Runs many seeds on all processors, each few in a process of their own, and adds up what they have shown."""

import argparse
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from orchestra_migrations import upgrade
from tests.simulation.world import Outcome, World

SEEDS_PER_PROCESS = 20
"""What killed processes leave behind, memory and descriptors, ends with theirs."""
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

    def add(self, outcome: Outcome) -> None:
        """One more seed."""
        self.seeds += 1
        self.runs += outcome.runs
        self.virtual_seconds += outcome.virtual_seconds
        self.faults.update(outcome.faults)
        if outcome.violations:
            self.failed.append(outcome)

    def text(self) -> str:
        """For people."""
        lines = [
            f"{self.seeds} seeds, {self.runs} runs, {self.virtual_seconds / 3600:.1f} virtual hours in "
            f"{self.real_seconds:.0f} s: {self.seeds / self.real_seconds:.1f} seeds/s, "
            f"{self.virtual_seconds / self.real_seconds:.0f} times real time",
            "faults: " + ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items())),
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


def run_seeds(seeds: Sequence[int], *, processes: int | None = None) -> Iterator[Outcome]:
    """Runs them on all processors; outcomes come as they are done."""
    with tempfile.TemporaryDirectory(prefix="simulation-") as made:
        upgrade(Path(made))
        template = Path(made) / "orchestra.db"
        shares = [seeds[start : start + SEEDS_PER_PROCESS] for start in range(0, len(seeds), SEEDS_PER_PROCESS)]
        shares.reverse()
        open_ends: list[Connection] = []
        context = multiprocessing.get_context("fork")
        while shares or open_ends:
            while shares and len(open_ends) < (processes or os.cpu_count() or 1):
                receiver, sender = context.Pipe(duplex=False)
                context.Process(target=_work, args=(shares.pop(), template, sender), daemon=True).start()
                sender.close()
                open_ends.append(receiver)
            for end in wait(open_ends):
                assert isinstance(end, Connection)
                try:
                    yield end.recv()
                except EOFError:
                    open_ends.remove(end)


def _work(seeds: Sequence[int], template: Path, sender: Connection) -> None:
    logging.getLogger().setLevel(logging.ERROR)
    logging.getLogger().addHandler(logging.NullHandler())
    for seed in seeds:
        sender.send(run_seed(seed, template))
    sender.close()
    # Not by the usual end: the coroutines of killed processes must never run again.
    os._exit(0)


def main(arguments: Sequence[str]) -> int:
    """The command."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of texts is part of what a seed decides.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *arguments])
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", type=int, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--log", action="store_true", help="show what the product logs (for one seed)")
    options = parser.parse_args(arguments)
    if options.log:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    summary, began = Summary(), time.monotonic()
    for outcome in run_seeds(range(options.first, options.first + options.seeds)):
        summary.add(outcome)
    summary.real_seconds = time.monotonic() - began
    print(summary.text())
    return 1 if summary.failed else 0
