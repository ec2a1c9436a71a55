"""The connection to the master, over a real WebSocket: it always comes back, and it says why it left."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from orchestra.clock import SystemClock
from orchestra.identifiers import Epoch
from orchestra.limits import REFUSED_RECONNECT_SECONDS, SUBPROTOCOL
from orchestra.protocol.codec import CloseCode, decode_from_worker, encode
from orchestra.protocol.messages import Bye, Heartbeat, Hello, MasterMessage, Outdated, Welcome
from orchestra.protocol.window import AttemptKey
from orchestra_worker.folders import WorkerFolder
from orchestra_worker.link import Link
from orchestra_worker.outbox import Outbox
from orchestra_worker.websocket import BadMasterAddress, WebSocketConnector, link_address

Handler = Callable[[ServerConnection], Awaitable[None]]


class IdleExecutor:
    """An engine that only notes what it is told."""

    def __init__(self) -> None:
        self.takes_offers = True
        self.messages: list[MasterMessage] = []
        self.contacts: list[float] = []

    def receive(self, messages: Sequence[MasterMessage]) -> None:
        self.messages.extend(messages)

    def note_contact(self, sent_at: float) -> None:
        self.contacts.append(sent_at)

    def begin_session(self) -> None:
        pass

    def note_stored(self, key: AttemptKey) -> None:
        pass

    def end_session(self) -> None:
        pass

    def look_at_check_ins(self) -> None:
        pass


class ScriptedMaster:
    """A WebSocket server that knows one token and plays one handler."""

    def __init__(self) -> None:
        self.token = "orc_w_good"
        self.is_full = False
        self.handler: Handler | None = None
        self.closed: asyncio.Queue[tuple[int | None, str | None]] = asyncio.Queue()
        self.seen: list[Request] = []

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.seen.append(request)
        if self.is_full:
            full = connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "too many handshakes at once\n")
            full.headers["Retry-After"] = "2"
            return full
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return connection.respond(HTTPStatus.UNAUTHORIZED, "no\n")
        return None

    async def play(self, connection: ServerConnection) -> None:
        assert self.handler is not None
        try:
            await self.handler(connection)
        except ConnectionClosed:
            pass
        finally:
            await connection.wait_closed()
            self.closed.put_nowait((connection.close_code, connection.close_reason))


@pytest.fixture
def scripted() -> ScriptedMaster:
    return ScriptedMaster()


@pytest.fixture
async def server(scripted: ScriptedMaster) -> AsyncIterator[Server]:
    async with serve(
        scripted.play,
        "127.0.0.1",
        0,
        process_request=scripted.admit,
        subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # a NewType over str
    ) as server:
        yield server


@pytest.fixture
def executor() -> IdleExecutor:
    return IdleExecutor()


@pytest.fixture
def link(server: Server, executor: IdleExecutor, tmp_path: Path) -> Link:
    (tmp_path / "token").write_text("orc_w_good\n")
    port = next(iter(server.sockets)).getsockname()[1]
    return Link(
        connector=WebSocketConnector(address=link_address(f"http://127.0.0.1:{port}"), token_file=tmp_path / "token"),
        engine=executor,
        outbox=Outbox(),
        folder=WorkerFolder(path=tmp_path),
        clock=SystemClock(),
        fraction=lambda: 0.5,
        worker="atlas",
        instance="i",
        boot_id="b",
        version="1",
        properties={"os": "linux"},
        slots=4,
    )


def welcome(*, silence_seconds_max: float = 13.0) -> Welcome:
    return Welcome(
        protocol=1,
        epoch=Epoch(1),
        heartbeat_seconds=0.05,
        silence_seconds_max=silence_seconds_max,
        run_window_bytes=1000,
        worker_window_bytes=1000,
        accepts_runs=False,
    )


async def say(connection: ServerConnection, *messages: MasterMessage) -> None:
    for frame in encode(messages):
        await connection.send(frame)


async def test_hello_is_said_and_after_bye_the_worker_stays_away_within_the_time(
    link: Link, scripted: ScriptedMaster, executor: IdleExecutor
) -> None:
    heard: list[object] = []

    async def handler(connection: ServerConnection) -> None:
        heard.extend(decode_from_worker(await connection.recv()))
        await say(connection, welcome())
        heard.extend(decode_from_worker(await connection.recv()))
        await say(connection, Bye(retry_after_seconds=30, reason="upgrade"))
        await connection.recv()

    scripted.handler = handler
    wait = await link.connect_once()

    assert isinstance(heard[0], Hello)
    assert isinstance(heard[1], Heartbeat)
    assert wait == 15.0
    assert not executor.takes_offers
    assert scripted.seen[0].path == "/worker/v1"
    assert executor.contacts


async def test_each_hello_has_a_higher_number_also_above_what_the_master_has_heard(
    link: Link, scripted: ScriptedMaster
) -> None:
    numbers: list[int] = []
    ahead = SystemClock().now() + 3_600_000_000

    async def handler(connection: ServerConnection) -> None:
        (said,) = decode_from_worker(await connection.recv())
        assert isinstance(said, Hello)
        numbers.append(said.connection)
        await say(connection, Outdated(connection=ahead))
        await connection.close(CloseCode.REPLACED)

    scripted.handler = handler
    for _ in range(3):
        await link.connect_once()

    assert 0 < numbers[0] < ahead
    assert numbers[1:] == [ahead + 1, ahead + 2]


async def test_a_refused_token_is_said_once_and_tried_again_slowly_with_what_the_file_then_holds(
    link: Link, scripted: ScriptedMaster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.close(1012)

    scripted.handler = handler
    (tmp_path / "token").write_text("orc_w_bad")
    waits = [await link.connect_once(), await link.connect_once()]
    (tmp_path / "token").write_text("orc_w_good")
    await link.connect_once()

    assert waits == [REFUSED_RECONNECT_SECONDS, REFUSED_RECONNECT_SECONDS]
    assert len([record for record in caplog.records if "token_refused" in record.message]) == 1
    assert await scripted.closed.get() == (1012, "")


async def test_a_master_that_is_away_is_tried_again_with_growing_bounded_waits(link: Link, server: Server) -> None:
    server.close()
    await server.wait_closed()

    waits = [await link.connect_once() for _ in range(8)]

    assert waits == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0]


async def test_a_master_that_is_full_is_tried_again_when_it_asks_for_it(link: Link, scripted: ScriptedMaster) -> None:
    scripted.is_full = True

    waits = [await link.connect_once() for _ in range(4)]

    assert waits == [2.0, 2.0, 2.0, 2.0]


async def test_a_frame_that_cannot_be_read_closes_the_connection_with_its_code(
    link: Link, scripted: ScriptedMaster
) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send('[{"type": "dance"}]')
        while True:
            await connection.recv()

    scripted.handler = handler
    await link.connect_once()
    code, _ = await scripted.closed.get()

    assert code == CloseCode.MALFORMED


async def test_a_master_that_falls_silent_is_left(link: Link, scripted: ScriptedMaster) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.recv()
        await say(connection, welcome(silence_seconds_max=0.2))
        while True:
            await connection.recv()

    scripted.handler = handler
    async with asyncio.timeout(10):
        await link.connect_once()
    code, _ = await scripted.closed.get()

    assert code == CloseCode.SILENT


async def test_a_missing_token_file_is_one_more_reason_to_try_again(link: Link, tmp_path: Path) -> None:
    (tmp_path / "token").unlink()

    assert await link.connect_once() > 0


@pytest.mark.parametrize(
    ("master", "address"),
    [
        ("http://host:7780", "ws://host:7780/worker/v1"),
        ("https://host/orchestra/", "wss://host/orchestra/worker/v1"),
        ("ws://[::1]:1/worker/v1", "ws://[::1]:1/worker/v1"),
    ],
)
def test_the_masters_address_is_the_one_that_people_know(master: str, address: str) -> None:
    assert link_address(master) == address


@pytest.mark.parametrize("master", ["", "host:7780", "ftp://host", "http://"])
def test_an_address_that_cannot_be_used_is_refused_with_an_example(master: str) -> None:
    with pytest.raises(BadMasterAddress, match="give one like http://host:7780"):
        link_address(master)
