"""What a fault works with: the world, chance, and a timer that mends later what was broken."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.parts import MasterProcess, WorkerProcess

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Given to every fault."""

    world: "World"
    chance: random.Random

    def later(self, seconds: Sequence[float], action: Callable[[], None]) -> None:
        """Does it after one of these times."""
        self.world.loop.in_world(self.chance.choice(seconds), action)

    def master(self) -> MasterProcess:
        """Any of them."""
        return self.chance.choice(self.world.masters)

    def worker(self) -> WorkerProcess:
        """Any of them."""
        return self.chance.choice(self.world.workers)


Fault = Callable[[Scene], bool]
"""Breaks something, arranges that it is mended, and says whether there was anything to break."""
