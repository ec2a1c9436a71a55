"""Where the keeper itself is among the control groups of its steps: always in the group of the step that comes next."""

import _thread
import contextlib
import os
import time

from orchestra_worker.cgroup import Cgroup, own_folder, write_file

QUICK_SECONDS = 0.008
"""A move that begins so soon after another one is quick."""


class _StepCgroup(Cgroup):
    """The group of one step."""

    def __init__(self, path: str, *, over: list[str], moving: _thread.LockType) -> None:
        super().__init__(path)
        self._over = over
        self._moving = moving

    def remove(self) -> bool:
        """Removes the empty group; while the keeper moves, and if it is still in it, that waits until it has moved."""
        # Noted first: whoever moves the keeper at this moment looks there afterwards.
        self._over.append(self.path)
        # The kernel would let us wait for the move.
        has_gone = not self._moving.locked() and super().remove()
        if has_gone:
            with contextlib.suppress(ValueError):
                self._over.remove(self.path)
        return has_gone


class CgroupParent:
    """The group of one worker folder, below which each step has its own.

    What a process spawns is born in its own group, so this process waits for the next step in that step's group, and
    moves on once it is spawned. Moving takes 10 ms on a quiet machine, because the kernel waits until every processor
    has seen it (RCU): done beforehand, and by a thread that has nothing else to do, it delays no start and no end.
    While moves follow one another they take 0.02 ms, and between steps that come in bursts `keep_quick` sees to that.
    """

    def __init__(self, *, path: str, home: int, series: str) -> None:
        self._path = path
        self._home = home
        self._series = series
        self._made = 0
        self._ready: Cgroup | None = None
        """The group this process is in, unless it is a step's already."""
        self._moving = _thread.allocate_lock()
        """Held by whoever moves this process. `threading` would cost the keeper more memory than all its groups."""
        self._moved_at = 0.0
        self._over: list[str] = []
        """Groups of steps that are over, in which this process may still be: they are removed once it has left."""

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
        """The group in which the next process is born; None if none can be made. Waits for a move that is under way."""
        with self._moving:
            if self._ready is None:
                self._move_on()
        self._remove_left()
        return self._ready

    def give(self) -> None:
        """The ready group is a step's now, and this process still in it: who stops the step calls `ready` first."""
        self._ready = None

    def move_on(self) -> None:
        """Leaves the group of a step that was just started, without waiting for it if it may take long."""
        if self._ready is not None or not self._moving.acquire(False):
            return
        if time.monotonic() < self._moved_at + QUICK_SECONDS:
            self._move_and_release()
            return
        try:
            _thread.start_new_thread(self._move_and_release, ())
        except RuntimeError:  # No room for a thread.
            self._move_and_release()

    def keep_quick(self) -> None:
        """Moves to where this process is already, so that the next real move follows soon enough to be a quick one."""
        if self._ready is not None and self._moving.acquire(False):
            try:
                self._move_to(self._ready)
            finally:
                self._moving.release()

    def close(self) -> None:
        """Removes the worker's group if nothing is left in it."""
        with self._moving:
            self._go_home()
        os.close(self._home)
        Cgroup(self._path).remove()

    def _move_and_release(self) -> None:
        try:
            self._move_on()
        finally:
            self._moving.release()
        self._remove_left()

    def _move_on(self) -> None:
        self._made += 1
        group = _StepCgroup(f"{self._path}/{self._series}-{self._made}", over=self._over, moving=self._moving)
        try:
            # Parents too: somebody may have tidied our empty group away.
            os.makedirs(group.path)
        except OSError:
            self._go_home()
        else:
            if self._move_to(group):
                self._ready = group
            else:
                group.remove()
                self._go_home()

    def _remove_left(self) -> None:
        # The thread may come here as well.
        with contextlib.suppress(IndexError):
            while True:
                Cgroup(self._over.pop()).remove()

    def _move_to(self, group: Cgroup) -> bool:
        has_moved = write_file(f"{group.path}/cgroup.procs", b"0")
        self._moved_at = time.monotonic()
        return has_moved

    def _go_home(self) -> None:
        with contextlib.suppress(OSError):
            # If it fails, we are found among the step's processes, and they are killed one by one without us.
            os.write(self._home, b"0")
