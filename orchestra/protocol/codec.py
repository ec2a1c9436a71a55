"""Frames: a text frame (str) is a JSON list of messages, a binary frame (bytes) is one log chunk in MessagePack."""

import re
from collections.abc import Sequence
from enum import IntEnum
from typing import TypeVar

import msgspec

from orchestra.errors import ProtocolError
from orchestra.limits import CHUNK_BYTES_MAX, FRAME_BYTES_MAX, FRAME_MESSAGES_MAX
from orchestra.protocol.messages import Chunk, MasterMessage, Message, WorkerMessage

Frame = str | bytes
M = TypeVar("M")


class CloseCode(IntEnum):
    """Why a connection was closed; RFC 6455 leaves 4000-4999 to applications."""

    MALFORMED = 4000
    """A frame that cannot be read."""
    OUT_OF_TURN = 4001
    """A message that has no place at this point of the conversation."""
    VERSION = 4002
    """No protocol version in common."""
    SILENT = 4003
    """Nothing was heard for too long."""
    REPLACED = 4004
    """The worker has opened a newer connection."""
    REFUSED = 4005
    """The name belongs to somebody else, or is quarantined."""


_REASON_BYTES_MAX = 123
"""Of the reason in a close frame (RFC 6455, section 5.5: 125 with the code)."""
_NUL = "\\u0000"
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""The escape itself, not a backslash that is followed by the same letters."""
_encoder = msgspec.json.Encoder()
_worker_decoder = msgspec.json.Decoder(list[WorkerMessage])
_master_decoder = msgspec.json.Decoder(list[MasterMessage])
_chunk_encoder = msgspec.msgpack.Encoder()
_chunk_decoder = msgspec.msgpack.Decoder(Chunk)


def encode(messages: Sequence[Message]) -> list[Frame]:
    """The messages in order, in as few text frames as the bounds allow."""
    frames: list[Frame] = []
    batch: list[bytes] = []
    size = 0
    for message in messages:
        text = _encoder.encode(message)
        if batch and (size + len(text) > FRAME_BYTES_MAX // 2 or len(batch) >= FRAME_MESSAGES_MAX):
            frames.append(_joined(batch))
            batch, size = [], 0
        batch.append(text)
        size += len(text) + 1
    if batch:
        frames.append(_joined(batch))
    return frames


def frame_bytes(message: Message) -> int:
    """How large a frame is that carries this message alone."""
    return len(_encoder.encode(message)) + 2


def _joined(batch: list[bytes]) -> str:
    return "[" + b",".join(batch).decode() + "]"


def decode_from_worker(frame: Frame) -> Sequence[WorkerMessage | Chunk]:
    """What a worker's frame says; raises ProtocolError (MALFORMED)."""
    if isinstance(frame, bytes):
        return [_decode_chunk(frame)]
    if _NUL in frame:
        # No text in PostgreSQL holds a NUL: one in a job's words would break the link again and again.
        frame = _ESCAPED_NUL.sub(r"\1\\ufffd", frame)
    return _decode(_worker_decoder, frame)


def decode_from_master(frame: Frame) -> Sequence[MasterMessage]:
    """What a master's frame says; raises ProtocolError (MALFORMED): a master sends no binary frames."""
    if isinstance(frame, bytes):
        raise ProtocolError(CloseCode.MALFORMED, "a master sends no binary frames")
    return _decode(_master_decoder, frame)


def encode_chunk(chunk: Chunk) -> Frame:
    """The chunk as a binary frame."""
    return _chunk_encoder.encode(chunk)


def close_reason(sentence: str) -> str:
    """The beginning of the sentence, as much as a close frame takes; never half a character."""
    return sentence.encode(errors="replace")[:_REASON_BYTES_MAX].decode(errors="ignore")


def _decode_chunk(frame: bytes) -> Chunk:
    try:
        chunk = _chunk_decoder.decode(frame)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ProtocolError(CloseCode.MALFORMED, f"a binary frame is no log chunk: {error}") from None
    if not 0 < len(chunk.content) <= CHUNK_BYTES_MAX:
        raise ProtocolError(CloseCode.MALFORMED, "a log chunk is out of bounds")
    return chunk


def _decode(decoder: msgspec.json.Decoder[list[M]], frame: str) -> list[M]:
    if len(frame) > FRAME_BYTES_MAX:
        raise ProtocolError(CloseCode.MALFORMED, f"a text frame is longer than {FRAME_BYTES_MAX} bytes")
    try:
        messages = decoder.decode(frame)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ProtocolError(CloseCode.MALFORMED, f"a text frame is no list of messages: {error}") from None
    if len(messages) > FRAME_MESSAGES_MAX:
        raise ProtocolError(
            CloseCode.MALFORMED, f"a frame carries {len(messages)} messages, {FRAME_MESSAGES_MAX} at most"
        )
    return messages
