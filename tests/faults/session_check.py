"""Whatever a peer sends: an end of the protocol takes it or raises ProtocolError, and what it took can be stored."""

from collections.abc import Sequence

import msgspec

from orchestra.errors import ProtocolError
from orchestra.limits import CHUNK_BYTES_MAX, FRAME_BYTES_MAX
from orchestra.protocol.codec import CloseCode, Frame, decode_from_worker, encode
from orchestra.protocol.messages import Chunk
from orchestra.protocol.session import MasterSession, WorkerSession
from tests.faults.mangled import HELLO
from tests.support.worker_end import hello

BEAT_SECONDS_MIN = 0.1
_HELLO = msgspec.json.encode([HELLO]).decode()
_WELCOME = (
    '[{"type":"welcome","protocol":1,"epoch":1,"heartbeat_seconds":5.0,"silence_seconds_max":13.0,'
    '"run_window_bytes":4194304,"worker_window_bytes":33554432,"accepts_runs":true}]'
)


def check_master_session(frames: Sequence[Frame]) -> int:
    """Gives each frame to a master's end, before and after hello; returns how many were refused."""
    refused = 0
    for frame in frames:
        for before in ([], [_HELLO]):
            session = MasterSession(now=0.0)
            for each in before:
                session.receive(each, 0.0)
            try:
                taken = session.receive(frame, 1.0)
            except ProtocolError as error:
                _check_refusal(error)
                refused += 1
                continue
            for message in taken:
                _check_storable(message)
            words = [message for message in taken if not isinstance(message, Chunk)]
            assert [each for again in encode(words) for each in decode_from_worker(again)] == words
            session.take_frames()
    return refused


def check_worker_session(frames: Sequence[Frame]) -> int:
    """The same for a worker's end, before and after welcome."""
    refused = 0
    for frame in frames:
        for before in ([], [_WELCOME]):
            session = WorkerSession(hello=hello(), now=0.0)
            for each in before:
                session.receive(each, 0.0)
            try:
                session.receive(frame, 1.0)
                _check_beat(session)
            except ProtocolError as error:
                _check_refusal(error)
                refused += 1
    return refused


def _check_refusal(error: ProtocolError) -> None:
    assert error.code in tuple(CloseCode), error
    assert len(str(error)) < FRAME_BYTES_MAX


def _check_beat(session: WorkerSession) -> None:
    """However fast the master wants to hear of the worker, it must not become a hot loop."""
    if session.welcome is not None:
        session.tick(1.0, load=0.0, free_disk_bytes=0)
        session.take_frames()
        assert session.next_tick() >= 1.0 + BEAT_SECONDS_MIN, session.next_tick()


def _check_storable(value: object) -> None:
    """Both databases take it, and every reader of JSON."""
    match value:
        case bool() | None:
            pass
        case int():
            assert -(2**63) <= value < 2**63, value
        case float():
            assert value - value == 0, value  # neither infinite nor no number
        case str():
            assert "\0" not in value
            value.encode()
        case bytes():
            assert 0 < len(value) <= CHUNK_BYTES_MAX
        case dict():
            for name, each in value.items():
                _check_storable(name)
                _check_storable(each)
        case list() | tuple():
            for each in value:
                _check_storable(each)
        case msgspec.Struct():
            for name in value.__struct_fields__:
                _check_storable(getattr(value, name))
        case _:
            assert isinstance(value, msgspec.Raw), value
