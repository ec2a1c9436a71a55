"""What the worker still owes to the master, and what of it leaves next: answers, events in order, log bytes in turn."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from orchestra.limits import CHUNK_BYTES_MAX
from orchestra.protocol.messages import Accept, Chunk, Event, Final, Held, Refuse, WorkerMessage
from orchestra.protocol.window import AttemptKey, LogWindow
from orchestra_worker.attempt import HeldAttempt
from orchestra_worker.log_source import LogSource


@dataclass(kw_only=True, slots=True)
class _Feed:
    """One attempt and how far its sending has come in this session."""

    attempt: HeldAttempt
    source: LogSource
    sent_sequence: int = 0
    sent_length: int = 0
    is_resumed: bool = False
    """The master has said from where to go on: before that nothing is sent."""


class Outbox:
    """Knows every held attempt; survives sessions. `changed` is set when something may have become sendable."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._feeds: dict[AttemptKey, _Feed] = {}
        self._answers: list[Accept | Refuse] = []
        self._with_events: dict[AttemptKey, None] = {}
        self._hungry: dict[AttemptKey, None] = {}
        """Attempts that may have log bytes to send, in turn."""
        self._starved: dict[AttemptKey, None] = {}
        """Attempts that have found no room in the window when it was their turn."""
        self._window: LogWindow | None = None

    # --- what is held ---

    def add(self, attempt: HeldAttempt, source: LogSource) -> None:
        """From now on this attempt's events and log are sent."""
        self._feeds[attempt.key] = _Feed(attempt=attempt, source=source)

    def remove(self, key: AttemptKey) -> None:
        """The attempt is forgotten."""
        if self._feeds.pop(key, None) and self._window:
            self._window.stop(key)
            self._feed_starved()

    def held(self) -> tuple[Held, ...]:
        """What `hello` lists: never what the journal does not have yet, because the master would count on it."""
        return tuple(
            feed.attempt.held(feed.source.length)
            for feed in self._feeds.values()
            if feed.attempt.is_journalled and not feed.attempt.is_forgotten
        )

    # --- the session ---

    def start_session(self, window: LogWindow) -> None:
        """The master has said welcome; each attempt now waits for its `resume`."""
        self._window = window
        self._with_events.clear()
        self._hungry.clear()
        self._starved.clear()

    def end_session(self) -> None:
        """The connection is gone: what was sent may be lost, the next `resume` will tell."""
        self._window = None
        self._answers.clear()
        # At once, not only at the next welcome: what happens until then would be sent as if nothing had been lost.
        for feed in self._feeds.values():
            feed.is_resumed = False

    def resume(self, key: AttemptKey, *, sequence: int, log_length: int) -> None:
        """The master has events up to `sequence` and log bytes below `log_length`."""
        feed = self._feeds.get(key)
        if feed is None or self._window is None:
            return
        feed.attempt.acknowledge(sequence)
        feed.source.rewind(log_length)
        feed.source.acknowledge(log_length)
        feed.sent_sequence = sequence
        feed.sent_length = log_length
        feed.is_resumed = True
        self._window.start(key, log_length)
        self.note(key)

    def ensure_resumed(self, key: AttemptKey) -> None:
        """A new attempt begins at nothing, without a word of the master."""
        feed = self._feeds.get(key)
        if feed is not None and not feed.is_resumed:
            self.resume(key, sequence=0, log_length=0)

    def acknowledge(self, key: AttemptKey, *, sequence: int, log_length: int) -> None:
        """The master has committed so much; an older word changes nothing."""
        feed = self._feeds.get(key)
        if feed is None or self._window is None or not feed.is_resumed:
            return
        feed.attempt.acknowledge(min(sequence, feed.sent_sequence))
        self._window.acknowledged(key, log_length)
        feed.source.acknowledge(min(log_length, feed.sent_length))
        self._feed_starved()

    # --- what leaves ---

    def say(self, answer: Accept | Refuse) -> None:
        """Answers an offer; after the session's end in the next one, whose hello may not have listed it yet."""
        self._answers.append(answer)
        self.changed.set()

    def note(self, key: AttemptKey) -> None:
        """The attempt has new events or log bytes."""
        if key in self._feeds:
            self._with_events[key] = self._hungry[key] = None
            self.changed.set()

    def take_messages(self) -> Sequence[WorkerMessage]:
        """Everything but log bytes that may be sent now."""
        messages: list[WorkerMessage] = [*self._answers]
        self._answers.clear()
        for key in self._with_events:
            feed = self._feeds.get(key)
            if feed is not None and feed.is_resumed:
                messages.extend(self._events(feed))
        self._with_events.clear()
        return messages

    def take_chunk(self) -> Chunk | None:
        """The next piece of a log, of one attempt after the other."""
        while self._hungry and self._window is not None:
            key = next(iter(self._hungry))
            del self._hungry[key]
            feed = self._feeds.get(key)
            if feed is None or not feed.is_resumed:
                continue
            piece = self._next_piece(feed, self._window)
            if piece is None:
                continue
            offset, content = piece
            feed.sent_length = offset + len(content)
            self._window.sent(key, feed.sent_length)
            self._hungry[key] = None
            if feed.attempt.is_over:
                self._with_events[key] = None  # These may have been the last bytes that `final` waited for.
            return Chunk(run=key[0], attempt=key[1], offset=offset, content=content)
        return None

    def _is_last_piece_due(self, feed: _Feed) -> bool:
        """Whether the bytes that the final event waits for leave next: then all that is left goes in one frame behind
        them."""
        final = feed.attempt.final()
        if final is None or self._window is None:
            return False
        room = min(CHUNK_BYTES_MAX, self._window.room(feed.attempt.key))
        return 0 < final.log_length - feed.sent_length <= room

    def has_messages(self) -> bool:
        """Whether `take_messages` may give something."""
        return bool(self._answers or self._with_events)

    def _feed_starved(self) -> None:
        """There may be room again, for whomever: the worker's whole window is shared."""
        if self._starved:
            self._hungry.update(self._starved)
            self._starved.clear()
            self.changed.set()

    def _next_piece(self, feed: _Feed, window: LogWindow) -> tuple[int, bytes] | None:
        room = min(window.room(feed.attempt.key), CHUNK_BYTES_MAX)
        if room <= 0:
            self._starved[feed.attempt.key] = None
            return None
        return feed.source.next_piece(room, ended=feed.attempt.is_over)

    def _events(self, feed: _Feed) -> list[Event]:
        if self._is_last_piece_due(feed):
            return []
        events = []
        for kept in feed.attempt.events:
            event = kept.event
            if event.sequence <= feed.sent_sequence:
                continue
            if not kept.is_written:
                break
            if isinstance(event.happening, Final):
                if feed.sent_length < event.happening.log_length:
                    break
                event = _with_digest(event, event.happening, feed.source.digest)
            kept.was_sent = True
            feed.sent_sequence = event.sequence
            events.append(event)
        return events


def _with_digest(event: Event, final: Final, digest: Callable[[int], str]) -> Event:
    # The digest is of the masked bytes, which are only known once they were read for sending: the same each time.
    whole = msgspec.structs.replace(final, log_digest=digest(final.log_length))
    return msgspec.structs.replace(event, happening=whole)
