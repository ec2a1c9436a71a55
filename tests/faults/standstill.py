"""SIGSTOP: processes that hear nothing and say nothing for a while."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.journey import Program, marked_processes, wait_until


@contextmanager
def frozen(pids: Sequence[int]) -> Iterator[None]:
    """These processes stand still meanwhile."""
    send(signal.SIGSTOP, pids)
    try:
        wait_until(lambda: all(is_stopped(pid) for pid in pids), what="all of them to stand still")
        yield
    finally:
        send(signal.SIGCONT, pids)


def send(number: signal.Signals, pids: Sequence[int]) -> None:
    """To those of them that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def is_stopped(pid: int) -> bool:
    """Whether it stands still, or has ended meanwhile, as the `sleep` of a job does."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "TtZ"
    except (FileNotFoundError, ProcessLookupError):
        return True


def everything_of(agent: Program, folder: Path) -> list[int]:
    """The agent, its keeper, and what they have started."""
    return sorted({agent.pid, *marked_processes(str(folder))})
