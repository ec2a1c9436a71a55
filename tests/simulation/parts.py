"""The processes of a simulated world: production masters and agents over simulated ports, to be killed at will."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from orchestra.errors import OrchestraError
from orchestra.identifiers import UserId
from orchestra.logs.store import AttemptKey, FileLogStore, LogPiece
from orchestra.sealing import Sealing
from orchestra_master.assemble import build_master
from orchestra_worker.agent import Agent
from orchestra_worker.assemble import put_attempts_aside
from orchestra_worker.attempt_rows import load_attempts
from orchestra_worker.engine import Engine
from orchestra_worker.folders import WorkerFolder
from orchestra_worker.journal import Journal, open_journal
from orchestra_worker.link import Link
from orchestra_worker.log_sync import LogSyncs
from orchestra_worker.outbox import Outbox
from orchestra_worker.rotation import Rotation
from tests.simulation.clock import SimulatedClock
from tests.simulation.database import DatabaseServer, SimulatedDatabase
from tests.simulation.journal import SimulatedJournal
from tests.simulation.keeper_link import SimulatedKeeperLink
from tests.simulation.loop import Life, SimulatedLoop
from tests.simulation.machine import Disk, Machine
from tests.simulation.network import MasterConnection, Network, SimulatedConnector, Wire

T = TypeVar("T")
FREE_BYTES = 1 << 40
LOG_BACKLOG_BYTES = 2000
"""So little of a log waits for its master here, that steps are held back now and then."""
RESTART_SECONDS = 2.0
"""After which a service manager begins anew what has ended in order."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """With what workers are let in."""

    user: UserId
    digest: str


class SharedLogs(FileLogStore):
    """The masters' log folder, which can be full."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_full = False
        self.refusals = 0

    def write(self, pieces: Sequence[LogPiece]) -> Mapping[AttemptKey, int]:
        """Writes, unless the disk is full."""
        if self.is_full and pieces:
            self.refusals += 1
            raise OSError(28, "No space left on device")
        return super().write(pieces)


class MasterProcess:
    """One master that can be killed, stopped and started again."""

    def __init__(
        self,
        *,
        name: str,
        loop: SimulatedLoop,
        network: Network,
        server: DatabaseServer,
        logs: Path,
        sealing: Sealing,
        admission: Pass,
        on_error: Callable[[str], None],
    ) -> None:
        self.name = name
        self.clock = SimulatedClock(loop)
        self.life = Life(name)
        self.life.is_alive = False
        self.database: SimulatedDatabase | None = None
        self.logs: SharedLogs | None = None
        self._stopping: asyncio.Event | None = None
        self._loop = loop
        self._network = network
        self._server = server
        self._folder = logs
        self._sealing = sealing
        self._admission = admission
        self._on_error = on_error

    def start(self) -> None:
        """Begins a new life, if there is none."""
        if not self.life.is_alive:
            self.life = Life(self.name)
            self._loop.in_life(self.life, 0.0, lambda: _begin(self._loop, self._run(), self.life))

    def kill(self) -> None:
        """As by SIGKILL."""
        if self.life.is_alive:
            self.life.kill()
            self._network.forget(self.life)

    def stop(self) -> None:
        """As by SIGTERM."""
        if self.life.is_alive and self._stopping:
            self._loop.in_life(self.life, 0.0, self._stopping.set)

    async def _run(self) -> None:
        life = self.life
        self._stopping = asyncio.Event()
        database = self.database = self._server.client(life)
        logs = self.logs = SharedLogs(self._folder)
        try:
            master = build_master(
                database=database,
                logs=logs,
                secrets=self._sealing,
                clock=self.clock,
                name=self.name,
                run_blocking=_LogQueue(self._server.chance),
            )
            async with master:

                def accept(wire: Wire) -> None:
                    serving = master.listener.serve(
                        MasterConnection(wire.master_end), digest=self._admission.digest, user=self._admission.user
                    )
                    _begin(self._loop, serving, life)

                self._network.listen(self.name, life, accept)
                await self._stopping.wait()
                with contextlib.suppress(OrchestraError):
                    await master.say_bye()
                await asyncio.sleep(0.05)
        except Exception as error:  # noqa: BLE001 - whatever ends a master by itself is a violation
            self._on_error(f"{self.name} ended by itself: {error!r}")
        life.kill()
        self._network.forget(life)
        self._loop.in_world(RESTART_SECONDS, self.start)


class _LogQueue:
    """What blocks on the disk of the logs, one call after the other, with a chance to die before and after each."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._turn = asyncio.Lock()

    async def __call__(self, function: Callable[[], T], /) -> T:
        async with self._turn:
            await asyncio.sleep(0.0001 + 0.002 * self._chance.random())
            value = function()
            await asyncio.sleep(0.0001 + 0.002 * self._chance.random())
            return value


@dataclass(frozen=True, kw_only=True)
class DiskFolder(WorkerFolder):
    """A worker's folder on a simulated disk."""

    disk: Disk

    def free_bytes(self) -> int:
        """Much, or nothing."""
        return 0 if self.disk.is_full else FREE_BYTES


