"""Breaks something each few seconds, in an order by the seed, and often several things at a time."""

import random
import time
from concurrent.futures import Future, ThreadPoolExecutor

from tests.faults.soak.breaking import Breaking
from tests.support.background import Background

PAUSE_SECONDS = (5.0, 20.0)
"""Between two faults, at least and at most."""
AT_A_TIME_MAX = 6
TWICE = 2
"""Each kind should come so often at least: in a short soak the pauses are shorter."""


class Havoc(Background):
    """A thread that breaks things for so many seconds; all is whole again when its `with` is left."""

    ends_by_itself = True

    def __init__(self, breaking: Breaking, *, seed: int, seconds: float) -> None:
        super().__init__("havoc")
        self._breaking = breaking
        self._chance = random.Random(seed)
        self._seconds = seconds
        self._failures: list[BaseException] = []

    def _work(self) -> None:
        kinds = self._breaking.kinds
        pace = min(1.0, self._seconds / (TWICE * len(kinds) * sum(PAUSE_SECONDS) / 2))
        until = time.monotonic() + self._seconds
        deck: list[str] = []
        with ThreadPoolExecutor(AT_A_TIME_MAX, "fault") as pool:
            while not self._ending.wait(pace * self._chance.uniform(*PAUSE_SECONDS)):
                if time.monotonic() > until or self._failures:
                    break
                # All kinds, before one comes again. What finds nobody to happen to waits for the next round: tried at
                # once, a kind that everybody is spared from would keep all others from coming.
                deck = deck or self._chance.sample(sorted(kinds), len(kinds))
                happening = pool.submit(kinds[deck.pop()], random.Random(self._chance.random()))
                happening.add_done_callback(self._note_failure)
        if self._failures:
            raise self._failures[0]

    def _note_failure(self, done: "Future[bool]") -> None:
        failure = done.exception()
        if failure is not None:
            self._failures.append(failure)
