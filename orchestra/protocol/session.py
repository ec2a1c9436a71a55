"""Both ends of one connection as state machines without input or output: frames and time go in, messages and frames
come out.

The owner of a socket does three things, whichever end it is: give every frame to `receive`, call `tick` when
`next_tick` has come, and send what `take_frames` gives after either. A ProtocolError from `receive` or `tick` means:
close with its code, nothing was changed.
Time is `Clock.monotonic()`, in seconds.
"""

from collections.abc import Sequence

from orchestra.errors import ProtocolError, WorkerVersionRefused
from orchestra.limits import (
    HEARTBEAT_SECONDS,
    HEARTBEAT_SECONDS_MIN,
    HELLO_SECONDS_MAX,
    OUTGOING_MESSAGES_MAX,
    PROTOCOL_VERSIONS,
    SILENCE_SECONDS_MAX,
)
from orchestra.protocol.codec import CloseCode, Frame, decode_from_master, decode_from_worker, encode
from orchestra.protocol.messages import (
    Chunk,
    Heartbeat,
    HeartbeatAnswer,
    Hello,
    MasterMessage,
    Message,
    Outdated,
    Welcome,
    WorkerMessage,
)


class _Outgoing:
    """Messages that wait to be sent: they leave in natural batches, as many to a frame as have gathered."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    def add(self, message: Message) -> None:
        self._messages.append(message)

    def take(self) -> list[Frame]:
        messages, self._messages = self._messages, []
        return encode(messages)

    def __len__(self) -> int:
        return len(self._messages)


class WorkerSession:
    """The worker's end, from `hello` until the connection is gone.

    `send` queues control messages; log chunks are the owner's own frames, sent when no control frame waits. Until
    `welcome` has come nothing but `hello` leaves. `welcome` is given to the owner like every other message;
    heartbeat answers are kept here.
    """

    def __init__(self, *, hello: Hello, now: float) -> None:
        self._outgoing = _Outgoing()
        self._outgoing.add(hello)
        self._held_back: list[Message] = []
        self._heard = now
        self._beat_due = now + HEARTBEAT_SECONDS
        self._beats: dict[int, float] = {}
        self._counter = 0
        self._heartbeat_seconds = HEARTBEAT_SECONDS
        self._silence_seconds_max = SILENCE_SECONDS_MAX
        self.welcome: Welcome | None = None
        self.answered_at: float | None = None
        """When the newest heartbeat that was answered had been sent: the start of a lease."""

    def send(self, message: WorkerMessage) -> None:
        """Queues a message, until after `welcome` if that has not come yet."""
        if self.welcome is None:
            self._held_back.append(message)
        else:
            self._outgoing.add(message)

    def receive(self, frame: Frame, now: float) -> Sequence[MasterMessage]:
        """What the master says; raises ProtocolError."""
        self._heard = now
        messages = []
        for message in decode_from_master(frame):
            if isinstance(message, HeartbeatAnswer):
                self._beat_answered(message.counter)
                continue
            if isinstance(message, Welcome):
                self._welcomed(message, now)
            elif self.welcome is None and not isinstance(message, Outdated):
                raise ProtocolError(CloseCode.OUT_OF_TURN, "the master speaks before it has said welcome")
            messages.append(message)
        return messages

    def _welcomed(self, welcome: Welcome, now: float) -> None:
        if self.welcome is not None:
            raise ProtocolError(CloseCode.OUT_OF_TURN, "the master says welcome twice")
        if welcome.protocol not in PROTOCOL_VERSIONS:
            raise ProtocolError(CloseCode.VERSION, f"the master chose protocol {welcome.protocol}")
        self.welcome = welcome
        self._heartbeat_seconds = max(welcome.heartbeat_seconds, HEARTBEAT_SECONDS_MIN)
        self._silence_seconds_max = welcome.silence_seconds_max
        self._beat_due = now
        for message in self._held_back:
            self._outgoing.add(message)
        self._held_back.clear()

    def _beat_answered(self, counter: int) -> None:
        sent = self._beats.get(counter)
        if sent is not None:
            self.answered_at = sent
            self._beats = {other: at for other, at in self._beats.items() if other > counter}

    def tick(self, now: float, *, load: float, free_disk_bytes: int) -> None:
        """Beats when the beat is due; raises ProtocolError when the master has been silent for too long."""
        # In the same words as `next_tick`, or rounding would let a clock that stands still tick for ever.
        if now >= self._heard + self._silence_seconds_max:
            raise ProtocolError(CloseCode.SILENT, f"the master was silent for {now - self._heard:.0f} s")
        if self.welcome is not None and now >= self._beat_due:
            self._counter += 1
            self._beats[self._counter] = now
            self._beat_due = now + self._heartbeat_seconds
            self._outgoing.add(Heartbeat(counter=self._counter, load=load, free_disk_bytes=free_disk_bytes))

    def next_tick(self) -> float:
        """When `tick` wants to be called."""
        silent_at = self._heard + self._silence_seconds_max
        return silent_at if self.welcome is None else min(silent_at, self._beat_due)

    @property
    def wants_to_send(self) -> bool:
        """Whether `take_frames` would give something."""
        return bool(self._outgoing)

    def take_frames(self) -> list[Frame]:
        """The frames to send now, in order."""
        return self._outgoing.take()


class MasterSession:
    """The master's end, from the accepted socket until the connection is gone.

    The first message is `hello`, once; the owner answers it with `send(Welcome(...))`. Heartbeats are answered here
    and also given to the owner, for their load and free disk.
    """

    def __init__(self, *, now: float) -> None:
        self._outgoing = _Outgoing()
        self._heard = now
        self._opened = now
        self.hello: Hello | None = None

    def send(self, message: MasterMessage) -> None:
        """Queues a message."""
        self._outgoing.add(message)

    def receive(self, frame: Frame, now: float) -> Sequence[WorkerMessage | Chunk]:
        """What the worker says; raises ProtocolError."""
        self._heard = now
        messages = decode_from_worker(frame)
        for message in messages:
            if isinstance(message, Hello):
                self._greeted(message)
            elif self.hello is None:
                raise ProtocolError(CloseCode.OUT_OF_TURN, "the worker speaks before it has said hello")
            elif isinstance(message, Heartbeat):
                self._outgoing.add(HeartbeatAnswer(counter=message.counter))
        if len(self._outgoing) > OUTGOING_MESSAGES_MAX:
            raise ProtocolError(CloseCode.OUT_OF_TURN, "the worker does not take what it is sent")
        return messages

    def _greeted(self, hello: Hello) -> None:
        if self.hello is not None:
            raise ProtocolError(CloseCode.OUT_OF_TURN, "the worker says hello twice")
        spoken = range(hello.protocol_minimum, hello.protocol_maximum + 1)
        if chosen_version(spoken) is None:
            raise ProtocolError(CloseCode.VERSION, str(WorkerVersionRefused(hello.worker, spoken, PROTOCOL_VERSIONS)))
        self.hello = hello

    def tick(self, now: float) -> None:
        """Raises ProtocolError when the worker has been silent for too long."""
        if self.hello is None and now >= self._opened + HELLO_SECONDS_MAX:
            raise ProtocolError(CloseCode.SILENT, "the worker did not say hello")
        if now >= self._heard + SILENCE_SECONDS_MAX:
            raise ProtocolError(CloseCode.SILENT, f"the worker was silent for {now - self._heard:.0f} s")

    def next_tick(self) -> float:
        """When `tick` wants to be called."""
        silent_at = self._heard + SILENCE_SECONDS_MAX
        return silent_at if self.hello else min(silent_at, self._opened + HELLO_SECONDS_MAX)

    @property
    def wants_to_send(self) -> bool:
        """Whether `take_frames` would give something."""
        return bool(self._outgoing)

    def take_frames(self) -> list[Frame]:
        """The frames to send now, in order."""
        return self._outgoing.take()


def chosen_version(spoken: range) -> int | None:
    """The newest protocol version that both speak, None if there is none."""
    newest = min(spoken.stop, PROTOCOL_VERSIONS.stop) - 1
    return newest if newest >= max(spoken.start, PROTOCOL_VERSIONS.start) else None
