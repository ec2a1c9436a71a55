"""Malformed and foreign frames: the connection is closed with a code and counted, nothing changes, the master lives."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from orchestra.configuration import read_token_file
from orchestra.limits import FRAME_BYTES_MAX, FRAME_MESSAGES_MAX, SUBPROTOCOL
from orchestra.protocol.codec import CloseCode
from tests.support.journey import PATIENCE_SECONDS, Orchestra, lines_of, running, started, wait_until

Frames = list[str | bytes]
GUEST = "guest"
BIG = 2**70
DEEP = "[" * 100_000
SLOW = """
orchestra: 1
project: ops
jobs:
  slow:
    run: |
      echo begin >> {witness}
      while [ ! -e {release} ]; do sleep 0.05; done
      echo end >> {witness}
"""


def frame(*messages: dict[str, object]) -> str:
    """A text frame as a peer of any kind may write it."""
    return msgspec.json.encode(messages).decode()


def hello(**changes: object) -> dict[str, object]:
    """A hello as it should be, but for the changes."""
    said: dict[str, object] = {
        "type": "hello",
        "protocol_minimum": 1,
        "protocol_maximum": 1,
        "worker": GUEST,
        "instance": "instance",
        "boot_id": "boot",
        "version": "1.0",
        "properties": {},
        "slots": 1,
        "free_disk_bytes": 1 << 40,
        "held": [],
    }
    return said | changes


def beat(**changes: object) -> dict[str, object]:
    """A heartbeat as it should be, but for the changes."""
    return {"type": "heartbeat", "counter": 1, "load": 0.5, "free_disk_bytes": 1 << 40} | changes


def event(**changes: object) -> dict[str, object]:
    """A word about the run of another worker."""
    said: dict[str, object] = {"type": "event", "run": 1, "attempt": 1, "sequence": 1, "at": 1}
    return said | {"happening": {"kind": "started"}} | changes


def big(text: str) -> str:
    """A number that no column can hold, which JSON may well say."""
    return text.replace('"BIG"', str(BIG))


HELLO = frame(hello())
BAD: dict[str, tuple[Frames, Collection[int | None]]] = {
    "garbage": (["{not json"], {CloseCode.MALFORMED}),
    "empty": ([""], {CloseCode.MALFORMED}),
    "no list": (['{"type": "hello"}'], {CloseCode.MALFORMED}),
    "unknown type": ([frame({"type": "destroy"})], {CloseCode.MALFORMED}),
    "no type": ([frame({"run": 1})], {CloseCode.MALFORMED}),
    "half a character": ([HELLO.replace(GUEST, "\\ud800")], {CloseCode.MALFORMED}),
    "too deep": ([HELLO[:-2] + f', "more": {DEEP}'], {CloseCode.MALFORMED}),
    "binary garbage": ([b"\xff\x00\xde\xad"], {CloseCode.MALFORMED}),
    "binary garbage after hello": ([HELLO, b"\xff\x00\xde\xad"], {CloseCode.MALFORMED}),
    "binary too deep": ([HELLO, b"\x91" * 100_000], {CloseCode.MALFORMED}),
    "a chunk of nothing": ([HELLO, msgspec.msgpack.encode([1, 1, 0, b""])], {CloseCode.MALFORMED}),
    "a chunk of run 2**63": ([HELLO, msgspec.msgpack.encode([2**63, 1, 0, b"x"])], {CloseCode.MALFORMED}),
    "a beat before hello": ([frame(beat())], {CloseCode.OUT_OF_TURN}),
    "a chunk before hello": ([msgspec.msgpack.encode([1, 1, 0, b"x"])], {CloseCode.OUT_OF_TURN}),
    "an event before hello": ([frame(event())], {CloseCode.OUT_OF_TURN}),
    "a second hello": ([HELLO, HELLO], {CloseCode.OUT_OF_TURN}),
    "hello twice in a frame": ([frame(hello(), hello())], {CloseCode.OUT_OF_TURN}),
    "too many messages": ([HELLO, frame(*[beat()] * (FRAME_MESSAGES_MAX + 1))], {CloseCode.MALFORMED}),
    "oversized": (["[" + " " * FRAME_BYTES_MAX + "]"], {CloseCode.MALFORMED}),
    # The library refuses it at its head; what was still on its way may break the connection before the code arrives.
    "far too large": ([" " * (4 * FRAME_BYTES_MAX)], {1009, None}),
    "far-future version": ([frame(hello(protocol_minimum=9_999, protocol_maximum=10_000))], {CloseCode.VERSION}),
    "all versions": ([big(frame(hello(protocol_minimum=1, protocol_maximum="BIG")))], {CloseCode.MALFORMED}),
    "no version": ([frame(hello(protocol_minimum=1, protocol_maximum=0))], {CloseCode.VERSION}),
    "a name that is none": ([frame(hello(worker="../../etc"))], {CloseCode.REFUSED}),
    "a name with a NUL": ([frame(hello(worker="a\0b"))], {CloseCode.REFUSED}),
    "no slots": ([frame(hello(slots=0))], {CloseCode.MALFORMED}),
    "endless slots": ([big(frame(hello(slots="BIG")))], {CloseCode.MALFORMED}),
    "endless disk": ([big(frame(hello(free_disk_bytes="BIG")))], {CloseCode.MALFORMED}),
    "an endless disk in a beat": ([HELLO, big(frame(beat(free_disk_bytes="BIG")))], {CloseCode.MALFORMED}),
    "an event of an endless run": ([HELLO, big(frame(event(run="BIG")))], {CloseCode.MALFORMED}),
    "an event at no time": ([HELLO, big(frame(event(at="BIG")))], {CloseCode.MALFORMED}),
    "an acceptance of run 0": ([HELLO, frame({"type": "accept", "run": 0, "attempt": 1})], {CloseCode.MALFORMED}),
}
"""Each with the codes that it may be closed with."""


class Place:
    """An instance with a worker on which a run is under way, while strangers come to the door."""

    def __init__(self, up: Orchestra, folder: Path) -> None:
        self.up = up
        self.witness = folder / "witness"
        self.release = folder / "release"
        self.token = read_token_file(up.data / "worker.token")

    def connect(
        self,
        *,
        token: str | None = None,
        subprotocols: tuple[str, ...] = (SUBPROTOCOL,),
        origin: str | None = None,
    ) -> ClientConnection:
        """A connection to the door of the workers."""
        return connect(
            f"ws://127.0.0.1:{self.up.port}/worker/v1",
            additional_headers={"Authorization": f"Bearer {token or self.token}"},
            subprotocols=[Subprotocol(name) for name in subprotocols],
            origin=Origin(origin) if origin else None,
            compression=None,
            max_size=None,
            open_timeout=PATIENCE_SECONDS,
            proxy=None,
        )

    def snapshot(self) -> object:
        """All that a stranger must not change."""
        workers = [(worker.name, worker.connected) for worker in self.up.fleet().values() if worker.name != GUEST]
        run = self.up.run(1)
        return workers, run.state, run.attempt, run.worker, lines_of(self.witness), self.up.log(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the instance of these tests lives."""
    return tmp_path_factory.mktemp("bad-frames")


