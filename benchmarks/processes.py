"""Processes as the operating system counts them: started, their trees, CPU time, memory, and their end."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_RESET_PEAK = "5"


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What one process has in memory."""

    pid: int
    command: str
    resident_mib: float
    proportional_mib: float
    """With shared pages counted by halves, thirds and so on: what the processes take together is the sum of these."""
    peak_mib: float
    """The most that was resident since the last `reset_peaks`."""


def tree(roots: Iterable[int]) -> list[int]:
    """Every live process at or below the roots."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                children.setdefault(int(statistics_of(int(entry.name))[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found and Path(f"/proc/{pid}").exists():
            found.append(pid)
            waiting += children.get(pid, [])
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time of the trees, children that were already reaped included."""
    ticks = 0
    for pid in tree(roots):
        with contextlib.suppress(OSError, IndexError):
            ticks += sum(int(field) for field in statistics_of(pid)[11:15])
    return ticks / TICKS_PER_SECOND


def memory(roots: Iterable[int]) -> list[Memory]:
    """One row for each process of the trees."""
    rows = []
    for pid in tree(roots):
        with contextlib.suppress(OSError, KeyError, ValueError):
            sizes = _kibibytes(Path(f"/proc/{pid}/smaps_rollup")) | _kibibytes(Path(f"/proc/{pid}/status"))
            rows.append(
                Memory(
                    pid=pid,
                    command=Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(),
                    resident_mib=sizes["Rss"] / 1024,
                    proportional_mib=sizes["Pss"] / 1024,
                    peak_mib=sizes["VmHWM"] / 1024,
                )
            )
    return rows


def reset_peaks(roots: Iterable[int]) -> None:
    """From now on `Memory.peak_mib` counts anew."""
    for pid in tree(roots):
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK)


def wait_until(check: Callable[[], bool], *, seconds: float, every: float = 0.05, what: str = "it") -> None:
    """Looks again and again; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(every)


def percentile(values: Iterable[float], fraction: float) -> float:
    """The value that so large a part does not exceed."""
    ordered = sorted(values)
    return ordered[round(fraction * (len(ordered) - 1))]


class Processes:
    """Starts processes and ends exactly those, by process id, and what lives below them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[subprocess.Popen[bytes]] = []

    def start(
        self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> int:
        """Starts a process in a session of its own and gives its pid."""
        with (self._folder / f"output-{len(self._children)}.log").open("wb") as log:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        self._children.append(child)
        return child.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self._children):
            everything = tree([child.pid])
            for how in (signal.SIGTERM, signal.SIGKILL):
                for pid in everything:
                    with contextlib.suppress(OSError):
                        os.kill(pid, how)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(10)


def statistics_of(pid: int) -> list[str]:
    """The fields of proc(5), stat, from the state on."""
    # The command is in brackets and may hold blanks and brackets of its own.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def _kibibytes(path: Path) -> dict[str, int]:
    fields = (line.split() for line in path.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in fields if len(words) == 3 and words[2] == "kB"}
