"""A folder that belongs to one process at a time: a data folder, a worker folder."""

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestra.errors import FolderInUse, FolderUnusable

LOCK_NAME = "lock"
_HOLDER_BYTES_MAX = 1000
_TRIAL_BYTES = 4096


class LockedFolder:
    """A folder whose kernel lock this process holds, until `release` or its end, however sudden that is."""

    def __init__(self, *, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    def release(self) -> None:
        """Lets others have the folder; the lock file stays, because removing it would race with who opens it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def lock_folder(path: Path, purpose: str) -> LockedFolder:
    """Makes the folder for this user alone, proves that it can be written, and takes its lock for this process.

    `purpose` is what the next one who wants it is told, such as "orchestra up". The lock is not inherited by programs
    that this process starts. Raises FolderInUse, which names the holder, or FolderUnusable.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Close-on-exec, as Python opens everything: a step that outlives us must not keep the folder.
        lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FolderUnusable(str(path), error.strerror or str(error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write_holder(lock, purpose)
        _prove_writable(path)
    except BlockingIOError as error:
        holder = _holder(lock)
        os.close(lock)
        raise FolderInUse(str(path), holder) from error
    except OSError as error:
        os.close(lock)
        raise FolderUnusable(str(path), error.strerror or str(error)) from error
    return LockedFolder(path=path, lock=lock)


def _write_holder(lock: int, purpose: str) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()} {purpose}\n".encode(), 0)


def _holder(lock: int) -> str:
    """Who holds the lock, in words; what the file says may be half-written, so it is a hint."""
    with contextlib.suppress(OSError):
        pid, _, purpose = os.pread(lock, _HOLDER_BYTES_MAX, 0).decode(errors="replace").strip().partition(" ")
        if pid.isdecimal():
            return f"process {pid} ({purpose})"
    return "another process"


def _prove_writable(path: Path) -> None:
    """Opening the lock proves little when the disk is full or its file belongs to us in a folder that does not."""
    trial = path / f".trial-{os.getpid()}"
    descriptor = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        written = os.write(descriptor, bytes(_TRIAL_BYTES))
        os.fsync(descriptor)
        if written < _TRIAL_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)
        trial.unlink(missing_ok=True)
