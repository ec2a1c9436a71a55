"""Every process of one step, however it forked: found, signalled, killed until none is left.

With a control group the kernel keeps the list. Without one a process belongs to the step if it is in the main
process's group or session, if it carries the step's marker in its environment, if it descends from one that does, or
if any of that was so when it was looked at before.
The keeper is then the subreaper of its steps: daemonised processes become its children, so that "nothing is left" is
one cheap look.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Container, Mapping
from typing import NamedTuple

from orchestra_worker.cgroup import Cgroup
from orchestra_worker.keeper_protocol import MARKER

PR_SET_CHILD_SUBREAPER = 36
STOP_ROUNDS_MAX = 20


class Kin(NamedTuple):
    """Where a process stands among the others."""

    parent: int
    group: int
    session: int
    started: int
    """In ticks since boot: with the pid the process's name for ever."""


class ProcessTree:
    """The processes of one step."""

    def __init__(
        self, *, marker: str, leader: int | None, cgroup: Cgroup | None, has_orphans: Callable[[], bool] | None = None
    ) -> None:
        self._marker = f"{MARKER}={marker}".encode()
        self._leader = leader
        self._cgroup = cgroup
        self._has_orphans = has_orphans
        self._seen: dict[int, int] = {}
        """What belonged to it at the last look, with its start: it stays the step's without marker and parent."""

    def pids(self) -> set[int]:
        """The living processes, the main one included as long as it runs."""
        if self._cgroup is not None:
            return self._cgroup.pids() - {os.getpid()}
        found = step_processes(self._marker, self._leader, self._seen)
        self._seen = found
        return set(found)

    def has_leftovers(self) -> bool:
        """Whether anything lives although the main process has ended."""
        if self._cgroup is not None:
            # The keeper itself may still be where the step was born.
            return self._cgroup.is_populated() and self._cgroup.pids() != {os.getpid()}
        if self._has_orphans is not None and not self._has_orphans():
            return False
        return bool(self.pids())

    def terminate(self) -> None:
        """Asks every process to end, each group of them at one moment: a shell that was told after its command would
        have gone on with the next."""
        # A step starts in a session of its own, so no group of it has a process that is not the step's.
        for group in {group for pid in self.pids() if (group := _group_of(pid)) is not None}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGTERM)

    def kill(self) -> None:
        """Kills what is there now; call it again until nothing is left: a fork bomb may have been faster."""
        if self._cgroup is not None and os.getpid() not in self._cgroup.pids():
            self._cgroup.kill()
            return
        self._stop_all()
        if self._leader is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._leader, signal.SIGKILL)
        for pid in self.pids():
            send(pid, signal.SIGKILL)

    def _stop_all(self) -> None:
        # What is stopped cannot fork, and as long as none is killed, none has room to: a fork bomb would take the place
        # of each that dies.
        stopped: set[int] = set()
        for _ in range(STOP_ROUNDS_MAX):
            running = self.pids() - stopped
            if not running:
                return
            for pid in running:
                send(pid, signal.SIGSTOP)
            stopped |= running

    def remove(self) -> bool:
        """Gives the control group back; False if that must wait."""
        return self._cgroup is None or self._cgroup.remove()


def become_subreaper() -> bool:
    """Lets orphaned descendants become this process's children; False if the machine cannot."""
    # Loaded only here: it costs half a megabyte, and with control groups it is not needed.
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    return done and os.path.exists(_children_file())


def reap_orphans(own: Container[int]) -> bool:
    """Collects the dead among adopted children; whether living ones remain. `own` are main processes of steps."""
    try:
        with open(_children_file(), "rb") as file:
            children = [int(word) for word in file.read().split()]
    except OSError:
        return True
    alive = False
    for pid in children:
        if pid not in own:
            with contextlib.suppress(ChildProcessError):
                alive = os.waitpid(pid, os.WNOHANG)[0] == 0 or alive
    return alive


def step_processes(marker: bytes, leader: int | None, seen: Mapping[int, int]) -> dict[int, int]:
    """The living processes that belong to a step, each with its start, by one look through /proc; `seen` did before."""
    kin = living_processes()
    members = {pid for pid, of in kin.items() if seen.get(pid) == of.started or _is_marked(pid, marker)}
    if leader is not None:
        members.update(pid for pid, of in kin.items() if leader in (of.group, of.session, pid))
    # A step starts in a session of its own, so all of a marked process's session is the step's, marked or not.
    sessions = {kin[pid].session for pid in members}
    members.update(pid for pid, of in kin.items() if of.session in sessions)
    grown = True
    while grown:
        children = {pid for pid, of in kin.items() if of.parent in members} - members
        members |= children
        grown = bool(children)
    members.discard(os.getpid())
    return {pid: kin[pid].started for pid in members}


def living_processes() -> dict[int, Kin]:
    """Everything on this machine that runs; the dead that wait to be collected are left out."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat_fields(int(name))
            if fields is not None and fields[0] not in ("Z", "X"):
                found[int(name)] = Kin(int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))
    return found


def stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name before the last bracket may contain anything, blanks and brackets too.
            return file.read().rpartition(b")")[2].decode("ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def started_ticks(pid: int) -> int | None:
    """When a process was started, in ticks since boot: with the pid its name for ever. None if it is dead."""
    fields = stat_fields(pid)
    return None if fields is None or fields[0] in ("Z", "X") else int(fields[19])


def send(pid: int, number: signal.Signals) -> None:
    """Sends a signal; a process that is gone, or not ours, is left out."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _is_marked(pid: int, marker: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return marker in file.read().split(b"\0")
    except OSError:
        return False


def _children_file() -> str:
    return f"/proc/self/task/{os.getpid()}/children"
