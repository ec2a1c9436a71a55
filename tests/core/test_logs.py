"""Logs as bytes: nothing is lost between a write and a restart, and the digest can go on."""

import hashlib
from pathlib import Path

import pytest

from orchestra.identifiers import AttemptNumber, RunId
from orchestra.limits import SEGMENT_BYTES
from orchestra.logs.digest import SegmentedDigest
from orchestra.logs.store import FileLogStore, LogPiece, MissingLogBytes

RUN, ATTEMPT = RunId(1482), AttemptNumber(1)


def piece(offset: int, content: bytes, run: int = RUN) -> LogPiece:
    return LogPiece(run=RunId(run), attempt=ATTEMPT, offset=offset, content=content)


def digest_of(content: bytes) -> str:
    segments = [content[at : at + SEGMENT_BYTES] for at in range(0, len(content), SEGMENT_BYTES)]
    return hashlib.sha256(b"".join(hashlib.sha256(segment).digest() for segment in segments)).hexdigest()


@pytest.mark.parametrize("size", [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES])
def test_the_digest_is_over_the_digests_of_the_segments(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    digest = SegmentedDigest()

    digest.update(content[: size // 3])
    digest.update(content[size // 3 : size])

    assert digest.hexdigest() == digest_of(content[:size])
    assert digest.length == size


def test_a_digest_goes_on_from_its_whole_segments() -> None:
    content = b"x" * (2 * SEGMENT_BYTES + 7)
    before = SegmentedDigest()
    before.update(content)

    after = SegmentedDigest(before.whole_segments)
    after.update(content[after.length :])

    assert after.hexdigest() == before.hexdigest()


def test_pieces_are_stored_once_however_often_they_come(tmp_path: Path) -> None:
    store = FileLogStore(tmp_path)
    store.write([piece(0, b"hello "), piece(6, b"world")])

    lengths = store.write([piece(0, b"hello "), piece(4, b"o world!")])

    assert lengths == {(RUN, ATTEMPT): 12}
    assert store.read(RUN, ATTEMPT, 0, 100) == b"hello world!"
    assert store.digest(RUN, ATTEMPT) == digest_of(b"hello world!")


def test_a_piece_behind_a_gap_is_refused(tmp_path: Path) -> None:
    store = FileLogStore(tmp_path)
    store.write([piece(0, b"hello")])

    with pytest.raises(MissingLogBytes, match="#1482 has 5 bytes of log, a piece begins at 6"):
        store.write([piece(6, b"world")])

    assert store.read(RUN, ATTEMPT, 0, 100) == b"hello"


def test_many_short_logs_are_synced_together_and_all_are_there(tmp_path: Path) -> None:
    store = FileLogStore(tmp_path)

    store.write([piece(0, f"run {run}".encode(), run) for run in range(1, 600)])
    store.write([piece(7, b"!", run) for run in range(100, 600)])

    assert store.read(RunId(599), ATTEMPT, 0, 100) == b"run 599!"


def test_after_a_restart_what_was_not_committed_is_void(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    committed = SEGMENT_BYTES + 1000
    FileLogStore(tmp_path).write([piece(0, content[: committed + 5000])])

    store = FileLogStore(tmp_path)
    store.resume(RUN, ATTEMPT, committed)
    store.write([piece(committed, content[committed:])])

    assert store.read(RUN, ATTEMPT, 0, 2 * len(content)) == content
    assert store.digest(RUN, ATTEMPT) == digest_of(content)


def test_a_lost_list_of_segments_is_made_again_from_the_log(tmp_path: Path) -> None:
    content = b"y" * (2 * SEGMENT_BYTES)
    before = FileLogStore(tmp_path)
    before.write([piece(0, content)])
    before.path(RUN, ATTEMPT).with_suffix(".segments").unlink()

    store = FileLogStore(tmp_path)
    store.resume(RUN, ATTEMPT, len(content))

    assert store.digest(RUN, ATTEMPT) == digest_of(content)


@pytest.mark.parametrize("zeroed", [slice(0, 64), slice(32, 64)])
def test_a_list_of_segments_with_zeros_in_it_is_made_again_from_the_log(tmp_path: Path, zeroed: slice) -> None:
    """It is not synced: a power failure leaves zeros where the file was longer than what had reached the disk."""
    content = b"y" * (3 * SEGMENT_BYTES)
    before = FileLogStore(tmp_path)
    before.write([piece(0, content)])
    segments = before.path(RUN, ATTEMPT).with_suffix(".segments")
    kept = bytearray(segments.read_bytes())
    kept[zeroed] = bytes(zeroed.stop - zeroed.start)
    segments.write_bytes(kept)

    store = FileLogStore(tmp_path)
    store.resume(RUN, ATTEMPT, len(content))

    assert store.digest(RUN, ATTEMPT) == digest_of(content)


def test_a_log_that_lost_committed_bytes_goes_on_with_a_hole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = FileLogStore(tmp_path)
    before.write([piece(0, b"hello")])

    store = FileLogStore(tmp_path)
    store.resume(RUN, ATTEMPT, 9)
    store.write([piece(9, b"!")])

    assert store.read(RUN, ATTEMPT, 0, 100) == b"hello\0\0\0\0!"
    assert store.digest(RUN, ATTEMPT) == digest_of(b"hello\0\0\0\0!")
    assert "bytes=5 committed=9" in caplog.text


def test_a_log_that_is_gone_goes_on_with_a_hole(tmp_path: Path) -> None:
    before = FileLogStore(tmp_path)
    before.write([piece(0, b"z" * (SEGMENT_BYTES + 3))])
    before.path(RUN, ATTEMPT).unlink()

    store = FileLogStore(tmp_path)
    store.resume(RUN, ATTEMPT, SEGMENT_BYTES + 3)

    assert store.read(RUN, ATTEMPT, 0, 10) == b"\0" * 10
    assert store.digest(RUN, ATTEMPT) == digest_of(b"\0" * (SEGMENT_BYTES + 3))


def test_a_master_that_was_overtaken_cuts_nothing_off(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    old, new = FileLogStore(tmp_path), FileLogStore(tmp_path)
    old.write([piece(0, content[:1000])])
    new.resume(RUN, ATTEMPT, 1000)
    new.write([piece(1000, content)])

    old.resume(RUN, ATTEMPT, 1000)

    assert new.read(RUN, ATTEMPT, 1000, len(content)) == content


def test_segments_that_an_overtaken_master_writes_late_harm_nobody(tmp_path: Path) -> None:
    content = bytes(range(256)) * (5 * SEGMENT_BYTES // 256)
    old, new = FileLogStore(tmp_path), FileLogStore(tmp_path)
    old.write([piece(0, content[:1000])])
    new.resume(RUN, ATTEMPT, 1000)
    new.write([piece(1000, content[1000 : 4 * SEGMENT_BYTES])])
    old.write([piece(1000, content[1000 : SEGMENT_BYTES + 1])])
    new.write([piece(4 * SEGMENT_BYTES, content[4 * SEGMENT_BYTES :])])

    restarted = FileLogStore(tmp_path)
    restarted.resume(RUN, ATTEMPT, len(content))

    assert restarted.digest(RUN, ATTEMPT) == digest_of(content)


def test_a_log_that_was_never_written_is_empty(tmp_path: Path) -> None:
    store = FileLogStore(tmp_path)

    assert store.read(RUN, ATTEMPT, 0, 10) == b""
    assert store.digest(RUN, ATTEMPT) == digest_of(b"")
