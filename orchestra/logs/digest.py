"""The digest of a log: SHA-256 over the SHA-256s of its 1 MiB segments, so that it can go on after any restart.

The state of a hash cannot be saved, but the digests of whole segments can; only the last, unfinished segment has to be
read again.
"""

import hashlib

from orchestra.limits import SEGMENT_BYTES

DIGEST_BYTES = hashlib.sha256().digest_size


def whole_digests(kept: bytes) -> bytes:
    """What is whole at the beginning of a list of digests that was not synced when the power failed.

    Its end may be torn off, and where the file had become longer than what had reached the disk, there are zeros.
    """
    count = len(kept) // DIGEST_BYTES
    known = next((n for n in range(count) if not any(kept[n * DIGEST_BYTES : (n + 1) * DIGEST_BYTES])), count)
    return kept[: known * DIGEST_BYTES]


class SegmentedDigest:
    """Takes a log's bytes in order and knows its digest at any time.

    To go on after a restart, give the digests of the whole segments (32 bytes each, one after the other) and then
    `update` with the bytes behind them.
    """

    def __init__(self, whole_segments: bytes = b"") -> None:
        if len(whole_segments) % DIGEST_BYTES:
            raise ValueError(f"{len(whole_segments)} bytes are no list of SHA-256 digests")
        self._segments = bytearray(whole_segments)
        self._partial = hashlib.sha256()
        self._partial_length = 0

    @property
    def length(self) -> int:
        """Bytes taken so far."""
        return len(self._segments) // DIGEST_BYTES * SEGMENT_BYTES + self._partial_length

    @property
    def whole_segments(self) -> bytes:
        """The digests of all segments that are full, to be kept for later."""
        return bytes(self._segments)

    def update(self, content: bytes | memoryview) -> None:
        """Takes the next bytes."""
        view = memoryview(content)
        while view:
            piece = view[: SEGMENT_BYTES - self._partial_length]
            self._partial.update(piece)
            self._partial_length += len(piece)
            view = view[len(piece) :]
            if self._partial_length == SEGMENT_BYTES:
                self._segments += self._partial.digest()
                self._partial = hashlib.sha256()
                self._partial_length = 0

    def hexdigest(self) -> str:
        """The digest of what was taken so far, hexadecimal."""
        whole = hashlib.sha256(self._segments)
        if self._partial_length:
            whole.update(self._partial.digest())
        return whole.hexdigest()
