"""People who never stop triggering runs, so that faults happen under load."""

import random
from collections.abc import Sequence

from tests.faults.load import Load
from tests.faults.witness import BEGINS, Witness
from tests.support.background import Background

LOOK_SECONDS = 0.05


class Crowd(Background):
    """A thread that keeps so many runs waiting for a slot; the loads must be of an instance object of their own.

    Used as `with Crowd(...)`; `triggered` grows meanwhile.
    """

    def __init__(
        self,
        *loads: Load,
        witness: Witness,
        seed: int,
        waiting: int,
        lines: Sequence[int] = tuple(range(1, 11)),
        pauses: Sequence[float] = (0.0, 0.05, 0.2),
        allowed: Sequence[str] = (),
    ) -> None:
        super().__init__("crowd")
        self._loads = loads
        self._witness = witness
        self._chance = random.Random(seed)
        self._waiting = waiting
        self._lines = lines
        self._pauses = pauses
        self._allowed = tuple(allowed)
        self.triggered = 0

    def _work(self) -> None:
        while not self._ending.wait(LOOK_SECONDS):
            while not self._ending.is_set() and self._are_few_waiting():
                self._chance.choice(self._loads).trigger(
                    lines=self._chance.choice(self._lines),
                    pause=self._chance.choice(self._pauses),
                    exit_code=self._chance.choice([0, 0, 0, 3]),
                    allowed=self._allowed,
                )
                self.triggered += 1

    def _are_few_waiting(self) -> bool:
        return self.triggered - len(self._witness.runs(BEGINS)) < self._waiting
