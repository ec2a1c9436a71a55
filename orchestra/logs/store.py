"""The folder that keeps the logs: written by the master at a given offset, synced before anything is acknowledged.

One file per attempt, `<folder>/<thousands of the run>/<run>-<attempt>.log`, and beside it `.segments`, the digests
of its whole 1 MiB segments. The database's committed length is the truth: bytes behind it are leftovers of a crash,
and are written again.
"""

import ctypes
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestra.errors import FolderUnusable, OrchestraError
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.limits import FILES_PER_SYNCFS_MIN, LOGS_OPEN_MAX, SEGMENT_BYTES
from orchestra.logs.digest import DIGEST_BYTES, SegmentedDigest, whole_digests

logger = logging.getLogger(__name__)

AttemptKey = tuple[RunId, AttemptNumber]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogPiece:
    """Bytes of an attempt's log and the place where they belong."""

    run: RunId
    attempt: AttemptNumber
    offset: int
    content: bytes


class MissingLogBytes(OrchestraError):
    """A piece begins behind what is stored: something in between is missing."""


class LogReader(Protocol):
    """What readers of logs need; they ask the database first how much is committed."""

    def read(self, run: RunId, attempt: AttemptNumber, offset: int, length: int) -> bytes:
        """Bytes of the log, fewer at its end; empty if there are none."""


class LogStore(LogReader, Protocol):
    """What the master needs. Every method may block on a disk: call it in a thread. One thread at a time."""

    def resume(self, run: RunId, attempt: AttemptNumber, committed: int) -> None:
        """Goes on with a log after a restart or reconnect: what is behind the committed length is void."""

    def write(self, pieces: Sequence[LogPiece]) -> Mapping[AttemptKey, int]:
        """Writes and syncs the pieces, and says how long each log is now; what is there already is not written again.

        Raises MissingLogBytes before anything of that piece is written, and OSError when the disk fails.
        """

    def digest(self, run: RunId, attempt: AttemptNumber) -> str:
        """The digest of all that was written, hexadecimal."""

    def release(self, run: RunId, attempt: AttemptNumber) -> None:
        """Nothing more will be written: lets go of the file."""


