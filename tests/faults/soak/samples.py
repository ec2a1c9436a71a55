"""Memory and descriptors of every process, again and again, by a thread that disturbs nobody."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.faults.soak.installation import Installation

EVERY_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One process at one moment."""

    kind: str
    """master, service, agent or keeper."""
    pid: int
    at_seconds: float
    """On the monotonic clock."""
    resident_bytes: int
    proportional_bytes: int
    """With shared pages counted by halves, thirds and so on."""
    descriptors: int


class Sampler:
    """Takes samples from `with` on until its end."""

    def __init__(self, made: Installation, *, every_seconds: float = EVERY_SECONDS) -> None:
        self._made = made
        self._every_seconds = every_seconds
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sampler", daemon=True)
        self._samples: list[Sample] = []

    @property
    def samples(self) -> Sequence[Sample]:
        """All so far, in their order."""
        return tuple(self._samples)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ending.wait(self._every_seconds):
            for name, program in self._made.programs.items():
                self._look("agent" if name in self._made.agents else name.partition("-")[0], program.pid)
            for pid in self._made.keepers().values():
                self._look("keeper", pid)

    def _look(self, kind: str, pid: int) -> None:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            sample = Sample(
                kind=kind,
                pid=pid,
                at_seconds=time.monotonic(),
                resident_bytes=_bytes(rollup, "Rss:"),
                proportional_bytes=_bytes(rollup, "Pss:"),
                descriptors=descriptors,
            )
        except (OSError, IndexError):
            return  # it has been killed meanwhile
        self._samples.append(sample)


def _bytes(rollup: str, field: str) -> int:
    return int(rollup.partition(field)[2].split()[0]) << 10
