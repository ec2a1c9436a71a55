"""The worker's end of a connection inside one process, for tests that say word by word what a worker says."""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import AttemptState
from orchestra.logs.digest import SegmentedDigest
from orchestra.protocol.codec import Frame, decode_from_master, encode, encode_chunk
from orchestra.protocol.messages import (
    Accept,
    CheckIn,
    Chunk,
    Event,
    Final,
    Forget,
    Go,
    Held,
    Hello,
    MasterMessage,
    Offer,
    Results,
    Started,
    StepEnded,
    StepStarted,
    Welcome,
    WorkerMessage,
)

Told = Started | StepStarted | StepEnded | Results | CheckIn | Final
M = TypeVar("M", bound=MasterMessage)
PATIENCE_SECONDS = 10.0


class WorkerEnd:
    """Implements the master's WorkerConnection, and beside it speaks and listens for the worker."""

    def __init__(self) -> None:
        self._to_master: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._heard: list[MasterMessage] = []
        self._news = asyncio.Event()
        self.closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    # --- the master's side ---

    async def receive(self) -> Frame:
        """The next frame from the worker."""
        frame = await self._to_master.get()
        if frame is None:
            raise ConnectionError("the worker went away")
        return frame

    async def send(self, frame: Frame) -> None:
        """A frame for the worker."""
        for message in decode_from_master(frame):
            self._heard.append(message)
        self._news.set()

    async def close(self, code: int, reason: str) -> None:
        """The master ends the connection."""
        if not self.closed.done():
            self.closed.set_result((code, reason))

    # --- the worker's side ---

    def say(self, *messages: WorkerMessage | Chunk) -> None:
        """Sends the messages."""
        for message in messages:
            if isinstance(message, Chunk):
                self._to_master.put_nowait(encode_chunk(message))
            else:
                self.say_frames(encode([message]))

    def say_frames(self, frames: Sequence[Frame]) -> None:
        """Sends the frames as they are."""
        for frame in frames:
            self._to_master.put_nowait(frame)

    def go_away(self) -> None:
        """The socket is gone."""
        self._to_master.put_nowait(None)

    async def hear(self, kind: type[M]) -> M:
        """The oldest message of this kind that was not given out yet."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                for index, message in enumerate(self._heard):
                    if isinstance(message, kind):
                        del self._heard[index]
                        return message
                self._news.clear()
                await self._news.wait()

    def take_heard(self, kind: type[M]) -> Sequence[M]:
        """All messages of this kind that have come and were not given out yet."""
        found = [message for message in self._heard if isinstance(message, kind)]
        self._heard = [message for message in self._heard if not isinstance(message, kind)]
        return found

    async def greet(self, *, held: Sequence[Held] = (), worker: str = "atlas", slots: int = 2) -> Welcome:
        """Says hello and waits for the welcome."""
        self.say(hello(held=held, worker=worker, slots=slots))
        return await self.hear(Welcome)

    async def take_offer(self) -> Offer:
        """Waits for an offer, accepts it, waits for go."""
        offer = await self.hear(Offer)
        self.say(Accept(run=offer.run, attempt=offer.attempt))
        await self.hear(Go)
        return offer

    async def execute(self, offer: Offer, *, output: bytes = b"", exit_code: int = 0) -> None:
        """Tells a whole execution, and waits until the master wants it forgotten."""
        self.say(started(offer.run, offer.attempt))
        if output:
            self.say(Chunk(run=offer.run, attempt=offer.attempt, offset=0, content=output))
        self.say(final(offer.run, offer.attempt, sequence=2, output=output, exit_code=exit_code))
        await self.hear(Forget)


def hello(
    *,
    held: Sequence[Held] = (),
    worker: str = "atlas",
    slots: int = 2,
    instance: str = "instance-1",
    connection: int = 0,
) -> Hello:
    """A worker that speaks version 1; with a connection of 0 it does not number them."""
    return Hello(
        protocol_minimum=1,
        protocol_maximum=1,
        worker=worker,
        instance=instance,
        boot_id="boot-1",
        version="1.0",
        properties={"os": "linux"},
        slots=slots,
        free_disk_bytes=1 << 40,
        held=tuple(held),
        connection=connection,
    )


def started(run: RunId, attempt: AttemptNumber) -> Event:
    """The first event of an attempt."""
    return event(run, attempt, 1, Started())


def event(run: RunId, attempt: AttemptNumber, sequence: int, happening: Told) -> Event:
    """Something that happened."""
    return Event(run=run, attempt=attempt, sequence=sequence, at=Instant(0), happening=happening)


def final(
    run: RunId, attempt: AttemptNumber, *, sequence: int, output: bytes = b"", exit_code: int = 0, reason: str = ""
) -> Event:
    """The last event of an attempt, with the true digest of its output."""
    digest = SegmentedDigest()
    digest.update(output)
    happening = Final(
        outcome=AttemptState.FAILED if exit_code else AttemptState.SUCCEEDED,
        exit_code=exit_code,
        reason=reason or (f"exit code {exit_code}" if exit_code else ""),
        cause=f"exit:{exit_code}" if exit_code else None,
        log_length=len(output),
        log_digest=digest.hexdigest(),
    )
    return event(run, attempt, sequence, happening)
