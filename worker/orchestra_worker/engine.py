"""All attempts of one worker: takes offers, starts, stops and forgets them, and takes them up again after a restart."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence

from orchestra.clock import Clock
from orchestra.errors import BadName
from orchestra.identifiers import AttemptNumber, RunId, checked_name
from orchestra.lifecycle import AttemptState
from orchestra.limits import (
    CHECK_IN_SECONDS_MIN,
    JOURNAL_RETRY_SECONDS,
    LOG_BACKLOG_BYTES_MAX,
    WORKER_DISK_RESERVE_BYTES,
)
from orchestra.protocol.messages import Accept, Forget, Go, Happening, MasterMessage, Offer, Refuse, Stop
from orchestra.protocol.window import AttemptKey
from orchestra_worker.attempt import HeldAttempt
from orchestra_worker.attempt_rows import adding, deleting
from orchestra_worker.back_pressure import BackPressure
from orchestra_worker.check_in import HintSocket
from orchestra_worker.folders import WorkerFolder
from orchestra_worker.journal import Journal, JournalBroken
from orchestra_worker.keeper_client import StepReport
from orchestra_worker.life import AttemptLife, LifeParts
from orchestra_worker.log_source import LogSource
from orchestra_worker.log_sync import LogSyncs
from orchestra_worker.masking import Masker
from orchestra_worker.outbox import Outbox
from orchestra_worker.plan import Finish, PlanFacts, next_action
from orchestra_worker.recorder import AttemptRecorder
from orchestra_worker.step_runner import MakeKeeper, StepRunner

log = logging.getLogger(__name__)

_ORPHAN = "forgotten"

AttemptWord = Offer | Go | Stop | Forget


class Engine:
    """Gives every message its effect. `receive` never blocks; `run` is the one task that does the work."""

    def __init__(
        self,
        *,
        worker: str,
        slots: int,
        boot_id: str,
        folder: WorkerFolder,
        base_environment: dict[str, str],
        journal: Journal,
        make_keeper: MakeKeeper,
        log_syncs: LogSyncs,
        outbox: Outbox,
        clock: Clock,
        log_backlog_bytes_max: int = LOG_BACKLOG_BYTES_MAX,
    ) -> None:
        self._slots = slots
        self._boot_id = boot_id
        self._folder = folder
        self._journal = journal
        self._log_syncs = log_syncs
        self._outbox = outbox
        self._clock = clock
        self._recorder = AttemptRecorder(journal=journal, clock=clock, on_written=lambda each: self._moved(each.key))
        self._runner = StepRunner(make_keeper=make_keeper, on_output=self._log_grew)
        self._pressure = BackPressure(hold=self._runner.hold, clock=clock, backlog_bytes_max=log_backlog_bytes_max)
        self._parts = LifeParts(
            worker=worker,
            boot_id=boot_id,
            folder=folder,
            base_environment=base_environment,
            runner=self._runner,
            recorder=self._recorder,
            clock=clock,
        )
        self._hints = HintSocket(path=folder.socket, on_hint=self._hinted)
        self._lives: dict[AttemptKey, AttemptLife] = {}
        self._running: dict[AttemptKey, asyncio.Task[None]] = {}
        self._turns: dict[AttemptKey, asyncio.Lock] = {}
        self._inbox: list[AttemptWord] = []
        self._arrived = asyncio.Event()
        self._checked_in: set[str] = set()
        self._check_in_hinted = asyncio.Event()
        self._contact_at: float | None = None
        self._contact_moved = asyncio.Event()
        self.takes_offers = True
        """False while the worker is draining, disabled or quarantined."""

    # --- from the link, never blocking ---

    def receive(self, messages: Sequence[MasterMessage]) -> None:
        """Takes in what concerns attempts; it is worked off in natural batches."""
        self._inbox.extend(message for message in messages if isinstance(message, AttemptWord))
        self._arrived.set()

    def note_contact(self, sent_at: float) -> None:
        """The master has answered something that was sent then (`Clock.monotonic`): leases count from it."""
        if self._contact_at is None or sent_at > self._contact_at:
            self._contact_at = sent_at
            self._contact_moved.set()

    def begin_session(self) -> None:
        """The master takes what the worker has, from now on."""
        self._pressure.begin_session()

    def note_stored(self, key: AttemptKey) -> None:
        """The master has stored more of the attempt."""
        self._look_at_backlog(key)

    def end_session(self) -> None:
        """The master is gone: nobody waits for it."""
        self._pressure.end_session()

    def look_at_check_ins(self) -> None:
        """The safety net below the hints, at each heartbeat."""
        self._checked_in.update(life.attempt.name for key, life in self._lives.items() if key in self._running)
        self._check_in_hinted.set()

    # --- the duty ---

    async def run(self, held: Sequence[HeldAttempt], *, on_ready: Callable[[], None]) -> None:
        """Takes up what the journal knows, calls `on_ready`, then serves until it is cancelled; the steps go on."""
        self._hints.open()
        try:
            reports = await self._runner.start()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._runner.run_forever(), name="keeper watch")
                await self._take_up(held, reports, tasks)
                tasks.create_task(self._serve_check_ins(), name="check-ins")
                tasks.create_task(self._serve_leases(), name="leases")
                tasks.create_task(self._log_syncs.run(), name="log syncs")
                on_ready()
                await self._serve_inbox(tasks)
        finally:
            self._hints.close()
            await self._runner.close()

    async def _take_up(
        self, held: Sequence[HeldAttempt], reports: Sequence[StepReport], tasks: asyncio.TaskGroup
    ) -> None:
        for attempt in held:
            source = self._enter(attempt)
            attempt.admit_loss(source.length)
        unknown = [key for key in self._folder.kept_attempts() if key not in self._lives]
        await self._runner.end_unknown([self._folder.attempt(key) for key in unknown])
        for key in unknown:
            self._folder.remove_attempt(key)
        live = {life.attempt.name for life in self._lives.values() if not life.attempt.is_over}
        for report in reports:
            if report.step.rpartition("-")[0] in live:
                continue
            if report.state == "running":
                log.error("step_unknown: %s is not in the journal, it is ended", report.step)
                await self._runner.stop(report.step, reason=_ORPHAN, grace_seconds=0)
            else:
                await self._runner.forget(report.step)
        for key, life in self._lives.items():
            if life.attempt.state is AttemptState.STARTED:
                self._start(key, life, tasks)

    async def _serve_inbox(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            gathered, self._inbox = self._inbox, []
            by_attempt: dict[AttemptKey, list[AttemptWord]] = {}
            for message in gathered:
                by_attempt.setdefault((message.run, message.attempt), []).append(message)
            # At the same time, so that they share a commit and none waits for another's; about one attempt in their
            # order.
            for key, words in by_attempt.items():
                turn = self._turns.setdefault(key, asyncio.Lock())
                tasks.create_task(self._obey(key, words, turn, tasks), name=f"words on {key[0]}-{key[1]}")

    async def _obey(
        self, key: AttemptKey, words: Sequence[AttemptWord], turn: asyncio.Lock, tasks: asyncio.TaskGroup
    ) -> None:
        async with turn:
            for word in words:
                match word:
                    case Offer():
                        self._outbox.say(await self._answer(key, word))
                    case Go():
                        await self._go(key, tasks)
                    case Stop():
                        await self._stop(key, word)
                    case Forget():
                        await self._forget(key)
        if key not in self._lives:
            self._turns.pop(key, None)

    # --- the words ---

    async def _answer(self, key: AttemptKey, offer: Offer) -> Accept | Refuse:
        if key in self._lives:
            return Accept(run=offer.run, attempt=offer.attempt)
        refusal = self._refusal(offer)
        if refusal is not None:
            return Refuse(run=offer.run, attempt=offer.attempt, reason=refusal)
        attempt = HeldAttempt(offer=offer, boot_id=self._boot_id, is_journalled=False)
        # Entered before it is written, so that offers that wait for the same commit see its slots.
        self._enter(attempt)
        try:
            await self._journal.write(adding(attempt))
        except sqlite3.Error as error:
            self._leave(key)
            return Refuse(run=offer.run, attempt=offer.attempt, reason=f"cannot write its journal: {error}")
        attempt.is_journalled = True
        return Accept(run=offer.run, attempt=offer.attempt)

    def _refusal(self, offer: Offer) -> str | None:
        if not self.takes_offers:
            return "takes no new runs: it is draining"
        try:
            # They become a path, and slots below 1 would make room without end: whoever speaks for the master.
            checked_name("project", offer.project)
            checked_name("job", offer.job)
        except BadName as error:
            return str(error)
        if offer.slots < 1:
            return f"no run takes {offer.slots} slots"
        taken = sum(life.attempt.offer.slots for life in self._lives.values() if not life.attempt.is_over)
        # As many again may wait for `go`: the master says it when a slot is free.
        if taken + offer.slots > 2 * self._slots:
            return f"no room: {taken} slots are taken or waited for, it has {self._slots}, {offer.slots} are asked for"
        free = self._folder.free_bytes()
        if free < WORKER_DISK_RESERVE_BYTES:
            return f"disk nearly full: {free >> 20} MiB free, {WORKER_DISK_RESERVE_BYTES >> 20} MiB are kept in reserve"
        return None

    async def _go(self, key: AttemptKey, tasks: asyncio.TaskGroup) -> None:
        life = self._lives.get(key)
        if life is None:
            return
        self._outbox.ensure_resumed(key)
        attempt = life.attempt
        if attempt.state is not AttemptState.ACCEPTED or attempt.is_forgotten:
            return

        def start() -> list[Happening]:
            attempt.state = AttemptState.STARTED
            attempt.boot_id = self._boot_id
            attempt.started_boottime = self._clock.monotonic()
            # The master spoke just now, but only an answer to something of ours says since when it can count.
            attempt.contact_boottime = self._contact_at
            return life.begin()

        await self._recorder.record(attempt, start)
        self._start(key, life, tasks)

    async def _stop(self, key: AttemptKey, word: Stop) -> None:
        life = self._lives.get(key)
        if life is None or life.attempt.is_over:
            return
        attempt = life.attempt
        was_accepted = attempt.state is AttemptState.ACCEPTED

        def ask() -> list[Happening]:
            if attempt.stop_reason is None or word.grace_seconds is not None:
                attempt.stop_reason = attempt.stop_reason or word.reason or "no reason given"
                attempt.stop_grace = word.grace_seconds
            return []

        await self._recorder.record(attempt, ask)
        if was_accepted:
            # It has not begun: its life consists of its end.
            self._outbox.ensure_resumed(key)
            end = next_action(PlanFacts(execution=attempt.offer.execution, stop=attempt.stop_reason))
            assert isinstance(end, Finish)
            await life.finish(end)
        else:
            await life.stop()

    async def _forget(self, key: AttemptKey) -> None:
        life = self._lives.get(key)
        if life is None:
            return
        life.attempt.is_forgotten = True
        if key in self._running:
            await life.forget()
        else:
            await self._delete(key)

    async def _delete(self, key: AttemptKey) -> None:
        has_secrets = bool(self._lives[key].attempt.offer.secrets)
        while True:
            try:
                await self._journal.write(deleting(key), scrub=has_secrets)
                break
            except sqlite3.OperationalError as error:
                log.error("journal_not_written: run #%d is not deleted yet, because %s", key[0], error)
                # Its log may be what fills the disk.
                self._folder.remove_attempt(key)
                await asyncio.sleep(JOURNAL_RETRY_SECONDS)
        # Rows first: a folder without rows is removed at the next start, rows without a folder would be reported as
        # held.
        self._leave(key)
        self._folder.remove_attempt(key)

    # --- lives ---

    def _enter(self, attempt: HeldAttempt) -> LogSource:
        masker = Masker(tuple(attempt.offer.secrets.values()))
        source = LogSource(self._folder.attempt(attempt.key), masker)
        self._lives[attempt.key] = AttemptLife(attempt=attempt, masker=masker, source=source, parts=self._parts)
        self._outbox.add(attempt, source)
        # It may have grown while no agent was there.
        self._log_syncs.note(source.path)
        return source

    def _leave(self, key: AttemptKey) -> None:
        life = self._lives.pop(key, None)
        if life is not None:
            life.close()
            self._log_syncs.drop(life.log_path)
        self._turns.pop(key, None)
        self._pressure.drop(key)
        self._outbox.remove(key)

    def _start(self, key: AttemptKey, life: AttemptLife, tasks: asyncio.TaskGroup) -> None:
        self._running[key] = tasks.create_task(self._live(key, life), name=f"attempt {life.attempt.name}")

    async def _live(self, key: AttemptKey, life: AttemptLife) -> None:
        try:
            await life.live()
        except JournalBroken:
            raise  # The whole agent starts again.
        except Exception as error:
            log.exception("attempt_broke run=%d", key[0])
            await life.finish_broken(error)
        finally:
            del self._running[key]
        if life.attempt.is_forgotten:
            await self._delete(key)

    # --- hints ---

    def _log_grew(self, step: str) -> None:
        run, attempt, _ = step.split("-")
        key = (RunId(int(run)), AttemptNumber(int(attempt)))
        self._moved(key)
        self._look_at_backlog(key)

    def _moved(self, key: AttemptKey) -> None:
        self._outbox.note(key)
        life = self._lives.get(key)
        if life is not None:
            self._log_syncs.note(life.log_path)

    def _look_at_backlog(self, key: AttemptKey) -> None:
        life = self._lives.get(key)
        if life is not None:
            life.look_at_backlog(self._pressure)

    def _hinted(self, name: str) -> None:
        self._checked_in.add(name)
        self._check_in_hinted.set()

    async def _serve_check_ins(self) -> None:
        while True:
            await self._check_in_hinted.wait()
            self._check_in_hinted.clear()
            names, self._checked_in = self._checked_in, set()
            lives = [life for key, life in self._lives.items() if key in self._running and life.attempt.name in names]
            await asyncio.gather(*(life.take_check_ins() for life in lives))
            await asyncio.sleep(CHECK_IN_SECONDS_MIN)

    async def _serve_leases(self) -> None:
        while True:
            await self._contact_moved.wait()
            self._contact_moved.clear()
            pushed: list[Awaitable[None]] = []
            for key, life in self._lives.items():
                if key in self._running and life.attempt.offer.execution.disconnect_stop_seconds is not None:
                    life.attempt.contact_boottime = self._contact_at
                    pushed.append(life.extend_lease())
            await asyncio.gather(*pushed)
