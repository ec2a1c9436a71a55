"""`python -m tests.simulation SEEDS`: runs so many seeds on all processors and says what they have shown."""

import argparse
import os
import sys
import time
from collections.abc import Sequence

from tests.simulation.mutants.catalogue import MUTANTS
from tests.simulation.mutants.search import working_with
from tests.simulation.nemesis import KINDS
from tests.simulation.runner import Summary, run_seeds


def main(arguments: Sequence[str]) -> int:
    """The command; 1 if a promise was broken, or a kind of fault never happened that should have."""
    options = _parser().parse_args(arguments)
    seeds = [int(text) for text in options.seeds.split(",")] if options.seeds else []
    seeds = seeds or list(range(options.first, options.first + options.count))
    summary, began = Summary(), time.monotonic()
    work = working_with(MUTANTS[options.mutant]) if options.mutant else None
    for outcome in run_seeds(seeds, work=work):
        summary.add(outcome)
    summary.real_seconds = time.monotonic() - began
    if options.digest:
        print(summary.digest())
        return 0
    print(summary.text())
    absent = sorted(set(KINDS) - summary.faults.keys())
    if options.every_fault and absent:
        print(f"never happened: {', '.join(absent)}")
        return 1
    return 1 if summary.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seeds", help="these instead, as in 257,289")
    parser.add_argument("--every-fault", action="store_true", help="fail unless every kind of fault has happened")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="with this defect planted in the product")
    parser.add_argument("--digest", action="store_true", help="print a digest of all traces instead")
    return parser


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of texts is part of what a seed decides.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        os.execve(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]], environment)
    sys.exit(main(sys.argv[1:]))
