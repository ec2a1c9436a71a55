"""What a foreign or broken peer may write into a frame, and what no frame can carry into the database."""

import msgspec
import pytest

from orchestra.errors import ProtocolError
from orchestra.limits import FRAME_BYTES_MAX, INSTANT_MAX, NUMBER_MAX
from orchestra.protocol.codec import CloseCode, decode_from_worker, encode_chunk
from orchestra.protocol.messages import Chunk, Event, Heartbeat, Refuse, Results

BEAT = {"type": "heartbeat", "counter": 1, "load": 0.5, "free_disk_bytes": 5}
STARTED = {"type": "event", "run": 1, "attempt": 1, "sequence": 1, "at": 1, "happening": {"kind": "started"}}


def frame(message: dict[str, object]) -> str:
    return msgspec.json.encode([message]).decode()


@pytest.mark.parametrize(
    "message",
    [
        BEAT | {"free_disk_bytes": NUMBER_MAX + 1},
        BEAT | {"free_disk_bytes": 2**63 - 1},
        BEAT | {"counter": -1},
        STARTED | {"run": 0},
        STARTED | {"run": 2**53},
        STARTED | {"attempt": 2**31},
        STARTED | {"sequence": 2**31},
        STARTED | {"at": INSTANT_MAX + 1},
        STARTED | {"happening": {"kind": "step-started", "step": 2**31, "name": "a", "log_offset": 0}},
        STARTED | {"happening": {"kind": "step-ended", "step": 0, "exit_code": 2**31, "reason": "", "log_length": 0}},
    ],
)
def test_a_number_that_no_column_holds_is_malformed(message: dict[str, object]) -> None:
    with pytest.raises(ProtocolError) as refusal:
        decode_from_worker(frame(message))

    assert refusal.value.code == CloseCode.MALFORMED


@pytest.mark.parametrize(
    "bad",
    ['[{"type": "heartbeat", "more": ' + "[" * 100_000, "[" + " " * FRAME_BYTES_MAX + "]", "\xff", b"\x91" * 100_000],
    ids=["too deep", "too long", "no JSON", "binary, too deep"],
)
def test_a_frame_that_cannot_be_read_is_malformed(bad: str | bytes) -> None:
    with pytest.raises(ProtocolError) as refusal:
        decode_from_worker(bad)

    assert refusal.value.code == CloseCode.MALFORMED


def test_a_frame_of_exactly_the_bound_is_read() -> None:
    text = frame(BEAT)

    messages = decode_from_worker(text + " " * (FRAME_BYTES_MAX - len(text)))

    assert messages == [Heartbeat(counter=1, load=0.5, free_disk_bytes=5)]


def test_the_largest_numbers_are_read() -> None:
    (event,) = decode_from_worker(frame(STARTED | {"run": NUMBER_MAX, "at": INSTANT_MAX}))

    assert isinstance(event, Event)
    assert (event.run, event.at) == (NUMBER_MAX, INSTANT_MAX)


@pytest.mark.parametrize(
    ("said", "read"),
    [("a\0b", "a\ufffdb"), ("\0\0", "\ufffd\ufffd"), ("a\\u0000", "a\\u0000"), ("\\\0", "\\\ufffd"), ("ü", "ü")],
)
def test_no_text_carries_a_nul_to_the_database(said: str, read: str) -> None:
    (message,) = decode_from_worker(frame({"type": "refuse", "run": 1, "attempt": 1, "reason": said}))

    assert isinstance(message, Refuse)
    assert message.reason == read


def test_no_result_carries_a_nul_to_the_database() -> None:
    happening = {"kind": "results", "values": {"version": "1\0", "path": "C:\\u0000"}}

    (event,) = decode_from_worker(frame(STARTED | {"happening": happening}))

    assert isinstance(event, Event)
    assert isinstance(event.happening, Results)
    values = {name: msgspec.json.decode(bytes(value)) for name, value in event.happening.values.items()}
    assert values == {"version": "1\ufffd", "path": "C:\\u0000"}


def test_a_chunk_must_carry_something() -> None:
    empty = encode_chunk(msgspec.convert([1, 1, 0, b""], Chunk))

    with pytest.raises(ProtocolError):
        decode_from_worker(empty)
