"""A disk of a few megabytes that the test can fill to its last byte and free again."""

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PIECE_BYTES = 1 << 20


class SmallDisk:
    """A memory file system at `folder`; made by `small_disk`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    @property
    def free_bytes(self) -> int:
        """What is left, for everybody."""
        room = os.statvfs(self.folder)
        return room.f_bavail * room.f_frsize

    def fill(self) -> int:
        """Takes all that is left now, to the last byte; how much this call took."""
        taken = 0
        with self._ballast.open("ab", buffering=0) as ballast:
            piece = PIECE_BYTES
            while piece:
                try:
                    taken += ballast.write(b"\xb5" * piece)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    piece //= 2
        return taken

    def free(self) -> None:
        """Gives back what `fill` took."""
        self._ballast.unlink(missing_ok=True)

    def resize(self, mebibytes: int) -> None:
        """Makes the disk larger."""
        _run("mount", "-o", f"remount,size={mebibytes}m", str(self.folder))


@contextlib.contextmanager
def small_disk(folder: Path, *, mebibytes: int) -> Iterator[SmallDisk]:
    """Mounts it, and takes it away afterwards whoever still uses it; skips the test where mounting is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk needs the right to mount one: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        _run("umount", "--lazy", str(folder))


def _run(*arguments: str) -> None:
    subprocess.run(arguments, check=True, capture_output=True, text=True)
