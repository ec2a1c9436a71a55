"""The nemesis: breaks something again and again while people work, and mends in the end what does not mend itself."""

import asyncio
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.simulation import faults_of_networks as networks
from tests.simulation import faults_of_processes as processes
from tests.simulation import faults_of_storage as storage
from tests.simulation.faults_of_moments import MOMENTS
from tests.simulation.scene import Fault, Scene

if TYPE_CHECKING:
    from tests.simulation.world import World

KINDS: Mapping[str, Fault] = {
    "master killed": processes.kill_master,
    "master stopped": processes.stop_master,
    "master paused": processes.pause_master,
    "agent killed": processes.kill_agent,
    "agent stopped": processes.stop_agent,
    "agent paused": processes.pause_agent,
    "keeper killed": processes.kill_keeper,
    "power failure": processes.cut_power,
    "machine destroyed": processes.destroy_machine,
    "journal lost": processes.lose_journal,
    "link cut": networks.cut_link,
    "link frozen": networks.freeze_link,
    "link lost at one end": networks.lose_link_at_one_end,
    "link delayed": networks.delay_link,
    "link repeated": networks.repeat_link,
    "partition": networks.part_network,
    "network slow": networks.slow_network,
    "database away": storage.stop_database,
    "master without database": storage.cut_master_from_database,
    "database slow": storage.slow_database,
    "outcome unknown": storage.lose_outcome,
    "signals lost": storage.lose_signals,
    "worker disk full": storage.fill_worker_disk,
    "worker disk slow": storage.slow_worker_disk,
    "log disk full": storage.fill_log_disk,
    "clock set": storage.set_clock,
    **MOMENTS,
}
OF_SILENCE = ("link frozen", "link lost at one end", "link delayed", "agent paused", "agent killed", "signals lost")
"""What goes with workers that are cut off for long."""


class Nemesis:
    """Owned by one world. Which kinds of faults a seed has is part of the seed: all at once would hide some."""

    def __init__(self, world: "World", active_seconds: float) -> None:
        self._world = world
        self._chance = random.Random(f"nemesis {world.seed}")
        self._active_seconds = active_seconds
        self._scene = Scene(world=world, chance=self._chance)
        self._kinds = self._chance.sample(list(KINDS), self._chance.randint(2, 7))
        if world.is_about_silence:
            self._kinds = ["partition", "partition", *self._chance.sample(OF_SILENCE, self._chance.randint(0, 2))]

    async def rage(self) -> None:
        """Breaks things until the time is over, then mends all of them."""
        until = self._world.loop.now + self._active_seconds
        mean = self._chance.choice((20.0, 40.0) if self._world.is_about_silence else (2.0, 5.0, 15.0))
        while True:
            wait = self._chance.expovariate(1.0 / mean)
            if self._world.loop.now + wait >= until:
                break
            await asyncio.sleep(wait)
            kind = self._chance.choice(self._kinds)
            if KINDS[kind](self._scene):
                self._world.truth.fault(kind)
        await asyncio.sleep(until - self._world.loop.now)
        self._mend()

    def _mend(self) -> None:
        """What mends itself by a timer is left to that."""
        network = self._world.network
        network.ambush = None
        for worker, master in sorted(network.partitions):
            network.heal(worker, master)
        for client in self._world.server.clients:
            client.trouble.lost_outcomes = 0
        for clock in storage.clocks(self._scene):
            clock.error_seconds = 0.0
