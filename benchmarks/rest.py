"""What processes cost at rest, finer than the clock ticks in which the operating system charges processor time."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.processes import TICKS_PER_SECOND, statistics_of, tree

Mapping = tuple[str, str, str]
"""Device, inode and offset: the same part of the same file."""


def exact_cpu_seconds(roots: Iterable[int]) -> float:
    """Of all threads that live, to the nanosecond; and of children that were already reaped, in ticks."""
    nanoseconds, ticks = 0, 0
    for pid in tree(roots):
        for thread in _threads(pid):
            with contextlib.suppress(OSError):
                nanoseconds += int((thread / "schedstat").read_text().split()[0])
        with contextlib.suppress(OSError, IndexError):
            ticks += sum(int(field) for field in statistics_of(pid)[13:15])
    return nanoseconds / 1e9 + ticks / TICKS_PER_SECOND


def wake_ups(roots: Iterable[int]) -> int:
    """How often the threads have gone to sleep so far, of their own accord: a timer that goes off wakes one of them."""
    total = 0
    for pid in tree(roots):
        for thread in _threads(pid):
            with contextlib.suppress(OSError, IndexError):
                total += int((thread / "status").read_text().split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return total


def mebibytes_alone(pids: Sequence[int]) -> float:
    """What these processes would have in memory if nobody else on the machine shared a page with them.

    Proportional memory is less where others run the same interpreter, as the benchmark itself does. A page of a file
    that several of them map is counted once; what is private counts for each.
    """
    shared: dict[Mapping, int] = {}
    private = 0
    for pid in pids:
        for mapping, is_private, kibibytes in _mapped(Path(f"/proc/{pid}/smaps")):
            if is_private:
                private += kibibytes
            else:
                shared[mapping] = max(shared.get(mapping, 0), kibibytes)
    return (private + sum(shared.values())) / 1024


def _mapped(smaps: Path) -> Iterator[tuple[Mapping, bool, int]]:
    mapping: Mapping = ("", "", "")
    for line in smaps.read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            # Memory without a file is told apart by where it lies.
            mapping = (words[3], words[4], words[2] if words[4] != "0" else words[0])
        elif words[0].startswith(("Private_Clean", "Private_Dirty", "Shared_Clean", "Shared_Dirty")):
            yield mapping, words[0].startswith("Private"), int(words[1])


def _threads(pid: int) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(Path(f"/proc/{pid}/task").iterdir())
    return []
