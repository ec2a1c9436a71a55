"""System calls of a running process that fail, or end it, at a chosen moment: by strace, where there is one."""

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.journey import wait_until

NEW_PROCESS = "clone,clone3,vfork,fork"
"""By which a thread or a process is made."""


class Injection:
    """What strace has written down of the calls that were tampered with; made by `injected`."""

    def __init__(self, log: Path) -> None:
        self._log = log

    @property
    def count(self) -> int:
        """How many calls were tampered with so far."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return sum(text.count(mark) for mark in ("(INJECTED)", "(DELAYED)", "+++ killed by"))


def strace_or_skip() -> str:
    """The program; skips the test where there is none."""
    found = shutil.which("strace")
    if found is None:
        pytest.skip("failing system calls need the program strace")
    return found


@contextlib.contextmanager
def injected(pid: int, log: Path, *, calls: str, what: str, threads: bool = True) -> Iterator[Injection]:
    """The calls of the process tampered with (strace(1), `inject`) until the end; `when` counts by thread.

    With `threads`, all its threads and what they start; else the first one alone.
    """
    words = [
        strace_or_skip(),
        *(["-f"] if threads else []),
        "-q",
        "-o",
        str(log),
        "-e",
        f"trace={calls}",
        "-e",
        f"inject={calls}:{what}",
    ]
    tracer = subprocess.Popen([*words, "-p", str(pid)], stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: tracer_of(pid) == tracer.pid, what=f"strace to hold {pid}")
        yield Injection(log)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)


def tracer_of(pid: int) -> int:
    """Who traces all threads of the process; 0 if one of them is not traced."""
    tracers = set()
    for thread in Path(f"/proc/{pid}/task").iterdir():
        status = (thread / "status").read_text()
        tracers.add(int(status.partition("TracerPid:")[2].split()[0]))
    return tracers.pop() if len(tracers) == 1 else 0