class WorkerProcess:
    """One agent on its machine."""

    def __init__(
        self,
        *,
        machine: Machine,
        loop: SimulatedLoop,
        network: Network,
        masters: Sequence[str],
        slots: int,
        chance: random.Random,
        on_error: Callable[[str], None],
    ) -> None:
        self.machine = machine
        self.name = machine.name
        self.life = Life(self.name)
        self.life.is_alive = False
        self.outbox: Outbox | None = None
        self.lives = 0
        self.is_gone = False
        """For good."""
        self._agent: Agent | None = None
        self._journal: Journal | None = None
        self._loop = loop
        self._network = network
        self._masters = masters
        self.slots = slots
        self._chance = chance
        self._on_error = on_error

    @property
    def holds_something(self) -> bool:
        """Whether anything is not delivered yet, as far as the living agent knows."""
        return self.life.is_alive and (self.outbox is None or bool(self.outbox.held()))

    def start(self) -> None:
        """Begins a new life, if there is none."""
        if not self.life.is_alive and not self.is_gone:
            self.life = Life(self.name)
            self.outbox = None
            self._loop.in_life(self.life, 0.0, lambda: _begin(self._loop, self._run(), self.life))

    def kill(self) -> None:
        """As by SIGKILL."""
        if self.life.is_alive:
            self._end(self.life)

    def stop(self) -> None:
        """As by SIGTERM."""
        if self.life.is_alive and self._agent:
            self._loop.in_life(self.life, 0.0, self._agent.end)

    def crash(self) -> None:
        """The machine loses its power: nobody is told."""
        self._network.vanish(self.life)
        self._end(self.life)
        self.machine.crash()

    async def _run(self) -> None:
        life, machine = self.life, self.machine
        self.lives += 1
        folder = DiskFolder(path=machine.folder, disk=machine.disk)
        try:
            folder.prepare()
            is_missing = not folder.journal.exists() and bool(folder.kept_attempts())
            inner, aside = open_journal(folder.journal, now=machine.clock.now(), threaded=False)
            self._journal = inner
            if aside is not None or is_missing:
                await put_attempts_aside(folder, end_unknown=machine.end_unknown, now=machine.clock.now())
            # Reading needs no room on the disk.
            held = await inner.write(load_attempts)
            journal = SimulatedJournal(inner=inner, disk=machine.disk, loop=self._loop)
            agent = self._agent = self._make_agent(folder, journal)
            await agent.run(held)
        except Exception as error:  # noqa: BLE001 - whatever ends an agent by itself is a violation
            self._on_error(f"{self.name} ended by itself: {error!r}")
        self._end(life)
        self._loop.in_world(RESTART_SECONDS, self.start)

    def _end(self, life: Life) -> None:
        life.kill()
        self._network.forget(life)
        if self._journal is not None:
            # The kernel takes a dead process's locks away.
            self._journal.close()
            self._journal = None

    def _make_agent(self, folder: WorkerFolder, journal: SimulatedJournal) -> Agent:
        machine, life, outbox = self.machine, self.life, Outbox()
        engine = Engine(
            worker=self.name,
            slots=self.slots,
            boot_id=machine.boot_id,
            folder=folder,
            base_environment={"PATH": "/usr/bin:/bin"},
            journal=journal,
            make_keeper=lambda on_report, on_output, on_lost: SimulatedKeeperLink(
                machine=machine, life=life, on_report=on_report, on_output=on_output, on_lost=on_lost
            ),
            log_syncs=LogSyncs(off_the_loop=self._sync),
            outbox=outbox,
            clock=machine.clock,
            log_backlog_bytes_max=LOG_BACKLOG_BYTES,
        )
        link = Link(
            connector=Rotation([SimulatedConnector(self._network, life, master) for master in self._masters]),
            engine=engine,
            outbox=outbox,
            folder=folder,
            clock=machine.clock,
            fraction=self._chance.random,
            worker=self.name,
            instance=f"{self.name}-instance",
            boot_id=machine.boot_id,
            version="simulated",
            properties={"name": self.name},
            slots=self.slots,
            on_welcome=lambda _: self._welcomed(outbox),
        )
        return Agent(engine=engine, link=link)

    def _welcomed(self, outbox: Outbox) -> None:
        self.outbox = outbox

    async def _sync(self, function: Callable[[], None]) -> None:
        await asyncio.sleep(0.001)
        function()
        self.machine.note_synced()


def _begin(loop: SimulatedLoop, coroutine: Coroutine[object, object, None], life: Life) -> None:
    loop.create_task(coroutine, name=life.name, context=life.context)
