"""An attempt's log leaves masked, by offset, and its digest survives restarts and holes."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestra.limits import CHUNK_BYTES_MAX, SEGMENT_BYTES
from orchestra.logs.digest import SegmentedDigest
from orchestra_worker import log_source
from orchestra_worker.log_source import LogSource
from orchestra_worker.masking import Masker

SECRET = "correct-horse-battery"


def append(folder: Path, content: bytes) -> None:
    """The keeper writes."""
    with (folder / "log").open("ab") as file:
        file.write(content)


def drain(source: LogSource, *, ended: bool, limit: int = CHUNK_BYTES_MAX) -> list[tuple[int, bytes]]:
    """All pieces there are now."""
    pieces = []
    while (piece := source.next_piece(limit, ended=ended)) is not None:
        pieces.append(piece)
    return pieces


def digest_of(content: bytes) -> str:
    """The digest of a whole log."""
    digest = SegmentedDigest()
    digest.update(content)
    return digest.hexdigest()


def test_pieces_follow_each_other_masked_and_the_digest_is_over_what_was_sent(tmp_path: Path) -> None:
    content = (b"x" * 99 + SECRET.encode()) * 5000
    append(tmp_path, content)
    source = LogSource(tmp_path, Masker([SECRET]))

    pieces = drain(source, ended=True, limit=1000)

    sent = b"".join(piece for _, piece in pieces)
    assert sent == content.replace(SECRET.encode(), b"*" * len(SECRET))
    assert [offset for offset, _ in pieces] == list(range(0, len(content), 1000))
    assert source.digest(len(content)) == digest_of(sent)
    source.close()


def test_there_is_nothing_to_send_before_the_first_output(tmp_path: Path) -> None:
    source = LogSource(tmp_path, Masker([]))

    assert source.length == 0
    assert source.next_piece(1000, ended=False) is None
    assert source.digest(0) == digest_of(b"")


def test_the_beginning_of_a_secret_waits_for_its_rest(tmp_path: Path) -> None:
    source = LogSource(tmp_path, Masker([SECRET]))

    append(tmp_path, b"password: correct-ho")
    first = drain(source, ended=False)
    append(tmp_path, b"rse-battery\ncorrect")
    second = drain(source, ended=False)
    last = drain(source, ended=True)

    assert first == [(0, b"password: ")]
    assert second == [(10, b"*" * len(SECRET) + b"\n")]
    # Its rest was never printed, or was lost with the machine.
    assert last == [(32, b"*" * len("correct"))]
    source.close()


@pytest.mark.parametrize("acknowledged", [0, 5, 900_000, SEGMENT_BYTES, 2 * SEGMENT_BYTES + 11, 3_500_000])
def test_a_new_agent_goes_on_from_the_files_alone(tmp_path: Path, acknowledged: int) -> None:
    chance = random.Random(3)
    content = b"".join(chance.randbytes(1000) + SECRET.encode() for _ in range(3500))
    masked = Masker([SECRET]).mask_window(content, 0, len(content))
    append(tmp_path, content)
    before = LogSource(tmp_path, Masker([SECRET]))
    before.rewind(0)
    while (piece := before.next_piece(70_000, ended=False)) is not None and piece[0] < acknowledged:
        pass
    before.close()

    after = LogSource(tmp_path, Masker([SECRET]))
    after.rewind(acknowledged)
    assert (after.length, after.acknowledged) == (len(content), acknowledged)
    pieces = drain(after, ended=True)

    assert b"".join(piece for _, piece in pieces) == masked[acknowledged:]
    assert after.digest(len(masked)) == digest_of(masked)
    assert after.digest(SEGMENT_BYTES + 5) == digest_of(masked[: SEGMENT_BYTES + 5])
    after.close()


def test_acknowledged_bytes_leave_the_disk_and_the_digest_stays_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_source, "PUNCH_BYTES", SEGMENT_BYTES)
    content = random.Random(5).randbytes(5 * SEGMENT_BYTES) + SECRET.encode() + b"end"
    append(tmp_path, content)
    source = LogSource(tmp_path, Masker([SECRET]))
    before = (tmp_path / "log").stat().st_blocks

    for offset, piece in drain(source, ended=False):
        source.acknowledge(offset + len(piece))
    source.close()

    stat = (tmp_path / "log").stat()
    assert stat.st_size == len(content)
    if stat.st_blocks == before:
        pytest.skip("this file system cannot punch holes")
    assert stat.st_blocks * 512 <= 2 * SEGMENT_BYTES
    again = LogSource(tmp_path, Masker([SECRET]))
    again.rewind(5 * SEGMENT_BYTES)
    assert drain(again, ended=True) == [(5 * SEGMENT_BYTES, b"*" * len(SECRET) + b"end")]
    assert again.digest(len(content)) == digest_of(Masker([SECRET]).mask_window(content, 0, len(content)))
    again.close()


@pytest.mark.parametrize("left", [lambda kept: kept[:45], lambda kept: kept[:32] + bytes(32)])
def test_a_torn_list_of_segments_is_made_whole_again(tmp_path: Path, left: Callable[[bytes], bytes]) -> None:
    content = random.Random(6).randbytes(2 * SEGMENT_BYTES + 100)
    append(tmp_path, content)
    first = LogSource(tmp_path, Masker([]))
    drain(first, ended=False)
    first.close()
    segments = tmp_path / "log.segments"
    segments.write_bytes(left(segments.read_bytes()))

    second = LogSource(tmp_path, Masker([]))
    second.rewind(SEGMENT_BYTES + 7)
    drain(second, ended=True)

    assert second.digest(len(content)) == digest_of(content)
    assert len(segments.read_bytes()) == 64
    second.close()
