"""The worker's end of a conversation without a loop, a process or a socket: production session, outbox and log sources,
and beside them an engine and a journal that do as they are told."""

from collections.abc import Sequence
from pathlib import Path

from orchestra.clock import Instant
from orchestra.lifecycle import AttemptState
from orchestra.protocol.codec import Frame, encode_chunk
from orchestra.protocol.messages import (
    Accept,
    Acknowledge,
    CheckIn,
    Final,
    Forget,
    Go,
    Happening,
    MasterMessage,
    Offer,
    Resume,
    Started,
    Stop,
    Welcome,
)
from orchestra.protocol.session import WorkerSession
from orchestra.protocol.window import AttemptKey, LogWindow
from orchestra_worker.attempt import HeldAttempt
from orchestra_worker.log_source import LogSource
from orchestra_worker.masking import Masker
from orchestra_worker.outbox import Outbox
from tests.support.worker_end import hello

NOW = Instant(1)
SECRET = "hunter-twelve"


class WorkerSide:
    """A worker that executes what it is given; it survives its connections, and its files survive it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outbox = Outbox()
        self.attempts: dict[AttemptKey, HeldAttempt] = {}
        self.outputs: dict[AttemptKey, bytes] = {}
        """What the processes have really printed; never forgotten."""
        self.outcomes: dict[AttemptKey, AttemptState] = {}
        """How they have really ended."""
        self.events_made: dict[AttemptKey, int] = {}
        self.spawned: list[AttemptKey] = []
        self.sessions = 0
        self._sources: list[LogSource] = []

    def close(self) -> None:
        """Lets go of the files."""
        for source in self._sources:
            source.close()

    # --- the machine ---

    def restart_agent(self) -> None:
        """What the journal does not have is gone: the processes go on, and a new agent takes them up."""
        self.close()
        self._sources.clear()
        self.outbox = Outbox()
        kept = list(self.attempts.values())
        self.attempts.clear()
        for old in kept:
            new = HeldAttempt(offer=old.offer, boot_id=old.boot_id, state=AttemptState.ACCEPTED)
            written = [event for event in old.events if event.is_written]
            new.sequence = old.sequence - (len(old.events) - len(written))
            new.events.extend(written)
            for event in written:
                event.was_sent = False
            if old.key in self.spawned:
                new.state = AttemptState.STARTED
            if old.is_over and len(written) == len(old.events):
                new.state = old.state
            self._enter(new)

    def print(self, key: AttemptKey, output: bytes) -> None:
        """The process prints."""
        if key in self.attempts and self.attempts[key].state is AttemptState.STARTED:
            with (self._place(key) / "log").open("ab") as file:
                file.write(output)
            self.outputs[key] = self.outputs.get(key, b"") + output
            self.outbox.note(key)

    def tell(self, key: AttemptKey, happening: Happening) -> None:
        """Something has happened to a running attempt; it is told once the journal has it."""
        attempt = self.attempts.get(key)
        if attempt is not None and attempt.state is AttemptState.STARTED and key in self.spawned:
            attempt.add_event(happening, NOW)

    def end(self, key: AttemptKey, outcome: AttemptState) -> None:
        """The process has ended."""
        attempt = self.attempts.get(key)
        if attempt is not None and attempt.state is AttemptState.STARTED and key in self.spawned:
            self._finish(attempt, outcome)

    def write_journal(self) -> None:
        """One commit of the journal: what waits for it may happen now."""
        for attempt in self.attempts.values():
            for kept in attempt.events:
                if not kept.is_written and isinstance(kept.event.happening, Started):
                    self.spawned.append(attempt.key)
                kept.is_written = True
            self.events_made[attempt.key] = attempt.sequence
            if attempt.is_over:
                self.outcomes[attempt.key] = attempt.state
            self.outbox.note(attempt.key)

    # --- the conversation ---

    def open_session(self) -> WorkerSession:
        """Says hello on a new connection."""
        self.outbox.end_session()
        self.sessions += 1
        return WorkerSession(hello=hello(held=self.outbox.held(), slots=8, connection=self.sessions), now=0)

    def frames(self, session: WorkerSession) -> list[Frame]:
        """What leaves next: all control frames, or one chunk."""
        for message in self.outbox.take_messages():
            session.send(message)
        if session.wants_to_send:
            return session.take_frames()
        chunk = self.outbox.take_chunk()
        return [] if chunk is None else [encode_chunk(chunk)]

    def take(self, messages: Sequence[MasterMessage]) -> None:
        """Gives every word its effect, as the link and the engine do."""
        for message in messages:
            match message:
                case Welcome():
                    window = LogWindow(run_bytes=message.run_window_bytes, worker_bytes=message.worker_window_bytes)
                    self.outbox.start_session(window)
                case Resume(run=run, attempt=attempt, sequence=sequence, log_length=length):
                    self.outbox.resume((run, attempt), sequence=sequence, log_length=length)
                case Acknowledge(run=run, attempt=attempt, sequence=sequence, log_length=length):
                    self.outbox.acknowledge((run, attempt), sequence=sequence, log_length=length)
                case Offer():
                    if (message.run, message.attempt) not in self.attempts:
                        self._enter(HeldAttempt(offer=message, boot_id="b"))
                    self.outbox.say(Accept(run=message.run, attempt=message.attempt))
                case Go(run=run, attempt=attempt):
                    self._go((run, attempt))
                case Stop(run=run, attempt=attempt):
                    self._stop((run, attempt))
                case Forget(run=run, attempt=attempt):
                    self.attempts.pop((run, attempt), None)
                    self.outbox.remove((run, attempt))
                case _:
                    raise AssertionError(message)

    def _go(self, key: AttemptKey) -> None:
        attempt = self.attempts.get(key)
        if attempt is None:
            return
        self.outbox.ensure_resumed(key)
        if attempt.state is AttemptState.ACCEPTED:
            attempt.state = AttemptState.STARTED
            attempt.add_event(Started(), NOW)

    def _stop(self, key: AttemptKey) -> None:
        attempt = self.attempts.get(key)
        if attempt is None or attempt.is_over:
            return
        if attempt.state is AttemptState.ACCEPTED:
            self.outbox.ensure_resumed(key)
            self._finish(attempt, AttemptState.ABORTED)
        else:
            self.end(key, AttemptState.ABORTED)

    def _finish(self, attempt: HeldAttempt, outcome: AttemptState) -> None:
        attempt.state = outcome
        final = Final(
            outcome=outcome,
            exit_code=None if outcome is AttemptState.ABORTED else 0 if outcome is AttemptState.SUCCEEDED else 3,
            reason="" if outcome is AttemptState.SUCCEEDED else "for a reason",
            cause="exit:3" if outcome is AttemptState.FAILED else None,
            log_length=len(self.outputs.get(attempt.key, b"")),
            log_digest="",
        )
        attempt.add_event(final, NOW)

    def _enter(self, attempt: HeldAttempt) -> None:
        self._place(attempt.key).mkdir(exist_ok=True)
        source = LogSource(self._place(attempt.key), Masker([SECRET]))
        self._sources.append(source)
        self.attempts[attempt.key] = attempt
        self.outbox.add(attempt, source)
        self.outbox.note(attempt.key)

    def _place(self, key: AttemptKey) -> Path:
        return self.folder / f"{key[0]}-{key[1]}"


def check_in(text: str) -> CheckIn:
    """The job says how far it is."""
    return CheckIn(progress=None, text=text)
