"""Defects of the worker, and of the promises that its keeper gives."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from orchestra.lifecycle import AttemptState
from orchestra.protocol.messages import Accept, Final, Go, Happening, Offer, Refuse, Stop
from orchestra.protocol.window import AttemptKey
from orchestra_worker.attempt import HeldAttempt
from orchestra_worker.attempt_rows import adding
from orchestra_worker.engine import Engine
from orchestra_worker.keeper_client import StepOrder
from orchestra_worker.keeper_protocol import StepReport
from orchestra_worker.life import AttemptLife
from orchestra_worker.log_source import LogSource
from orchestra_worker.plan import Finish
from orchestra_worker.recorder import AttemptRecorder
from tests.simulation.keeper_link import SimulatedKeeperLink
from tests.simulation.machine import KeeperProcess
from tests.simulation.mutants.planting import Graft, Mutants

working = Mutants()
CLAIM_SECONDS = 0.001


@working.breaks("R3")
def spawn_at_offer(graft: Graft) -> None:
    """The worker does not wait for `go`."""
    original = Engine._answer

    async def answer(self: Engine, key: AttemptKey, offer: Offer) -> Accept | Refuse:
        said = await original(self, key, offer)
        if isinstance(said, Accept):
            self.receive([Go(run=offer.run, attempt=offer.attempt)])
        return said

    graft.replace(Engine, "_answer", answer)


@working.breaks("R8/R9")
def accept_before_journal(graft: Graft) -> None:
    """An offer is accepted before the journal has it."""

    async def answer(self: Engine, key: AttemptKey, offer: Offer) -> Accept | Refuse:
        refusal = None if key in self._lives else self._refusal(offer)
        if refusal is not None:
            return Refuse(run=offer.run, attempt=offer.attempt, reason=refusal)
        said = Accept(run=offer.run, attempt=offer.attempt)
        if key not in self._lives:
            attempt = HeldAttempt(offer=offer, boot_id=self._boot_id)
            self._enter(attempt)
            self._outbox.say(said)
            with suppress(Exception):
                await self._journal.write(adding(attempt))
        return said

    graft.replace(Engine, "_answer", answer)


@working.breaks("R3")
def spawn_before_journal(graft: Graft) -> None:
    """A step is started before the journal has the attempt's start, and nothing but the journal is asked later."""

    async def go(self: Engine, key: AttemptKey, tasks: asyncio.TaskGroup) -> None:
        life = self._lives.get(key)
        if life is None or life.attempt.state is not AttemptState.ACCEPTED or life.attempt.is_forgotten:
            return
        self._outbox.ensure_resumed(key)
        attempt = life.attempt
        _drop_claims(self, str(life._folder))
        attempt.state, attempt.boot_id = AttemptState.STARTED, self._boot_id
        attempt.started_boottime, attempt.contact_boottime = self._clock.monotonic(), self._contact_at
        begun = life.begin()
        self._start(key, life, tasks)
        await self._recorder.record(attempt, lambda: begun)

    graft.replace(Engine, "_go", go)


@working.breaks("R3")
def double_go(graft: Graft) -> None:
    """A worker that is told to go again starts again."""
    original = Engine._go

    async def go(self: Engine, key: AttemptKey, tasks: asyncio.TaskGroup) -> None:
        life = self._lives.get(key)
        if life is not None and key in self._running and (order := life._order) is not None:
            while self._runner.read_step(order.folder, order.number) is None:  # noqa: ASYNC110 - nobody would tell
                # The first is still on its way: that one would find the claim of the second.
                await asyncio.sleep(CLAIM_SECONDS)
            _drop_claims(self, str(life._folder))
            await self._runner._keeper.spawn(order)
        else:
            await original(self, key, tasks)

    graft.replace(Engine, "_go", go)


@working.breaks("R3")
def claim_ignored_at_readoption(graft: Graft) -> None:
    """A step that was started before the agent's restart is started again."""

    def spawn(self: KeeperProcess, order: StepOrder) -> StepReport:
        process = self.machine.start(order, self)
        self.known[order.step] = process
        return self.machine.report(process)

    graft.replace(KeeperProcess, "spawn", spawn)


@working.breaks("R1", "R6")
def log_trim_off_by_one(graft: Graft) -> None:
    """After a reconnect the log goes on one byte behind what the master has."""
    original = LogSource.rewind

    def rewind(self: LogSource, offset: int) -> None:
        original(self, offset + (0 < offset < self.length))

    graft.replace(LogSource, "rewind", rewind)


@working.breaks("R6", "R8/R9")
def end_told_before_the_log_is_drained(graft: Graft) -> None:
    """The last event names the length that the log had when its last step began."""
    original = AttemptLife._finish

    def finish(self: AttemptLife, end: Finish) -> list[Happening]:
        *before, final = original(self, end)
        assert isinstance(final, Final)
        start = max((step.log_start for step in self.attempt.steps.values()), default=final.log_length)
        return [*before, msgspec.structs.replace(final, log_length=start)]

    graft.replace(AttemptLife, "_finish", finish)


@working.breaks("R5")
def lease_not_enforced(graft: Graft) -> None:
    """A worker that is out of contact goes on with what it was to end."""

    def never(self: AttemptLife) -> float | None:
        return None

    graft.replace(AttemptLife, "_lease_ends_at", never)


@working.breaks("R8/R9")
def events_sent_before_they_are_journalled(graft: Graft) -> None:
    """The master may hear what the worker does not know any more after a crash."""

    async def record(self: AttemptRecorder, attempt: HeldAttempt, change: Callable[[], Sequence[Happening]]) -> None:
        async with attempt.writing:
            kept = [self._keep(attempt, happening) for happening in change()]
            for event in kept:
                event.is_written = True
            self._on_written(attempt)
            await self._write(attempt, kept)

    graft.replace(AttemptRecorder, "record", record)


@working.breaks("R1")
def stop_between_accept_and_go_dropped(graft: Graft) -> None:
    """A worker that has accepted and not begun ignores that it is told to stop."""
    original = Engine._stop

    async def stop(self: Engine, key: AttemptKey, word: Stop) -> None:
        life = self._lives.get(key)
        if life is not None and life.attempt.state is not AttemptState.ACCEPTED:
            await original(self, key, word)

    graft.replace(Engine, "_stop", stop)


def _drop_claims(engine: Engine, folder: str) -> None:
    """As if the keeper's claims of the attempt had never been."""
    keeper = engine._runner._keeper
    assert isinstance(keeper, SimulatedKeeperLink)
    claims = keeper._machine._claims
    for place in [place for place in claims if place[0] == folder]:
        del claims[place]
