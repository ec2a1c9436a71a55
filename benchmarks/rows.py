"""A row of the benchmarks: where it measures, how large, and how it is run by itself."""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.gates import Gate, Section
from benchmarks.quiet import PATIENCE_NAME
from benchmarks.table import plain_table
from tests.support.journey import end_marked_processes

SAID_CHARACTERS_MAX = 4000


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A folder of a row's own, and whether it only has to show that it works."""

    folder: Path
    is_quick: bool = False
    shared: Path = field(default=Path())
    """What is made once for several rows."""

    def size(self, whole: int, quick: int) -> int:
        """How much is measured."""
        return quick if self.is_quick else whole


Measure = Callable[[Place], Section]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One script of the benchmarks."""

    name: str
    """Of its module, too."""
    title: str
    measure: Measure


@contextlib.contextmanager
def place_for(name: str, shared: Path, *, is_quick: bool) -> Iterator[Place]:
    """An empty folder; afterwards nothing is left in it, and no process that was started there."""
    folder = Path(tempfile.mkdtemp(prefix=f"orchestra-bench-{name}-"))
    try:
        yield Place(folder=folder, is_quick=is_quick, shared=shared)
    except Exception:
        _tell_outputs(folder)
        raise
    finally:
        # Keepers outlive the agent that started them, as they should.
        end_marked_processes(str(folder))
        shutil.rmtree(folder, ignore_errors=True)


def _tell_outputs(folder: Path) -> None:
    """What the processes said, before it is removed: why a measurement broke off is nowhere else."""
    for log in sorted(folder.rglob("*.log")):
        if "logs" not in log.parts and (said := log.read_text(errors="replace").strip()):
            print(f"{log}:\n{said[-SAID_CHARACTERS_MAX:]}", file=sys.stderr)


def run_alone(row: Row) -> None:
    """The row as a command of its own; `--quick` shows that it works. Prints, and writes nothing."""
    is_quick = be_quick_if_asked()
    tidy_when_ended()
    with (
        tempfile.TemporaryDirectory(prefix="orchestra-bench-shared-") as shared,
        place_for(row.name, Path(shared), is_quick=is_quick) as place,
    ):
        section = row.measure(place)
    print(f"### {row.title}", gates_table(section.gates), *section.tables, sep="\n\n")


def be_quick_if_asked() -> bool:
    """Whether `--quick` is among the words of the command; then nobody waits for the machine to become quiet."""
    is_quick = "--quick" in sys.argv[1:]
    if is_quick:
        os.environ[PATIENCE_NAME] = "0"
    return is_quick


def tidy_when_ended() -> None:
    """Whoever ends the measurement early (SIGTERM) does not leave an instance behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def gates_table(gates: tuple[Gate, ...]) -> str:
    """Wanted, measured, holds?"""
    lines = [(gate.what, gate.wanted, gate.found, "yes" if gate.holds else "**no**") for gate in gates]
    return plain_table(("", "wanted", "measured", "holds?"), lines)
