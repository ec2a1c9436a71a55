"""Frames: what fits, what is split, and that nothing a peer can send raises anything but ProtocolError."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.clock import Instant
from orchestra.errors import ProtocolError
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.limits import CHUNK_BYTES_MAX, FRAME_BYTES_MAX, FRAME_MESSAGES_MAX, NUMBER_MAX
from orchestra.protocol.codec import (
    CloseCode,
    Frame,
    close_reason,
    decode_from_master,
    decode_from_worker,
    encode,
    encode_chunk,
    frame_bytes,
)
from orchestra.protocol.messages import Accept, CheckIn, Chunk, Event, Message, Offer, Refuse, Results
from orchestra.specification import Execution, Step

RUN, ATTEMPT = RunId(7), AttemptNumber(2)


def accept(run: int) -> Accept:
    return Accept(run=RunId(run), attempt=ATTEMPT)


def check_in(text: str) -> Event:
    return Event(run=RUN, attempt=ATTEMPT, sequence=1, at=Instant(1), happening=CheckIn(progress=0.5, text=text))


messages = st.one_of(
    st.integers(1, NUMBER_MAX).map(accept),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).map(check_in),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3000).map(
        lambda text: Refuse(run=RUN, attempt=ATTEMPT, reason=text * 40)
    ),
)


@given(st.lists(messages, max_size=600))
def test_what_is_encoded_is_decoded_in_its_order(said: list[Message]) -> None:
    frames = encode(said)

    heard = [message for frame in frames for message in decode_from_worker(frame)]

    assert heard == said
    assert all(len(str(frame).encode()) <= FRAME_BYTES_MAX for frame in frames)


def test_a_frame_carries_a_bounded_number_of_messages() -> None:
    frames = encode([accept(1)] * (2 * FRAME_MESSAGES_MAX + 1))

    assert [len(decode_from_worker(frame)) for frame in frames] == [FRAME_MESSAGES_MAX, FRAME_MESSAGES_MAX, 1]


def test_a_large_message_has_a_frame_of_its_own() -> None:
    large = check_in("x" * (FRAME_BYTES_MAX // 2))

    frames = encode([accept(1), large, accept(2)])

    assert [len(decode_from_worker(frame)) for frame in frames] == [1, 1, 1]
    assert len(frames[1]) == frame_bytes(large)


@given(st.text())
def test_a_reason_to_close_fits_its_frame_and_ends_with_a_whole_character(sentence: str) -> None:
    reason = close_reason(sentence * 20)

    assert len(reason.encode()) <= 123
    assert (sentence * 20).encode(errors="replace").decode().startswith(reason)


def test_no_messages_make_no_frame() -> None:
    assert encode([]) == []


def test_a_chunk_keeps_every_byte() -> None:
    chunk = Chunk(run=RUN, attempt=ATTEMPT, offset=2**40, content=bytes(range(256)))

    assert decode_from_worker(encode_chunk(chunk)) == [chunk]


@pytest.mark.parametrize("content", [b"", b"x" * (CHUNK_BYTES_MAX + 1)])
def test_a_chunk_has_a_size(content: bytes) -> None:
    frame = encode_chunk(Chunk(run=RUN, attempt=ATTEMPT, offset=0, content=content))

    with pytest.raises(ProtocolError, match="out of bounds"):
        decode_from_worker(frame)


def text_about(**fields: object) -> str:
    event = {"type": "event", "run": 1, "attempt": 1, "sequence": 1, "at": 1, "happening": {"kind": "started"}}
    return msgspec.json.encode([event | fields]).decode()


MALFORMED: dict[str, Frame] = {
    "nothing": "",
    "no JSON": "hello",
    "no list": '{"type":"accept","run":1,"attempt":1}',
    "cut off": '[{"type":"accept","run":1',
    "two documents": "[][]",
    "no type": '[{"run":1,"attempt":1}]',
    "a type nobody knows": '[{"type":"explode","run":1,"attempt":1}]',
    "a master's word": '[{"type":"go","run":1,"attempt":1}]',
    "a run that is text": '[{"type":"accept","run":"1","attempt":1}]',
    "run 0": '[{"type":"accept","run":0,"attempt":1}]',
    "a run beyond the database": f'[{{"type":"accept","run":{2**63},"attempt":1}}]',
    "a number without an end": f'[{{"type":"accept","run":1{"0" * 5000},"attempt":1}}]',
    "an attempt beyond the database": f'[{{"type":"accept","run":1,"attempt":{2**31}}}]',
    "a negative sequence": text_about(sequence=-1),
    "a sequence beyond the database": text_about(sequence=2**31),
    "a time before time": text_about(at=-1),
    "a time beyond the calendar": text_about(at=2**62),
    "a happening nobody knows": text_about(happening={"kind": "exploded"}),
    "an exit code beyond the database": text_about(
        happening={"kind": "step-ended", "step": 0, "exit_code": 2**40, "reason": "", "log_length": 0}
    ),
    "too deep": "[" * 100_000,
    "too deep inside of a result": text_about().replace('"started"', '"results","values":{"a":' + "[" * 100_000),
    "half a surrogate": '[{"type":"refuse","run":1,"attempt":1,"reason":"\\ud800"}]',
    "too many messages": f"[{','.join([msgspec.json.encode(accept(1)).decode()] * (FRAME_MESSAGES_MAX + 1))}]",
    "too long": f'["{"x" * FRAME_BYTES_MAX}"]',
    "no bytes": b"",
    "no MessagePack": b"\xc1",
    "MessagePack of another shape": msgspec.msgpack.encode({"run": 1}),
    "a chunk of three": msgspec.msgpack.encode([1, 1, 0]),
    "a chunk at a negative offset": msgspec.msgpack.encode([1, 1, -1, b"x"]),
    "a chunk beyond the database": msgspec.msgpack.encode([2**64 - 1, 1, 0, b"x"]),
    "a chunk of text": msgspec.msgpack.encode([1, 1, 0, 5]),
    "a chunk that is cut off": msgspec.msgpack.encode([1, 1, 0, b"xyz"])[:-1],
    "MessagePack that is too deep": b"\x91" * 100_000,
}


@pytest.mark.parametrize("frame", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_frame_is_told_as_such(frame: Frame) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_from_worker(frame)

    assert caught.value.code == CloseCode.MALFORMED


def test_a_master_sends_no_binary_frames() -> None:
    with pytest.raises(ProtocolError, match="no binary frames"):
        decode_from_master(b"\x90")


def test_fields_that_are_not_known_are_passed_over() -> None:
    (heard,) = decode_from_worker('[{"type":"accept","run":1,"attempt":2,"mood":"good"}]')

    assert heard == accept(1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
kinds = ("accept", "refuse", "hello", "event", "heartbeat", "go", "offer", "welcome", "acknowledge", "bye", "stop")
fields = st.sampled_from(
    ("run", "attempt", "sequence", "at", "happening", "reason", "worker", "slots", "held", "properties", "counter")
)
near_messages = st.lists(
    st.builds(lambda kind, more: {"type": kind, **more}, st.sampled_from(kinds), st.dictionaries(fields, json_values)),
    max_size=3,
)


def only_protocol_errors(frame: Frame) -> None:
    for decode in (decode_from_worker, decode_from_master):
        with contextlib.suppress(ProtocolError):
            decode(frame)


@given(st.text())
def test_no_text_raises_anything_else(frame: str) -> None:
    only_protocol_errors(frame)


@given(st.binary())
def test_no_bytes_raise_anything_else(frame: bytes) -> None:
    only_protocol_errors(frame)


@given(near_messages)
def test_nothing_like_a_message_raises_anything_else(document: list[object]) -> None:
    only_protocol_errors(msgspec.json.encode(document, enc_hook=str).decode())


@given(st.binary(min_size=1, max_size=200), st.integers(0, 300), st.integers(0, 255))
def test_no_damaged_chunk_raises_anything_else(content: bytes, place: int, byte: int) -> None:
    frame = bytearray(msgspec.msgpack.encode((RUN, ATTEMPT, 9, content)))
    frame[place % len(frame)] = byte

    only_protocol_errors(bytes(frame))


def test_a_nul_never_reaches_the_database() -> None:
    event = Event(
        run=RUN,
        attempt=ATTEMPT,
        sequence=1,
        at=Instant(1),
        happening=Results(values={"a": msgspec.Raw(b'"x\\u0000y"'), "b": msgspec.Raw(b'"x\\\\u0000y"')}),
    )

    (heard,) = decode_from_worker(encode([event])[0])

    assert isinstance(heard, Event)
    assert isinstance(heard.happening, Results)
    values = {name: bytes(value) for name, value in heard.happening.values.items()}
    assert values == {"a": b'"x\\ufffdy"', "b": b'"x\\\\u0000y"'}


def offer(execution: Execution) -> Offer:
    return Offer(
        run=RUN, attempt=ATTEMPT, project="ops", job="a", slots=1, execution=execution, parameters={}, secrets={}
    )


def test_limits_that_a_job_does_not_have_are_not_in_its_offer() -> None:
    [frame] = encode([offer(Execution(steps=(Step(name="one", run="x"),)))])

    assert '"execution":{"steps":[{"name":"one","run":"x"}]}' in str(frame)


def test_a_worker_passes_over_what_a_later_master_says_of_a_step() -> None:
    limited = Execution(steps=(Step(name="one", run="x", timeout_seconds=5.0),), silence_seconds=9.0)
    [frame] = encode([offer(limited)])

    [heard] = decode_from_master(str(frame).replace("silence_seconds", "later").replace("timeout_seconds", "later"))

    assert isinstance(heard, Offer)
    assert heard.execution == Execution(steps=(Step(name="one", run="x"),))
