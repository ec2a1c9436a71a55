"""A wall clock of its own for some processes, which the test sets while they run; their monotonic clocks stay real."""

import importlib.util
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.support.journey import Program


class WallClock:
    """Programs that are started below it share the clock."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "wall-clock"
        self._ahead_seconds = 0
        self.set(0)

    def set(self, ahead_seconds: int) -> None:
        """From now on the clock is so many seconds ahead of the real one; behind it if negative."""
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{ahead_seconds:+d}\n")
        # In one piece: it is read at each look at the clock.
        beside.replace(self._file)
        self._ahead_seconds = ahead_seconds

    def now(self) -> datetime:
        """What the programs see."""
        return datetime.fromtimestamp(time.time() + self._ahead_seconds, UTC)

    def rule(self, program: Program) -> Program:
        """The program with this clock."""
        return program.below(
            "env",
            f"LD_PRELOAD={_library()}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_NO_CACHE=1",
            "DONT_FAKE_MONOTONIC=1",
            "NO_FAKE_STAT=1",  # else the file is read at each look at any file
        )


def _library() -> str:
    # Found without an import: the package replaces Python's own clocks when it is loaded.
    found = importlib.util.find_spec("libfaketime")
    assert found is not None, "libfaketime is a development dependency"
    assert found.origin is not None
    (library,) = Path(found.origin).parent.rglob("libfaketime.so.1")
    return os.fspath(library)
