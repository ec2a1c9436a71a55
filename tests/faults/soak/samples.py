"""Memory and descriptors of every process, again and again, by a thread that disturbs nobody."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.soak.installation import Installation
from tests.support.background import Background

EVERY_SECONDS = 10.0
_ESTABLISHED = "01"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One process at one moment."""

    kind: str
    """master, service, agent or keeper."""
    pid: int
    at_seconds: float
    """On the monotonic clock."""
    own_bytes: int
    """What only this process has: its heaps and stacks. A leak shows here."""
    resident_bytes: int
    """With the pages of files, which the kernel takes away and brings back as it likes."""
    descriptors: int
    """Without the connections that others have opened to it, which come and go with them."""


class Sampler(Background):
    """Takes samples from `with` on until its end."""

    def __init__(self, made: Installation, *, every_seconds: float = EVERY_SECONDS) -> None:
        super().__init__("sampler")
        self._made = made
        self._every_seconds = every_seconds
        self._samples: list[Sample] = []

    @property
    def samples(self) -> Sequence[Sample]:
        """All so far, in their order."""
        return tuple(self._samples)

    def _work(self) -> None:
        while not self._ending.wait(self._every_seconds):
            taken = connections_taken()
            for name, program in self._made.programs.items():
                if name in self._made.agents:
                    self._look("agent", program.pid)
                else:
                    self._look(name.partition("-")[0], program.pid, taken[self._made.part(name).port])
            for pid in self._made.keepers().values():
                self._look("keeper", pid)

    def _look(self, kind: str, pid: int, taken: int = 0) -> None:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            sample = Sample(
                kind=kind,
                pid=pid,
                at_seconds=time.monotonic(),
                own_bytes=_bytes(rollup, "\nAnonymous:"),
                resident_bytes=_bytes(rollup, "\nRss:"),
                descriptors=descriptors - taken,
            )
        except (OSError, IndexError):
            return  # it has been killed meanwhile
        self._samples.append(sample)


def connections_taken() -> Counter[int]:
    """Living connections by the port that they came to (proc(5), net/tcp)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return Counter(int(row[1].partition(":")[2], 16) for row in rows if row[3] == _ESTABLISHED)


def _bytes(rollup: str, field: str) -> int:
    return int(rollup.partition(field)[2].split()[0]) << 10
