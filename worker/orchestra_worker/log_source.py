"""An attempt's log on its way to the master: masked pieces by offset, their digest, and the disk given back behind
them.

Everything that a new agent process needs to go on is in files. Order of writing: a segment's digest is on the disk
before the segment's bytes are punched out of the log, so that at any moment the digest over the whole can be made of
what is left.
"""

import contextlib
import os
from pathlib import Path

from orchestra.limits import CHUNK_BYTES_MAX, SEGMENT_BYTES
from orchestra.logs.digest import DIGEST_BYTES, SegmentedDigest, whole_digests
from orchestra_worker.masking import Masker
from orchestra_worker.punching import punch_hole

LOG_NAME = "log"
SEGMENTS_NAME = "log.segments"
PUNCH_BYTES = 16 << 20
"""So much acknowledged log stays on the disk before it is given back: giving back costs a sync."""
BLOCK_BYTES = 4096


class LogSource:
    """Reads one attempt's log for sending. Offsets and lengths count from the log's beginning, holes included."""

    def __init__(self, folder: Path, masker: Masker) -> None:
        self.folder = folder
        self.path = folder / LOG_NAME
        self._segments_path = f"{folder}/{SEGMENTS_NAME}"
        self._masker = masker
        self._file: int | None = None
        self._segments: int | None = None
        self._stored = _read_segments(self._segments_path)
        self._digest = SegmentedDigest(self._stored)
        self._offset = 0
        self._acknowledged = 0
        self._punched = 0

    @property
    def length(self) -> int:
        """Of the log so far."""
        file = self._open()
        return 0 if file is None else os.fstat(file).st_size

    @property
    def acknowledged(self) -> int:
        """How much of it the master is known to have stored."""
        return self._acknowledged

    def rewind(self, offset: int) -> None:
        """Goes on from what the master has; everything before may be gone from this disk."""
        self._offset = offset
        self._acknowledged = max(self._acknowledged, offset)

    def next_piece(self, limit_bytes: int, *, ended: bool) -> tuple[int, bytes] | None:
        """The next (offset, masked bytes), of at most `limit_bytes`; None if there is nothing to send now.

        While the log has not ended, its last bytes are held back as long as they may be the beginning of a secret.
        """
        piece = self._masked(self._offset, min(limit_bytes, CHUNK_BYTES_MAX), ended=ended)
        if not piece:
            return None
        offset = self._offset
        self._take(offset, piece)
        self._offset = offset + len(piece)
        return offset, piece

    def acknowledge(self, length: int) -> None:
        """Notes what the master has stored, and gives its disk space back if that is worth a sync."""
        self._acknowledged = max(self._acknowledged, length)
        kept_from = min(self._acknowledged, len(self._stored) // DIGEST_BYTES * SEGMENT_BYTES)
        end = (kept_from - self._masker.hold_back_bytes) // BLOCK_BYTES * BLOCK_BYTES
        if end - self._punched < PUNCH_BYTES:
            return
        if self._segments is not None:
            os.fdatasync(self._segments)
        with contextlib.suppress(OSError):
            # Where the file system cannot do it, the log just stays until it is forgotten.
            punch_hole(self.path, self._punched, end - self._punched)
        self._punched = end

    def digest(self, length: int) -> str:
        """The digest of the first so many masked bytes of a log that has ended; reads what has not been read yet."""
        if self._digest.length > length:
            earlier = SegmentedDigest(self._stored[: length // SEGMENT_BYTES * DIGEST_BYTES])
            self._read_into(earlier, length)
            return earlier.hexdigest()
        while self._digest.length < length:
            start = self._digest.length
            piece = self._masked(start, min(length - start, CHUNK_BYTES_MAX), ended=True)
            if not piece:
                break
            self._take(start, piece)
        return self._digest.hexdigest()

    def close(self) -> None:
        """Closes the files."""
        for descriptor in (self._file, self._segments):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._segments = None

    # --- reading ---

    def _masked(self, start: int, limit: int, *, ended: bool) -> bytes:
        file = self._open()
        if file is None or limit <= 0:
            return b""
        margin = self._masker.hold_back_bytes
        before = min(margin, start)
        window = os.pread(file, before + limit + margin, start - before)
        stop = min(before + limit, len(window))
        reaches_end = len(window) < before + limit + margin
        if reaches_end and not ended:
            stop = min(stop, len(window) - self._masker.pending_bytes(window))
        if stop <= before:
            return b""
        piece = self._masker.mask_window(window, before, stop)
        cut = self._masker.cut_bytes(window) if reaches_end and ended else 0
        kept = max(0, min(len(piece), len(window) - cut - before))
        return piece[:kept] + b"*" * (len(piece) - kept)

    def _read_into(self, digest: SegmentedDigest, length: int) -> None:
        while digest.length < length:
            piece = self._masked(digest.length, min(length - digest.length, CHUNK_BYTES_MAX), ended=True)
            if not piece:
                return
            digest.update(piece)

    def _take(self, offset: int, piece: bytes) -> None:
        if self._digest.length < offset:
            # A new agent begins at what the master has, which is behind the last whole segment: that is still on the
            # disk.
            self._read_into(self._digest, offset)
        known = self._digest.length - offset
        if 0 <= known < len(piece):
            self._digest.update(memoryview(piece)[known:])
        if self._digest.length // SEGMENT_BYTES > len(self._stored) // DIGEST_BYTES:
            self._store_segments()

    def _store_segments(self) -> None:
        whole = self._digest.whole_segments
        with contextlib.suppress(OSError):
            # Without room for it nothing is punched either, and it is tried again with the next segment.
            if self._segments is None:
                self._segments = os.open(self._segments_path, os.O_WRONLY | os.O_CREAT, 0o600)
                os.ftruncate(self._segments, len(self._stored))
            fresh = whole[len(self._stored) :]
            if os.pwrite(self._segments, fresh, len(self._stored)) == len(fresh):
                self._stored = whole

    def _open(self) -> int | None:
        if self._file is None:
            try:
                self._file = os.open(self.path, os.O_RDONLY)
            except FileNotFoundError:
                return None
        return self._file


def _read_segments(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            # What a crash has torn is made again from the log, which was not punched without it.
            return whole_digests(file.read())
    except FileNotFoundError:
        return b""
