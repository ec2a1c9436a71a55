"""Check-ins of jobs: lines in a file, which is the truth, and a socket that says when to look."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from orchestra.limits import CHECK_IN_BYTES_MAX, CHECK_IN_CHARACTERS_MAX

_HINT_BYTES_MAX = 64


class CheckInLine(msgspec.Struct, frozen=True):
    """One line of the file."""

    progress: float | None = None
    text: str = ""


_decode = msgspec.json.Decoder(CheckInLine).decode


@dataclass(frozen=True, kw_only=True)
class CheckInsRead:
    """The newest check-in behind an offset, and where to look the next time."""

    newest: CheckInLine | None
    offset: int


def read_check_ins(path: str | Path, offset: int) -> CheckInsRead:
    """Reads whole lines behind the offset; lines that are none of ours are skipped."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < offset:
                offset = 0  # The job has emptied the file.
            start = max(offset, size - CHECK_IN_BYTES_MAX)
            file.seek(start)
            content = file.read(CHECK_IN_BYTES_MAX)
    except OSError:
        return CheckInsRead(newest=None, offset=offset)
    whole, newline, _ = content.rpartition(b"\n")
    if not newline:
        return CheckInsRead(newest=None, offset=offset)
    newest = next((line for raw in reversed(whole.split(b"\n")) if (line := _line(raw))), None)
    return CheckInsRead(newest=newest, offset=start + len(whole) + 1)


def _line(raw: bytes) -> CheckInLine | None:
    try:
        line = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if line.progress is not None and not 0 <= line.progress <= 1:
        return None
    return CheckInLine(progress=line.progress, text=line.text[:CHECK_IN_CHARACTERS_MAX])


class HintSocket:
    """The datagram socket that jobs poke; a hint names the attempt. Opened and closed within one running loop."""

    def __init__(self, *, path: Path, on_hint: Callable[[str], None]) -> None:
        self._path = path
        self._on_hint = on_hint
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Takes the socket's place; the folder's lock says that nobody else uses it."""
        self._path.unlink(missing_ok=True)
        # A socket's path is bounded to 108 bytes: through the folder's descriptor any length works.
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        hints = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            hints.bind(f"/proc/self/fd/{folder}/{self._path.name}")
            self._path.chmod(0o600)
        except OSError:
            hints.close()
            raise
        finally:
            os.close(folder)
        self._socket = hints
        asyncio.get_running_loop().add_reader(hints.fileno(), self._read)

    def close(self) -> None:
        """Lets the socket go."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
            self._path.unlink(missing_ok=True)

    def _read(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(OSError):
            while hint := self._socket.recv(_HINT_BYTES_MAX):
                self._on_hint(hint.decode("ascii", "replace"))
