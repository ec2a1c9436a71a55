"""Giving the disk space of a part of a file back while its offsets stay what they are."""

import os
from pathlib import Path

FALLOC_FL_KEEP_SIZE = 1
FALLOC_FL_PUNCH_HOLE = 2


def punch_hole(path: Path, offset: int, length: int) -> None:
    """Makes a hole; reading there gives zeros. Raises OSError where the file system or the system cannot do it."""
    # Loaded with the first log that is long enough: a worker that rests can do without it.
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    fallocate = getattr(libc, "fallocate", None)
    if fallocate is None:
        raise OSError("this system cannot punch holes into files")
    descriptor = os.open(path, os.O_WRONLY)
    try:
        mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
        if fallocate(descriptor, mode, ctypes.c_int64(offset), ctypes.c_int64(length)) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)
