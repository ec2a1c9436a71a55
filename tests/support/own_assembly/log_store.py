"""A log store that the product does not have: one folder without levels, names of its own, no file of digests."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestra.identifiers import AttemptNumber, RunId
from orchestra.logs.digest import SegmentedDigest
from orchestra.logs.store import AttemptKey, LogPiece, MissingLogBytes


class FlatLogStore:
    """Implements `orchestra.logs.store.LogStore`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def path(self, run: RunId, attempt: AttemptNumber) -> Path:
        """Where the log is."""
        return self._folder / f"run-{run}-attempt-{attempt}.txt"

    def read(self, run: RunId, attempt: AttemptNumber, offset: int, length: int) -> bytes:
        """Bytes of the log, fewer at its end; empty if there are none."""
        return self._whole(run, attempt)[offset : offset + length]

    def resume(self, run: RunId, attempt: AttemptNumber, committed: int) -> None:
        """Goes on with a log: what is behind the committed length is void."""
        if self.path(run, attempt).exists():
            os.truncate(self.path(run, attempt), committed)

    def write(self, pieces: Sequence[LogPiece]) -> Mapping[AttemptKey, int]:
        """Writes and syncs the pieces; raises MissingLogBytes."""
        lengths = {}
        for piece in pieces:
            with self.path(piece.run, piece.attempt).open("ab") as file:
                length = file.tell()
                if piece.offset > length:
                    raise MissingLogBytes(f"#{piece.run} has {length} bytes, a piece begins at {piece.offset}")
                file.write(piece.content[length - piece.offset :])
                lengths[piece.run, piece.attempt] = file.tell()
                file.flush()
                os.fsync(file.fileno())
        return lengths

    def digest(self, run: RunId, attempt: AttemptNumber) -> str:
        """The digest of all that was written."""
        digest = SegmentedDigest()
        digest.update(self._whole(run, attempt))
        return digest.hexdigest()

    def release(self, run: RunId, attempt: AttemptNumber) -> None:
        """There is nothing to let go of: no file stays open."""

    def _whole(self, run: RunId, attempt: AttemptNumber) -> bytes:
        path = self.path(run, attempt)
        return path.read_bytes() if path.exists() else b""
