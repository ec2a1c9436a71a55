"""`python -m tests.faults.fleet`: many workers in one process, each with the product's own link over a real WebSocket.

What they would execute is left out: each takes its runs, says that they have started, and holds them for ever. Every
welcome is told as one line `worker seconds-since-the-handshake-began seconds-on-the-monotonic-clock`.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from orchestra.clock import SystemClock
from orchestra.lifecycle import AttemptState
from orchestra.protocol.messages import (
    Accept,
    Chunk,
    Event,
    Forget,
    Go,
    Held,
    MasterMessage,
    Offer,
    Started,
    Welcome,
    WorkerMessage,
)
from orchestra.protocol.window import AttemptKey, LogWindow
from orchestra_worker.folders import WorkerFolder
from orchestra_worker.link import Link
from orchestra_worker.outbox import Outbox
from orchestra_worker.transport import Transport
from orchestra_worker.websocket import WebSocketConnector, link_address


class Holding(Outbox):
    """The attempts of one worker, and as its engine what it makes of the master's words."""

    def __init__(self) -> None:
        super().__init__()
        self.takes_offers = True
        self._states: dict[AttemptKey, AttemptState] = {}
        self._messages: list[WorkerMessage] = []

    def held(self) -> tuple[Held, ...]:
        return tuple(
            Held(run=run, attempt=attempt, state=state, sequence=int(state is AttemptState.STARTED), log_length=0)
            for (run, attempt), state in self._states.items()
        )

    def receive(self, messages: Sequence[MasterMessage]) -> None:
        """Takes every offer, and starts what may go."""
        for message in messages:
            match message:
                case Offer(run=run, attempt=attempt):
                    self._states[run, attempt] = AttemptState.ACCEPTED
                    self._say(Accept(run=run, attempt=attempt))
                case Go(run=run, attempt=attempt):
                    self._states[run, attempt] = AttemptState.STARTED
                    self._tell_start((run, attempt))
                case Forget(run=run, attempt=attempt):
                    self._states.pop((run, attempt), None)

    def resume(self, key: AttemptKey, *, sequence: int, log_length: int) -> None:
        if sequence == 0 and self._states.get(key) is AttemptState.STARTED:
            self._tell_start(key)

    def start_session(self, window: LogWindow) -> None:
        self._messages.clear()

    def end_session(self) -> None:
        self._messages.clear()

    def acknowledge(self, key: AttemptKey, *, sequence: int, log_length: int) -> None:
        """Nothing is kept that could go now."""

    def take_messages(self) -> Sequence[WorkerMessage]:
        messages, self._messages = self._messages, []
        return messages

    def take_chunk(self) -> Chunk | None:
        return None

    def has_messages(self) -> bool:
        return bool(self._messages)

    def note_contact(self, sent_at: float) -> None:
        """No lease to extend."""

    def begin_session(self) -> None:
        """Nothing waits for the master."""

    def note_stored(self, key: AttemptKey) -> None:
        """No log grows."""

    def look_at_check_ins(self) -> None:
        """Nobody checks in."""

    def _say(self, message: WorkerMessage) -> None:
        self._messages.append(message)
        self.changed.set()

    def _tell_start(self, key: AttemptKey) -> None:
        self._say(Event(run=key[0], attempt=key[1], sequence=1, at=SystemClock().now(), happening=Started()))


class TimedConnector:
    """Knows when the handshake began that is under way."""

    def __init__(self, connector: WebSocketConnector) -> None:
        self._connector = connector
        self.began_at = 0.0

    async def connect(self) -> Transport:
        """As the connector does."""
        self.began_at = SystemClock().monotonic()
        return await self._connector.connect()


def fake_worker(name: str, *, address: str, token_file: Path, folder: Path, tell: Callable[[str], object]) -> Link:
    """The link of one worker."""
    connector = TimedConnector(WebSocketConnector(address=link_address(address), token_file=token_file))
    holding = Holding()

    def welcomed(_: Welcome) -> None:
        now = SystemClock().monotonic()
        tell(f"{name} {now - connector.began_at:.6f} {now:.6f}\n")

    return Link(
        connector=connector,
        engine=holding,
        outbox=holding,
        folder=WorkerFolder(path=folder),
        clock=SystemClock(),
        fraction=random.SystemRandom().random,
        worker=name,
        instance=f"instance-{name}",
        boot_id="boot",
        version="1.0",
        properties={"os": "linux"},
        slots=1,
        on_welcome=welcomed,
    )


@click.command()
@click.option("--master", required=True)
@click.option("--token-file", type=click.Path(path_type=Path), required=True)
@click.option("--count", type=int, required=True)
@click.option("--told", type=click.Path(path_type=Path), required=True, help="The file for the lines.")
def main(master: str, token_file: Path, count: int, told: Path) -> None:
    """Connects all of them, until it is killed."""

    async def run_all() -> None:
        with told.open("a", buffering=1) as file:
            links = [
                fake_worker(
                    f"fake-{number}", address=master, token_file=token_file, folder=told.parent, tell=file.write
                )
                for number in range(count)
            ]
            await asyncio.gather(*(link.run() for link in links))

    asyncio.run(run_all())


if __name__ == "__main__":
    main()
