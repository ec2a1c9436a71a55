"""The nemesis: breaks something again and again while people work, and mends everything in the end."""

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.clock import SimulatedClock

if TYPE_CHECKING:
    from tests.simulation.database import SimulatedDatabase
    from tests.simulation.world import World

PAUSES_SECONDS = (0.3, 3.0, 20.0, 40.0)


class Nemesis:
    """Owned by one world. Which kinds of faults a seed has is part of the seed: all at once would hide some."""

    def __init__(self, world: "World", active_seconds: float) -> None:
        self._world = world
        self._chance = random.Random(f"nemesis {world.seed}")
        self._active_seconds = active_seconds
        kinds = list(self._kinds())
        self._chosen = self._chance.sample(kinds, self._chance.randint(2, 7))

    async def rage(self) -> None:
        """Breaks things until the time is over, then mends all of them."""
        until = self._world.loop.now + self._active_seconds
        mean = self._chance.choice((2.0, 5.0, 15.0))
        while True:
            wait = self._chance.expovariate(1.0 / mean)
            if self._world.loop.now + wait >= until:
                break
            await asyncio.sleep(wait)
            self._world.look()
            self._kinds()[self._chance.choice(self._chosen)]()
        await asyncio.sleep(until - self._world.loop.now)
        self._mend()

    def _kinds(self) -> dict[str, Callable[[], None]]:
        return {
            "master killed": self._kill_master,
            "master stopped": self._stop_master,
            "master paused": self._pause_master,
            "agent killed": self._kill_agent,
            "agent stopped": self._stop_agent,
            "agent paused": self._pause_agent,
            "keeper killed": self._kill_keeper,
            "power failure": self._crash_machine,
            "machine gone for good": self._lose_machine,
            "journal lost": self._lose_journal,
            "link cut": self._cut,
            "link frozen": self._freeze,
            "link delayed": self._freeze_and_thaw,
            "partition": self._part,
            "network slow": self._lag,
            "database away": self._database_away,
            "master without database": self._database_away_for_one,
            "database slow": self._database_slow,
            "outcome unknown": self._lose_outcome,
            "signals lost": self._lose_signals,
            "worker disk full": self._fill_worker_disk,
            "worker disk slow": self._slow_worker_disk,
            "log disk full": self._fill_log_disk,
            "clock jump": self._jump,
        }

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._world.loop.in_world(seconds, action)

    def _fault(self, kind: str) -> None:
        self._world.truth.fault(kind)

    # --- processes ---

    def _kill_master(self) -> None:
        master = self._chance.choice(self._world.masters)
        if master.life.is_alive:
            self._fault("master killed")
            master.kill()
            self._later(self._chance.choice((0.2, 2.0, 20.0)), master.start)

    def _stop_master(self) -> None:
        master = self._chance.choice(self._world.masters)
        if master.life.is_alive:
            self._fault("master stopped")
            master.stop()
            self._later(self._chance.choice((1.0, 10.0)), master.start)

    def _pause_master(self) -> None:
        life = self._chance.choice(self._world.masters).life
        if life.is_alive:
            self._fault("master paused")
            life.is_paused = True
            self._later(self._chance.choice(PAUSES_SECONDS), lambda: self._world.loop.resume(life))

    def _kill_agent(self) -> None:
        worker = self._chance.choice(self._world.workers)
        if worker.life.is_alive:
            self._fault("agent killed")
            worker.kill()
            self._later(self._chance.choice((0.2, 2.0, 30.0)), worker.start)

    def _stop_agent(self) -> None:
        worker = self._chance.choice(self._world.workers)
        if worker.life.is_alive:
            self._fault("agent stopped")
            worker.stop()
            self._later(self._chance.choice((3.0, 20.0)), worker.start)

    def _pause_agent(self) -> None:
        life = self._chance.choice(self._world.workers).life
        if life.is_alive:
            self._fault("agent paused")
            life.is_paused = True
            self._later(self._chance.choice(PAUSES_SECONDS), lambda: self._world.loop.resume(life))

    def _kill_keeper(self) -> None:
        worker = self._chance.choice(self._world.workers)
        if worker.machine.keeper is not None:
            self._fault("keeper killed")
            worker.machine.lose_keeper()

    def _crash_machine(self) -> None:
        worker = self._chance.choice(self._world.workers)
        if worker.life.is_alive:
            self._fault("power failure")
            worker.crash()
            self._later(self._chance.choice((1.0, 20.0)), worker.start)

    def _lose_machine(self) -> None:
        """At most one, and never the only one that is wide enough for every job."""
        worker = self._world.workers[-1]
        if len(self._world.workers) > 1 and not worker.is_gone:
            self._fault("machine gone for good")
            worker.is_gone = True
            worker.crash()

    def _lose_journal(self) -> None:
        worker = self._chance.choice(self._world.workers)
        if not worker.life.is_alive:
            return
        self._fault("journal lost")
        worker.kill()
        worker.machine.lose_journal()
        self._later(1.0, worker.start)

    # --- networks ---

    def _cut(self) -> None:
        wires = [wire for wire in self._world.network.wires if not wire.is_over]
        if wires:
            self._fault("link cut")
            self._chance.choice(wires).cut()

    def _freeze(self) -> None:
        wires = [wire for wire in self._world.network.wires if not wire.is_over and not wire.is_frozen]
        if wires:
            self._fault("link frozen")
            self._chance.choice(wires).freeze()

    def _freeze_and_thaw(self) -> None:
        wires = [wire for wire in self._world.network.wires if not wire.is_over and not wire.is_frozen]
        if wires:
            self._fault("link delayed")
            wire = self._chance.choice(wires)
            wire.freeze()
            self._later(self._chance.choice((1.0, 8.0, 12.0, 14.0, 30.0)), wire.thaw)

    def _part(self) -> None:
        worker = self._chance.choice(self._world.workers).name
        masters = [master.name for master in self._world.masters]
        parted = masters if self._chance.random() < 0.6 else [self._chance.choice(masters)]
        self._fault("partition")
        for master in parted:
            self._world.network.part(worker, master)
        seconds = self._chance.choice((3.0, 20.0, 50.0))

        def heal() -> None:
            for master in parted:
                self._world.network.heal(worker, master)

        self._later(seconds, heal)

    def _lag(self) -> None:
        self._fault("network slow")
        self._world.network.lag_seconds = self._chance.choice((0.2, 2.0, 5.0))
        self._later(10.0, self._end_lag)

    def _end_lag(self) -> None:
        self._world.network.lag_seconds = 0.0

    # --- the database ---

    def _database_away(self) -> None:
        self._trouble(list(self._world.server.clients), self._chance.choice((0.5, 5.0, 30.0)))
        self._fault("database away")

    def _database_away_for_one(self) -> None:
        database = self._chance.choice(self._world.masters).database
        if database is not None:
            self._fault("master without database")
            self._trouble([database], self._chance.choice((5.0, 30.0)))

    def _trouble(self, clients: "list[SimulatedDatabase]", seconds: float) -> None:
        for client in clients:
            client.trouble.is_away = True

        def mend() -> None:
            for client in clients:
                client.trouble.is_away = False

        self._later(seconds, mend)

    def _database_slow(self) -> None:
        self._fault("database slow")
        clients = list(self._world.server.clients)
        slow = self._chance.choice((0.1, 1.0, 4.0))
        for client in clients:
            client.trouble.slow_seconds = slow

        def mend() -> None:
            for client in clients:
                client.trouble.slow_seconds = 0.0

        self._later(10.0, mend)

    def _lose_outcome(self) -> None:
        for client in self._world.server.clients:
            if self._chance.random() < 0.5:
                self._fault("outcome unknown")
                client.trouble.lost_outcomes += 1

    def _lose_signals(self) -> None:
        self._fault("signals lost")
        clients = list(self._world.server.clients)
        for client in clients:
            client.trouble.drops_signals = True

        def mend() -> None:
            for client in clients:
                client.trouble.drops_signals = False

        self._later(20.0, mend)

    # --- disks and clocks ---

    def _fill_worker_disk(self) -> None:
        self._fault("worker disk full")
        disk = self._chance.choice(self._world.workers).machine.disk
        disk.is_full = True

        def mend() -> None:
            disk.is_full = False

        self._later(self._chance.choice((1.0, 15.0)), mend)

    def _slow_worker_disk(self) -> None:
        self._fault("worker disk slow")
        disk = self._chance.choice(self._world.workers).machine.disk
        disk.slow_seconds = self._chance.choice((0.1, 3.0))

        def mend() -> None:
            disk.slow_seconds = 0.0

        self._later(15.0, mend)

    def _fill_log_disk(self) -> None:
        logs = self._chance.choice(self._world.masters).logs
        if logs is None:
            return
        self._fault("log disk full")
        logs.is_full = True

        def mend() -> None:
            logs.is_full = False

        self._later(self._chance.choice((1.0, 15.0)), mend)

    def _jump(self) -> None:
        self._fault("clock jump")
        self._chance.choice(self._clocks()).error_seconds = self._chance.choice((-3600.0, -5.0, 0.0, 5.0, 3600.0))

    def _clocks(self) -> list[SimulatedClock]:
        masters = [master.clock for master in self._world.masters]
        return [*masters, *(worker.machine.clock for worker in self._world.workers)]

    # --- the end ---

    def _mend(self) -> None:
        """What mends itself by a timer is left to that; the rest is mended now."""
        network = self._world.network
        for worker, master in sorted(network.partitions):
            network.heal(worker, master)
        for client in self._world.server.clients:
            client.trouble.lost_outcomes = 0
        self._world.start_all()
        for clock in self._clocks():
            clock.error_seconds = 0.0