@pytest.fixture(scope="module")
def place(folder: Path) -> Iterator[Place]:
    """One for all of these tests: none of them may harm the next. At its end the run must still be well."""
    up = Orchestra(folder, slots=0)
    with started(up):
        made = Place(up, folder)
        up.apply(SLOW.format(witness=made.witness, release=made.release))
        with running(up.worker(folder, "atlas")):
            up.reach(up.trigger("ops/slow"), "running")
            wait_until(lambda: lines_of(made.witness), what="the run to begin")
            yield made
            made.release.touch()
            run = up.finish(1)
            assert (run.state, run.attempts_counted) == ("succeeded", 1)
            assert lines_of(made.witness) == ["begin", "end"]


@pytest.mark.parametrize("what", BAD)
def test_a_bad_frame_closes_its_connection_and_changes_nothing(place: Place, what: str) -> None:
    frames, codes = BAD[what]
    before = place.snapshot()

    with place.connect() as connection:
        code = close_code(connection, frames)

    assert code in codes
    assert place.snapshot() == before
    assert place.up.program.process is not None
    assert place.up.program.process.poll() is None, place.up.program.output
    assert "Traceback" not in place.up.program.output


def close_code(connection: ClientConnection, frames: Frames) -> int | None:
    """With which code the master closes after it was told this."""
    try:
        for each in frames:
            connection.send(each)
        while True:
            connection.recv(timeout=PATIENCE_SECONDS)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


def test_text_that_is_no_text_closes_the_connection(place: Place) -> None:
    with place.connect() as connection:
        connection.send(b"[\xff\xfe]", text=True)

        assert close_code(connection, []) == 1007


def test_words_about_a_strangers_run_change_nothing(place: Place) -> None:
    before = place.snapshot()
    final = {"kind": "final", "outcome": "failed", "exit_code": 1, "reason": "", "cause": None}
    words = event(happening=final | {"log_length": 0, "log_digest": ""})

    with place.connect() as connection:
        connection.send(frame(hello()))
        connection.send(msgspec.msgpack.encode([1, 1, 0, b"forged"]))
        connection.send(frame({"type": "accept", "run": 1, "attempt": 1}, event(), words))
        code = close_code(connection, [])

    assert code == CloseCode.OUT_OF_TURN
    assert place.snapshot() == before


@pytest.mark.parametrize(
    ("status", "subprotocols", "origin", "token"),
    [
        (400, ("orchestra.v999",), None, None),
        (400, (), None, None),
        (403, (SUBPROTOCOL,), "http://127.0.0.1", None),
        (401, (SUBPROTOCOL,), None, f"orc_w_{'0' * 64}"),
        (401, (SUBPROTOCOL,), None, "user"),
    ],
    ids=["foreign protocol", "no protocol", "a browser", "unknown token", "a user's token"],
)
def test_the_door_stays_shut(
    place: Place, status: int, subprotocols: tuple[str, ...], origin: str | None, token: str | None
) -> None:
    said = place.up.program.output
    before = place.snapshot()
    shown = read_token_file(place.up.data / "admin.token") if token == "user" else token

    with pytest.raises(InvalidStatus) as refusal:
        place.connect(token=shown, subprotocols=subprotocols, origin=origin)

    assert refusal.value.response.status_code == status
    assert place.snapshot() == before
    assert place.up.program.output == said


def test_what_was_refused_is_counted(tmp_path: Path) -> None:
    up = Orchestra(tmp_path, slots=0)
    with started(up):
        wait_until((up.data / "worker.token").exists, what="the workers' token")
        place = Place(up, tmp_path)
        for frames in (["garbage"], [b"\xff"], [frame(beat())]):
            with place.connect() as connection:
                close_code(connection, list(frames))
        for _ in range(5):
            with pytest.raises(InvalidStatus):
                place.connect(token=f"orc_w_{'0' * 64}")
    said = re.findall(r"worker_door_closed .*", up.program.output)

    assert said == ["worker_door_closed bad_tokens=5 bad_connections=3"]
