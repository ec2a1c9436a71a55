"""The master's logs under any split, repeat, gap, crash and second master: what is committed is the true bytes, and the
digest is that of the file."""

import hashlib
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestra.identifiers import AttemptNumber, RunId
from orchestra.limits import SEGMENT_BYTES
from orchestra.logs import digest as digest_module
from orchestra.logs import store as store_module
from orchestra.logs.digest import DIGEST_BYTES, SegmentedDigest
from orchestra.logs.store import AttemptKey, FileLogStore, LogPiece, MissingLogBytes
from tests.properties.effort import effort

SEGMENT = 64
"""Small, so that every example crosses many."""
ATTEMPT = AttemptNumber(1)
KEYS: list[AttemptKey] = [(RunId(run), ATTEMPT) for run in (1, 2, 999, 1000)]
TRUE_BYTES = {key: random.Random(key[0]).randbytes(20 * SEGMENT) for key in KEYS}
"""What the worker has of each log; a piece of it may come at any time, and more than once."""

keys = st.sampled_from(KEYS)
places = st.tuples(keys, st.integers(-100, 40), st.integers(0, 3 * SEGMENT))
"""A piece: it begins so much behind what is stored (mostly before it), and has so many bytes."""


def digest_of(content: bytes) -> str:
    """The digest by its definition."""
    segments = [content[at : at + SEGMENT] for at in range(0, len(content), SEGMENT)]
    return hashlib.sha256(b"".join(hashlib.sha256(segment).digest() for segment in segments)).hexdigest()