class FileLogStore:
    """Logs as files of a local or shared file system."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[AttemptKey, _OpenLog] = {}
        self._folders_made: set[Path] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise FolderUnusable(str(folder), error.strerror or str(error)) from None

    def path(self, run: RunId, attempt: AttemptNumber) -> Path:
        """Where the log is, whether or not it exists."""
        return self._folder / str(run // 1000) / f"{run}-{attempt}.log"

    def read(self, run: RunId, attempt: AttemptNumber, offset: int, length: int) -> bytes:
        """Bytes of the log, fewer at its end; empty if there are none."""
        try:
            descriptor = os.open(self.path(run, attempt), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    def resume(self, run: RunId, attempt: AttemptNumber, committed: int) -> None:
        """Goes on with a log after a restart or reconnect: what is behind the committed length is void.

        It stays in the file until it is written again: a master that was overtaken by another while it slept must not
        cut off what its successor has written. Committed bytes that are missing become a hole: the digest tells it in
        the end, and meanwhile the run and its worker go on.
        """
        self.release(run, attempt)
        if committed or self.path(run, attempt).exists():
            self._opened((run, attempt), committed)

    def write(self, pieces: Sequence[LogPiece]) -> Mapping[AttemptKey, int]:
        """Writes and syncs the pieces, and says how long each log is now; what is there already is not written
        again."""
        lengths = {}
        touched: dict[AttemptKey, _OpenLog] = {}
        for piece in pieces:
            key = (piece.run, piece.attempt)
            log = touched[key] = self._opened(key, 0)
            log.append(piece)
            lengths[key] = log.digest.length
        self._sync(list(touched.values()))
        self._close_some(touched)
        return lengths

    def digest(self, run: RunId, attempt: AttemptNumber) -> str:
        """The digest of all that was written, hexadecimal."""
        log = self._open.get((run, attempt))
        return log.digest.hexdigest() if log else SegmentedDigest().hexdigest()

    def release(self, run: RunId, attempt: AttemptNumber) -> None:
        """Nothing more will be written: lets go of the file."""
        log = self._open.pop((run, attempt), None)
        if log:
            log.close()

    def close(self) -> None:
        """Lets go of every file."""
        for log in self._open.values():
            log.close()
        self._open.clear()

    def _opened(self, key: AttemptKey, committed: int) -> "_OpenLog":
        log = self._open.get(key)
        if log is None:
            path = self.path(*key)
            if path.parent not in self._folders_made:
                path.parent.mkdir(exist_ok=True, mode=0o700)
                _sync_folder(self._folder)
                self._folders_made.add(path.parent)
            log = self._open[key] = _OpenLog(path, committed)
        log.open()
        return log

    def _sync(self, touched: Sequence["_OpenLog"]) -> None:
        """One `syncfs` costs as much as one or two files, so that many short logs share one."""
        if _syncfs is None or len(touched) < FILES_PER_SYNCFS_MIN:
            for log in touched:
                log.sync()
            return
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if _syncfs(folder) != 0:
                raise OSError(ctypes.get_errno(), "the file system of the logs could not be synced")
        finally:
            os.close(folder)
        for log in touched:
            log.keep_segments()

    def _close_some(self, keep: Mapping[AttemptKey, "_OpenLog"]) -> None:
        """Many quiet logs must not hold a descriptor each; their digests stay in memory."""
        if len(self._open) > LOGS_OPEN_MAX:
            for key, log in self._open.items():
                if key not in keep:
                    log.close()


class _OpenLog:
    """One log that is being written: its file and the state of its digest."""

    def __init__(self, path: Path, committed: int) -> None:
        self._path = path
        self._segments_path = path.with_suffix(".segments")
        self._descriptor: int | None = None
        self.digest = SegmentedDigest()
        self._segments_kept = 0
        self._new = committed == 0
        if committed:
            self._restore(committed)

    def _restore(self, committed: int) -> None:
        self._path.touch(0o600)
        found = self._path.stat().st_size
        kept = whole_digests(self._segments_path.read_bytes()) if self._segments_path.exists() else b""
        if found < committed:
            logger.error("log_damaged file=%s bytes=%d committed=%d", self._path, found, committed)
            # They would hide the hole: from now on, and, once the file is long enough again, at the next restart.
            self._segments_path.unlink(missing_ok=True)
            kept = b""
            os.truncate(self._path, committed)
        known = min(committed // SEGMENT_BYTES, len(kept) // DIGEST_BYTES)
        self.digest = SegmentedDigest(kept[: known * DIGEST_BYTES])
        self._segments_kept = known
        with self._path.open("rb") as file:
            file.seek(self.digest.length)
            while self.digest.length < committed:
                self.digest.update(file.read(min(SEGMENT_BYTES, committed - self.digest.length)))

    def open(self) -> None:
        """Opens the file if it is not open."""
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def append(self, piece: LogPiece) -> None:
        """Writes what is new of the piece; raises MissingLogBytes if it begins behind the end."""
        length = self.digest.length
        if piece.offset > length:
            raise MissingLogBytes(f"#{piece.run} has {length} bytes of log, a piece begins at {piece.offset}")
        content = memoryview(piece.content)[length - piece.offset :]
        assert self._descriptor is not None
        written = 0
        while written < len(content):
            written += os.pwrite(self._descriptor, content[written:], length + written)
        self.digest.update(content)

    def sync(self) -> None:
        """Makes what was written safe against a power failure."""
        assert self._descriptor is not None
        os.fdatasync(self._descriptor)
        if self._new:
            _sync_folder(self._path.parent)
            self._new = False
        self.keep_segments()

    def keep_segments(self) -> None:
        """Writes down the digests of whole segments."""
        whole = self.digest.length // SEGMENT_BYTES
        if whole > self._segments_kept:
            # Not synced: if it is lost, the segments are read again from the log.
            # And never cut: another master may have written more of the same digests.
            descriptor = os.open(self._segments_path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # Nor with a gap: a power failure may have taken the end of it meanwhile.
                there = os.fstat(descriptor).st_size // DIGEST_BYTES
                offset = min(self._segments_kept, there) * DIGEST_BYTES
                os.pwrite(descriptor, self.digest.whole_segments[offset:], offset)
            finally:
                os.close(descriptor)
            self._segments_kept = whole

    def close(self) -> None:
        """Lets go of the descriptor; `open` takes it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


_syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if sys.platform == "linux" else None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
