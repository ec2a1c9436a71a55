"""All benchmarks, and the page they fill: `python -m benchmarks [--quick] [row ...]`, or `make bench`.

Without names every row is measured. `--quick` measures each row small, to see that it works, and leaves the page alone.
It ends with an error if something could not be measured at all; that a figure is not as wanted is for people to judge.
"""

import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks import (
    decisions,
    fleet,
    full_groups,
    full_house,
    gentleness,
    history,
    idle,
    large_log,
    latency,
    log,
    matrix,
    noise,
    same_second,
    schedules,
    startup,
    throughput,
)
from benchmarks.gates import Gate, Section
from benchmarks.page import Measured, Page
from benchmarks.rows import Row, be_quick_if_asked, gates_table, place_for, tidy_when_ended

ROWS = (
    latency.ROW,
    throughput.ROW,
    log.ROW,
    large_log.ROW,
    idle.ROW,
    noise.ROW,
    full_house.ROW,
    full_groups.ROW,
    schedules.ROW,
    same_second.ROW,
    decisions.ROW,
    matrix.ROW,
    fleet.ROW,
    startup.ROW,
    history.ROW,
    gentleness.ROW,
)
PACKAGES = ("websockets", "msgspec", "starlette", "uvicorn", "sqlalchemy")


def measure_all(rows: Sequence[Row], *, is_quick: bool, keep: Callable[[str, Measured], None]) -> dict[str, Measured]:
    """One row after the other, each kept at once; one that breaks off does not keep the others from being measured."""
    measured = {}
    with tempfile.TemporaryDirectory(prefix="orchestra-bench-shared-") as shared:
        for row in rows:
            began, setting = time.monotonic(), _setting()
            try:
                with place_for(row.name, Path(shared), is_quick=is_quick) as place:
                    section = row.measure(place)
            except Exception as error:  # noqa: BLE001 - it is printed, told on the page, and makes the whole fail
                traceback.print_exc()
                failed = Gate(what=row.title, limit=0, measured=None, lacking=f"broke off: {type(error).__name__}")
                section = Section(gates=(failed,), tables=())
            found = Measured(setting=setting, seconds=time.monotonic() - began, section=section)
            measured[row.name] = found
            keep(row.name, found)
            print(
                f"### {row.title} ({found.seconds:.0f} s)", gates_table(section.gates), *section.tables, "", sep="\n\n"
            )
    return measured


def main(words: Sequence[str]) -> int:
    """Measures, writes, and says whether everything could be measured."""
    # An option that is not known must not begin the measurement of every row.
    names = [word for word in words if word != "--quick"]
    unknown = set(names) - {row.name for row in ROWS}
    if unknown:
        print(
            f"there is no {', '.join(sorted(unknown))}: rows are {', '.join(row.name for row in ROWS)}", file=sys.stderr
        )
        return os.EX_USAGE
    is_quick = be_quick_if_asked()
    tidy_when_ended()
    measured = measure_all(
        [row for row in ROWS if not names or row.name in names],
        is_quick=is_quick,
        keep=_forget if is_quick else _write,
    )
    lacking = [gate for found in measured.values() for gate in found.section.gates if gate.measured is None]
    for gate in lacking:
        print(f"{gate.what}: {gate.lacking}", file=sys.stderr)
    return 1 if lacking else 0


def _write(row: str, found: Measured) -> None:
    Page().write(ROWS, {row: found})


def _forget(row: str, found: Measured) -> None:
    """Figures of a try are worth nothing."""


def _setting() -> str:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    kernel = platform.release().partition("-")[0]
    return (
        f"{time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores, {memory:.0f} GiB, Linux {kernel}, "
        f"{platform.python_implementation()} {platform.python_version()}, {versions};"
        f" load before {os.getloadavg()[0]:.1f}."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
