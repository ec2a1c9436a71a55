"""A master that says what the test wants, over a real WebSocket to a real worker."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from orchestra.identifiers import Epoch
from orchestra.limits import (
    HEARTBEAT_SECONDS,
    RUN_WINDOW_BYTES,
    SILENCE_SECONDS_MAX,
    SUBPROTOCOL,
    WORKER_WINDOW_BYTES,
)
from orchestra.protocol.codec import decode_from_worker, encode
from orchestra.protocol.messages import Chunk, Heartbeat, HeartbeatAnswer, MasterMessage, Welcome, WorkerMessage

PATIENCE_SECONDS = 60.0

Scene = Callable[["HostileMaster"], None]


class HostileMaster:
    """One connection of a worker, after its hello was answered."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    def say(self, *messages: MasterMessage) -> None:
        """Sends the messages in as few frames as it takes."""
        for frame in encode(messages):
            self._connection.send(frame)

    def hear(self) -> Sequence[WorkerMessage | Chunk]:
        """What the worker says next; its heartbeats are answered."""
        messages = decode_from_worker(self._connection.recv(PATIENCE_SECONDS))
        self.say(*(HeartbeatAnswer(counter=each.counter) for each in messages if isinstance(each, Heartbeat)))
        return messages


@contextmanager
def hostile_master(scene: Scene) -> Iterator[int]:
    """Listens on the port that it gives; the first connection plays the scene, later ones are closed."""
    first = threading.Lock()

    def play(connection: ServerConnection) -> None:
        if not first.acquire(blocking=False):
            return
        master = HostileMaster(connection)
        decode_from_worker(connection.recv(PATIENCE_SECONDS))
        master.say(
            Welcome(
                protocol=1,
                epoch=Epoch(1),
                heartbeat_seconds=HEARTBEAT_SECONDS,
                silence_seconds_max=SILENCE_SECONDS_MAX,
                run_window_bytes=RUN_WINDOW_BYTES,
                worker_window_bytes=WORKER_WINDOW_BYTES,
                accepts_runs=True,
            )
        )
        try:
            scene(master)
        except ConnectionClosed:
            return

    with serve(play, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)], compression=None) as server:
        thread = threading.Thread(target=server.serve_forever, name="hostile master")
        thread.start()
        yield int(server.socket.getsockname()[1])
        server.shutdown()
        thread.join()
