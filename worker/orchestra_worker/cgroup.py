"""Control groups, version 2: where the worker may make one, a step cannot hide any of its processes.

Only the membership and `cgroup.kill` are used, no controller. A hybrid machine has the version 2 tree beside the old
ones (below /sys/fs/cgroup/unified), therefore the mount table is asked. All paths are plain strings: the keeper loads
no pathlib.
"""

import contextlib
import os

_READ_BYTES = 16 << 10


class Cgroup:
    """The control group of one step."""

    def __init__(self, path: str) -> None:
        self.path = path

    def pids(self) -> set[int]:
        """The living processes in this group and below it (a step may make groups of its own)."""
        found: set[int] = set()
        for folder, _, _ in os.walk(self.path):
            found.update(int(line) for line in _read(f"{folder}/cgroup.procs").split())
        return found

    def is_populated(self) -> bool:
        """Whether any process lives in it."""
        return "populated 1" in _read(f"{self.path}/cgroup.events")

    def kill(self) -> None:
        """Kills every process in it at once; none can fork away."""
        _write(f"{self.path}/cgroup.kill", b"1")

    def remove(self) -> bool:
        """Removes the empty group; False if it is not empty yet."""
        try:
            # The step may have made groups of its own below; an empty one goes without a look.
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
                return True
            for folder, _, _ in os.walk(self.path, topdown=False):
                os.rmdir(folder)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


class CgroupParent:
    """The group of one worker folder, below which each step has its own.

    What a process spawns is born in its own group, so this process waits for the next step in that step's group, and
    moves on once it is spawned. Moving takes 10 ms on a quiet machine, because the kernel waits until every processor
    has seen it (RCU): done beforehand, it delays no start. While moves follow one another they take 0.02 ms, and
    between steps that come in bursts `keep_quick` sees to that.
    """

    def __init__(self, *, path: str, home: int, series: str) -> None:
        self._path = path
        self._home = home
        self._series = series
        self._made = 0
        self._ready: Cgroup | None = None
        """The group this process is in, unless it is a step's already."""

    @classmethod
    def make(cls, name: str, *, series: str) -> "CgroupParent | None":
        """The worker's group below this process's own, or None where that is not allowed or not there.

        `series` begins the names of the steps' groups: no other process may ever use it.
        """
        own = own_folder()
        if own is None:
            return None
        path = f"{own}/{name}"
        try:
            os.makedirs(path, exist_ok=True)
            home = os.open(f"{own}/cgroup.procs", os.O_WRONLY)
        except OSError:
            return None
        parent = cls(path=path, home=home, series=series)
        if not os.path.exists(f"{path}/cgroup.kill") or parent.ready() is None:
            os.close(home)
            return None
        return parent

    def ready(self) -> Cgroup | None:
        """The group in which the next process is born; None if none can be made."""
        if self._ready is None:
            self._move_on()
        return self._ready

    def give(self) -> None:
        """The group that was ready is a step's now. Call `ready` before anything is done to that step's processes."""
        self._ready = None

    def keep_quick(self) -> None:
        """Moves to where this process is already, so that the next real move follows soon enough to be a quick one."""
        if self._ready is not None:
            _write(f"{self._ready.path}/cgroup.procs", b"0")

    def close(self) -> None:
        """Removes the worker's group if nothing is left in it."""
        self._go_home()
        os.close(self._home)
        Cgroup(self._path).remove()

    def _move_on(self) -> None:
        self._made += 1
        group = Cgroup(f"{self._path}/{self._series}-{self._made}")
        try:
            # Parents too: somebody may have tidied our empty group away.
            os.makedirs(group.path)
        except OSError:
            self._go_home()
            return
        if _write(f"{group.path}/cgroup.procs", b"0"):
            self._ready = group
        else:
            group.remove()
            self._go_home()

    def _go_home(self) -> None:
        with contextlib.suppress(OSError):
            # If it fails, we are found among the step's processes, and they are killed one by one without us.
            os.write(self._home, b"0")


def own_folder() -> str | None:
    """The folder of this process's own version 2 group; None if the machine has none."""
    mount = next(
        (fields[1] for line in _read("/proc/self/mounts").splitlines() if (fields := line.split())[2] == "cgroup2"),
        None,
    )
    own = next((line[3:] for line in _read("/proc/self/cgroup").splitlines() if line.startswith("0::")), None)
    if mount is None or own is None:
        return None
    return mount + own.rstrip("/")


def _read(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return ""
    content = b""
    try:
        # Raw, because the layers of an open file cost more than the reading.
        while more := os.read(descriptor, _READ_BYTES):
            content += more
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return os.fsdecode(content)


def _write(path: str, content: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(descriptor, content)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