class LogStoreMachine(RuleBasedStateMachine):
    """A master that stores pieces, commits lengths, and crashes; `written` is what its files must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(digest_module, "SEGMENT_BYTES", SEGMENT)
        self.patch.setattr(store_module, "SEGMENT_BYTES", SEGMENT)
        self.patch.setattr(store_module, "LOGS_OPEN_MAX", 2)
        self.patch.setattr(store_module.logger, "disabled", True)
        self.folder = Path(tempfile.mkdtemp(prefix="log-store-"))
        self.store = FileLogStore(self.folder)
        self.overtaken: FileLogStore | None = None
        self.overtaken_lengths: dict[AttemptKey, int] = {}
        self.written = dict.fromkeys(KEYS, 0)
        self.committed = dict.fromkeys(KEYS, 0)
        self.holes = {key: bytearray(TRUE_BYTES[key]) for key in KEYS}
        """The true bytes, and zeros where a disk has lost some."""
        self.is_damaged = False

    def teardown(self) -> None:
        """Whatever happened, the log can be finished by a master that knows the committed length only."""
        try:
            self.crash()
            for key in KEYS:
                self.store.write([self._piece(key, self.committed[key], len(TRUE_BYTES[key]))])
                self.written[key] = self.committed[key] = len(TRUE_BYTES[key])
            self.what_is_committed_can_be_read()
            self.the_digest_is_that_of_what_is_stored()
        finally:
            self.store.close()
            if self.overtaken:
                self.overtaken.close()
            shutil.rmtree(self.folder)
            self.patch.undo()

    def _piece(self, key: AttemptKey, beginning: int, length: int) -> LogPiece:
        content = TRUE_BYTES[key][beginning : beginning + length]
        return LogPiece(run=key[0], attempt=key[1], offset=beginning, content=content)

    @rule(batch=st.lists(places, min_size=1, max_size=6), is_committed=st.booleans())
    def pieces_come(self, batch: list[tuple[AttemptKey, int, int]], is_committed: bool) -> None:
        expected, pieces, has_gap = dict(self.written), [], False
        for key, back, length in batch:
            beginning = min(max(0, expected[key] + back), len(TRUE_BYTES[key]))
            piece = self._piece(key, beginning, length)
            pieces.append(piece)
            has_gap = has_gap or beginning > expected[key]
            if not has_gap:
                expected[key] = max(expected[key], beginning + len(piece.content))
        try:
            lengths = self.store.write(pieces)
        except MissingLogBytes:
            # The link is closed, nothing of the batch is committed; what was before the gap may be written.
            assert has_gap
            self.written = expected
            return
        assert not has_gap
        assert lengths == {key: expected[key] for key, _, _ in batch}
        self.written = expected
        if is_committed:
            self.committed |= lengths

    @rule(key=keys)
    def a_log_is_let_go_of_and_resumed(self, key: AttemptKey) -> None:
        """The worker has reconnected."""
        self.store.resume(*key, self.committed[key])
        self.written[key] = self.committed[key]

    @rule()
    def crash(self) -> None:
        self.store.close()
        self.store = FileLogStore(self.folder)
        for key in KEYS:
            self.store.resume(*key, self.committed[key])
        self.written = dict(self.committed)

    @rule(key=keys, garbage=st.binary(max_size=3 * SEGMENT))
    def power_fails_and_leaves_anything_behind_what_was_committed(self, key: AttemptKey, garbage: bytes) -> None:
        path = self.store.path(*key)
        if path.exists():
            with path.open("r+b") as file:
                file.seek(self.committed[key])
                file.write(garbage)
                file.truncate()
        self.crash()

    @rule(key=keys, kept=st.integers(0, 20 * DIGEST_BYTES))
    def power_fails_and_takes_the_list_of_segments(self, key: AttemptKey, kept: int) -> None:
        """It is not synced: any beginning of it may be left."""
        path = self.store.path(*key).with_suffix(".segments")
        if path.exists():
            with path.open("r+b") as file:
                file.truncate(min(kept, path.stat().st_size))
        self.crash()

    @rule(key=keys, kept=st.integers(0, 20 * SEGMENT), is_gone=st.booleans())
    def a_bad_disk_loses_committed_bytes(self, key: AttemptKey, kept: int, is_gone: bool) -> None:
        path = self.store.path(*key)
        if not path.exists() or (kept >= self.committed[key] and not is_gone):
            return
        self.is_damaged = True
        if is_gone:
            path.unlink()
            kept = 0
        else:
            with path.open("r+b") as file:
                file.truncate(kept)
        if kept < self.committed[key]:
            self.holes[key][kept : self.committed[key]] = bytes(self.committed[key] - kept)
        self.crash()

    @precondition(lambda self: self.overtaken is None and not self.is_damaged)
    @rule()
    def another_master_takes_over(self) -> None:
        self.overtaken, self.overtaken_lengths = self.store, dict(self.written)
        self.store = FileLogStore(self.folder)
        for key in KEYS:
            self.store.resume(*key, self.committed[key])
        self.written = dict(self.committed)

    @precondition(lambda self: self.overtaken is not None and not self.is_damaged)
    @rule(batch=st.lists(places, min_size=1, max_size=4))
    def the_overtaken_master_writes_late(self, batch: list[tuple[AttemptKey, int, int]]) -> None:
        """It has not heard of it yet; its commit will be refused, but the bytes are on the disk."""
        assert self.overtaken is not None
        for key, back, length in batch:
            beginning = min(max(0, self.overtaken_lengths[key] + min(0, back)), len(TRUE_BYTES[key]))
            piece = self._piece(key, beginning, length)
            self.overtaken_lengths |= self.overtaken.write([piece])

    @invariant()
    def what_is_committed_can_be_read(self) -> None:
        for key in KEYS:
            length = self.committed[key]
            assert self.store.read(*key, 0, length) == bytes(self.holes[key][:length])

    @invariant()
    def the_digest_is_that_of_what_is_stored(self) -> None:
        for key in KEYS:
            assert self.store.digest(*key) == digest_of(bytes(self.holes[key][: self.written[key]]))


LogStoreMachine.TestCase.settings = effort(100, steps=30)
TestLogStore = LogStoreMachine.TestCase


def test_a_hole_is_seen_after_every_restart(tmp_path: Path) -> None:
    run, attempt = KEYS[0]
    content = bytes(range(256)) * (SEGMENT_BYTES // 256 + 1)
    before = FileLogStore(tmp_path)
    before.write([LogPiece(run=run, attempt=attempt, offset=0, content=content)])
    before.path(run, attempt).unlink()
    FileLogStore(tmp_path).resume(run, attempt, len(content))

    again = FileLogStore(tmp_path)
    again.resume(run, attempt, len(content))

    with_hole = SegmentedDigest()
    with_hole.update(bytes(len(content)))
    assert again.digest(run, attempt) == with_hole.hexdigest()


@effort(200)
@given(st.binary(max_size=5 * SEGMENT), st.lists(st.integers(0, 5 * SEGMENT), max_size=6), st.booleans())
def test_a_digest_is_the_same_however_the_bytes_are_cut_and_wherever_it_goes_on(
    content: bytes, cuts: list[int], goes_on: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digest_module, "SEGMENT_BYTES", SEGMENT)
        digest = SegmentedDigest()
        for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(content)], strict=True):
            if goes_on:
                digest = SegmentedDigest(digest.whole_segments)
                start = digest.length
            digest.update(content[start : max(start, stop)])

        assert digest.length == len(content)
        assert digest.hexdigest() == digest_of(content)


def test_a_torn_list_of_digests_is_no_list() -> None:
    with pytest.raises(ValueError, match="33 bytes are no list of SHA-256 digests"):
        SegmentedDigest(bytes(33))
