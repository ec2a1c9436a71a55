"""Logs whose every byte is known without being kept, and the comparison with what the product has stored of them."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

from orchestra.limits import SEGMENT_BYTES
from tests.support.journey import Orchestra, Run

# The number in front of each block tells blocks apart: a piece that is lost, doubled or moved cannot look alike.
WRITER = """\
import random, sys
seed, blocks, separator = int(sys.argv[1]), int(sys.argv[2]), bytes.fromhex(sys.argv[3])
body = random.Random(seed).randbytes((1 << 19) - 8).hex().encode()
for number in range(blocks):
    sys.stdout.buffer.write(b"%015x" % number + separator + body)
"""
BLOCK_BYTES = 1 << 20


def blocks_of(seed: int, count: int, separator: bytes) -> Iterator[bytes]:
    """What the writer writes: so many blocks of 1 MiB, the separator (one byte) after the number of each."""
    body = random.Random(seed).randbytes((1 << 19) - 8).hex().encode()
    for number in range(count):
        yield b"%015x" % number + separator + body


def assert_stored(up: Orchestra, run: Run, seed: int, count: int, separator: bytes) -> None:
    """The master has exactly these blocks, and the digest that was proven is that of these blocks."""
    assert run.log_length == count * BLOCK_BYTES
    segments = hashlib.sha256()
    with stored_file(up, run.id).open("rb") as stored:
        for number, block in enumerate(blocks_of(seed, count, separator)):
            assert stored.read(SEGMENT_BYTES) == block, f"block {number} differs"
            segments.update(hashlib.sha256(block).digest())
        assert stored.read(1) == b""
    assert run.attempts[-1]["log_digest"] == segments.hexdigest()
    assert run.attempts[-1]["lost_bytes"] == 0


def stored_file(up: Orchestra, run: int, attempt: int = 1) -> Path:
    """Where the master keeps the log."""
    return up.data / "logs" / str(run // 1000) / f"{run}-{attempt}.log"


def used_bytes(folder: Path) -> int:
    """The disk that the files below a folder take, holes not counted."""
    used = 0
    for file in folder.rglob("*"):
        try:
            used += file.lstat().st_blocks * 512
        except FileNotFoundError:
            continue
    return used
