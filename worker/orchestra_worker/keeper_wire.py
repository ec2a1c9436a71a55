"""The agent's end of the keeper's socket: whole lines in as they come, without a task that waits for each."""

import asyncio
from collections.abc import Callable

import msgspec

from orchestra.clock import Instant
from orchestra_worker.keeper_protocol import LINE_BYTES_MAX, StepReport, StepState, decode_object


class ReportDocument(msgspec.Struct, frozen=True):
    """A step's report on the wire, in the fields' order of StepReport."""

    step: str
    number: int
    state: StepState
    pid: int | None
    log_start: int
    log_length: int
    exit_code: int | None
    reason: str
    started_at: Instant | None
    ended_at: Instant | None
    lost: tuple[tuple[int, int], ...] = ()

    def report(self) -> StepReport:
        """The report itself."""
        return StepReport(*msgspec.structs.astuple(self))


class KeeperMessage(msgspec.Struct, frozen=True):
    """What the keeper says: news if it has an `event`, else an answer to the request of this `id`."""

    event: str | None = None
    step: str = ""
    length: int = 0
    report: ReportDocument | None = None
    id: int | None = None
    error: str | None = None
    reports: tuple[ReportDocument, ...] = ()


_decode = msgspec.json.Decoder(KeeperMessage).decode


def decode_message(line: bytes) -> KeeperMessage:
    """A line of the keeper; raises ValueError."""
    try:
        return _decode(line)
    except msgspec.MsgspecError:
        pass
    try:
        # A name of the machine that is no UTF-8, which only the standard library passes on.
        return msgspec.convert(decode_object(line), KeeperMessage)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the keeper says what nobody understands: {error}") from None


class KeeperWire(asyncio.Protocol):
    """One connection, to be made within a running loop. A line that raises ValueError, or has no end, closes it."""

    def __init__(self, *, on_line: Callable[[bytes], None]) -> None:
        self.greeting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        """The first line; EOFError if there never was one."""
        self.closed = asyncio.Event()
        self._on_line = on_line
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    # --- called by the loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        *lines, self._received = (self._received + data).split(b"\n")
        try:
            for line in lines:
                if self.greeting.done():
                    self._on_line(line)
                else:
                    self.greeting.set_result(line)
        except ValueError:
            self.close()
        if len(self._received) > LINE_BYTES_MAX:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        if not self.greeting.done():
            self.greeting.set_exception(EOFError("it closed the connection"))
        self.closed.set()

    # --- called by the owner ---

    def send(self, line: bytes) -> None:
        """Sends a line; on a connection that is gone it does nothing."""
        if self._transport is not None:
            self._transport.write(line)

    def close(self) -> None:
        """Closes the connection once all is sent; `closed` is set then."""
        if self._transport is not None:
            self._transport.close()
