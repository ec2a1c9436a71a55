"""The C heap of a process that runs for months: large pieces go back to the system, whatever lies beside them."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""As malloc.h of the GNU C library has them; see mallopt(3)."""
_LARGE_BYTES = 128 << 10
"""More than the 86 KiB that SQLite takes for every statement that needs a table for a moment, seven times a run."""
_TRIM_BYTES = 128 << 10
_ARENAS = 2


def give_back_memory() -> None:
    """From now on what is larger than 128 KiB is mapped by itself, and gone when it is let go of.

    Left to itself glibc raises that limit to the largest piece that was ever freed, up to 32 MiB, and threads get a
    heap each: pieces of logs and answers then lie between what stays, and a master under faults grew by tens of MB an
    hour. An agent grew with each run, mostly because asyncio makes room for 256 KiB whenever it reads a few bytes.
    Where there is another C library nothing is changed.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
        mallopt(_M_ARENA_MAX, _ARENAS)
