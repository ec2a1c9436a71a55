"""The log of an attempt as the keeper writes it: its bytes, where in time they came, and what found no room."""

import contextlib
import errno
import os
import struct

from orchestra.clock import MICROSECONDS_PER_SECOND, Clock, Instant
from orchestra_worker.keeper_files import INDEX_NAME, LOG_NAME, OWNER_ONLY

RESERVE_BYTES = 16 << 20
RESERVE_NAME = "reserve"
FULL_LOOK_SECONDS = 1.0
INDEX_MICROSECONDS = MICROSECONDS_PER_SECOND // 10
INDEX_ENTRY = struct.Struct("<QQ")
"""An entry of the index: offset in the log, Instant at which the bytes from there on were read.

What comes in a step's first 100 ms has none: the step's start dates it, and most steps then need no such file.
"""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskReserve:
    """Some megabytes kept in a file, and given back when the disk is full, so that the ends of steps can still be
    written.

    Until there is room again for the reserve and as much for logs, no log is written: else they would eat what was
    freed.
    """

    def __init__(self, *, folder: str, clock: Clock, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._path = f"{folder}/{RESERVE_NAME}"
        self._folder = folder
        self._clock = clock
        self._reserve_bytes = reserve_bytes
        self._full = False
        self._look_at = 0.0
        self._allocate()

    def is_full(self) -> bool:
        """Whether logs must not be written now; looks at the disk once a second."""
        if self._full and self._clock.monotonic() >= self._look_at:
            self._look_at = self._clock.monotonic() + FULL_LOOK_SECONDS
            room = os.statvfs(self._folder)
            if room.f_bavail * room.f_frsize >= 2 * self._reserve_bytes:
                self._full = not self._allocate()
        return self._full

    def look_soon(self) -> None:
        """The next question is answered by a look at the disk."""
        self._look_at = 0.0

    def free(self) -> None:
        """Gives the reserve back to the file system: it is full."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        self._full = True
        self._look_at = self._clock.monotonic() + FULL_LOOK_SECONDS

    def _allocate(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, OWNER_ONLY)
        except OSError:
            return False
        try:
            os.posix_fallocate(descriptor, 0, self._reserve_bytes)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            return False
        finally:
            os.close(descriptor)
        return True


class LogWriter:
    """Appends the output of one step to the log of its attempt."""

    def __init__(self, *, folder: str, reserve: DiskReserve, clock: Clock) -> None:
        self._folder = folder
        self._reserve = reserve
        self._clock = clock
        self._index: int | None = None
        self._index_due = Instant(clock.now() + INDEX_MICROSECONDS)
        self._lost: list[list[int]] = []
        # Not a byte of a step that has just begun is lost for what the disk was a moment ago.
        reserve.look_soon()
        # Not O_APPEND: the offset is ours, and a hole may be punched below it.
        self._file = os.open(f"{folder}/{LOG_NAME}", os.O_WRONLY | os.O_CREAT, OWNER_ONLY)
        self.start = self.length = os.fstat(self._file).st_size

    @property
    def lost(self) -> tuple[tuple[int, int], ...]:
        """What found no room: (offset at which it is missing, bytes)."""
        return tuple((offset, count) for offset, count in self._lost)

    def write(self, content: memoryview) -> None:
        """Writes what fits and counts the rest; never waits and never raises for want of room."""
        arrived = self._clock.now()
        start = self.length
        while content:
            if self._reserve.is_full():
                self._lose(len(content))
                break
            try:
                written = os.pwrite(self._file, content, self.length)
            except OSError as error:
                if error.errno not in NO_ROOM:
                    # A disk that fails is no reason to block the step: what is missing is said.
                    self._lose(len(content))
                    break
                self._reserve.free()
                continue
            self.length += written
            content = content[written:]
        if self.length > start and arrived >= self._index_due:
            self._note(start, arrived)

    def close(self) -> None:
        """Closes the files."""
        os.close(self._file)
        if self._index is not None:
            os.close(self._index)

    def _lose(self, count: int) -> None:
        if self._lost and self._lost[-1][0] == self.length:
            self._lost[-1][1] += count
        else:
            self._lost.append([self.length, count])

    def _note(self, offset: int, arrived: Instant) -> None:
        self._index_due = Instant(arrived + INDEX_MICROSECONDS)
        with contextlib.suppress(OSError):
            if self._index is None:
                path = f"{self._folder}/{INDEX_NAME}"
                self._index = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, OWNER_ONLY)
                # An entry that a full disk has torn would shift all later ones.
                whole = os.fstat(self._index).st_size // INDEX_ENTRY.size * INDEX_ENTRY.size
                os.ftruncate(self._index, whole)
            os.write(self._index, INDEX_ENTRY.pack(offset, arrived))
