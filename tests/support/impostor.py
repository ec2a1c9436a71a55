"""A worker that says what the test wants, over a real WebSocket to a real master."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from orchestra.limits import SUBPROTOCOL
from orchestra.protocol.codec import Frame, decode_from_master, encode, encode_chunk
from orchestra.protocol.messages import Accept, Chunk, Go, Held, MasterMessage, Offer, Welcome, WorkerMessage
from tests.support.worker_end import hello

M = TypeVar("M", bound=MasterMessage)
PATIENCE_SECONDS = 60.0


@contextmanager
def impostor(port: int, token: str) -> "Iterator[Impostor]":
    """A connection with this token to the master on this port."""
    with connect(
        f"ws://127.0.0.1:{port}/worker/v1",
        additional_headers={"Authorization": f"Bearer {token}"},
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        compression=None,
        ping_interval=None,
        open_timeout=PATIENCE_SECONDS,
        proxy=None,
    ) as connection:
        yield Impostor(connection)


class Impostor:
    """Speaks and listens on one connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._heard: list[MasterMessage] = []

    def say(self, *messages: WorkerMessage | Chunk) -> None:
        """Sends the messages in their order."""
        for message in messages:
            for frame in [encode_chunk(message)] if isinstance(message, Chunk) else encode([message]):
                self._connection.send(frame)

    def say_together(self, messages: Sequence[WorkerMessage]) -> None:
        """Sends the messages in as few frames as it takes."""
        for frame in encode(messages):
            self.say_frame(frame)

    def say_frame(self, frame: Frame) -> None:
        """Sends a frame as it is."""
        self._connection.send(frame)

    def listen(self, *, seconds: float) -> None:
        """Takes in one frame; TimeoutError if none comes, ConnectionClosed if none can."""
        self._heard += decode_from_master(self._connection.recv(seconds))

    def hear(self, kind: type[M]) -> M:
        """The oldest message of this kind that was not given out yet; TimeoutError if none comes."""
        while True:
            for index, message in enumerate(self._heard):
                if isinstance(message, kind):
                    del self._heard[index]
                    return message
            self._heard += decode_from_master(self._connection.recv(PATIENCE_SECONDS))

    def hear_next(self) -> MasterMessage:
        """The oldest message that was not given out yet; TimeoutError if none comes."""
        while not self._heard:
            self._heard += decode_from_master(self._connection.recv(PATIENCE_SECONDS))
        return self._heard.pop(0)

    def greet(self, worker: str, *, held: Sequence[Held] = ()) -> Welcome:
        """Says hello and waits for the welcome."""
        self.say(hello(worker=worker, held=held))
        return self.hear(Welcome)

    def take_offer(self) -> Offer:
        """Waits for an offer, accepts it, waits for go."""
        offer = self.hear(Offer)
        self.say(Accept(run=offer.run, attempt=offer.attempt))
        self.hear(Go)
        return offer

    def closed(self) -> tuple[int, str]:
        """Waits until the master closes the connection: the code and the reason."""
        with pytest.raises(ConnectionClosed) as closed:
            self._listen_for_ever()
        word = closed.value.rcvd
        assert word is not None, "the connection broke without a word"
        return word.code, word.reason

    def _listen_for_ever(self) -> None:
        while True:
            self._connection.recv(PATIENCE_SECONDS)
