"""`python -m tests.simulation.mutants [NAME ...]`: plants each defect, and says which seed shows it first, and how."""

import argparse
import os
import sys
from collections.abc import Sequence

from tests.simulation.mutants.catalogue import MUTANTS
from tests.simulation.mutants.recorded import SEEDS
from tests.simulation.mutants.search import SEEDS_MAX, first_found, template


def main(arguments: Sequence[str]) -> int:
    """The command."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of texts is part of what a seed decides.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation.mutants", *arguments])
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="which defects (all)")
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help="how many seeds to try")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--recorded-first", action="store_true", help="begin where it was found before")
    options = parser.parse_args(arguments)
    missed = 0
    print("| defect | first seed | violation |\n|---|---|---|")
    with template() as database:
        for name in options.names or MUTANTS:
            seeds = list(range(options.first, options.first + options.seeds))
            if options.recorded_first:
                # Later changes of the simulator move the seeds: then they are searched again.
                seeds = [*SEEDS.get(name, ()), *seeds]
            found = first_found(MUTANTS[name], seeds, database)
            missed += found is None
            shown = f"{found.seed} | {found.violation[:110]}" if found else f"– | not found in {len(seeds)} seeds"
            print(f"| {name} | {shown} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
