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
            found.update(int(line) for line in read_file(f"{folder}/cgroup.procs").split())
        return found

    def is_populated(self) -> bool:
        """Whether any process lives in it, or below it."""
        return "populated 1" in read_file(f"{self.path}/cgroup.events")

    def kill(self) -> None:
        """Kills every process in it at once; none can fork away."""
        write_file(f"{self.path}/cgroup.kill", b"1")

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


def own_folder() -> str | None:
    """The folder of this process's own version 2 group; None if the machine has none."""
    mount = next(
        (fields[1] for line in read_file("/proc/self/mounts").splitlines() if (fields := line.split())[2] == "cgroup2"),
        None,
    )
    own = next((line[3:] for line in read_file("/proc/self/cgroup").splitlines() if line.startswith("0::")), None)
    if mount is None or own is None:
        return None
    return mount + own.rstrip("/")


def read_file(path: str) -> str:
    """What the kernel says in a file of its own; empty if there is none."""
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


def write_file(path: str, content: bytes) -> bool:
    """Tells the kernel something by a file of its own; False if it refuses."""
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
