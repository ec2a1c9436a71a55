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
        self._in_vain: list[str] = []
        """Kinds that found nobody to happen to, and are tried again."""

    def _work(self) -> None:
        kinds = self._breaking.kinds
        pace = min(1.0, self._seconds / (TWICE * len(kinds) * sum(PAUSE_SECONDS) / 2))
        until = time.monotonic() + self._seconds
        deck: list[str] = []
        with ThreadPoolExecutor(AT_A_TIME_MAX, "fault") as pool:
            while not self._ending.wait(pace * self._chance.uniform(*PAUSE_SECONDS)):
                if time.monotonic() > until or self._failures:
                    break
                # All kinds, before one comes again.
                deck = deck or self._chance.sample(sorted(kinds), len(kinds))
                kind = self._in_vain.pop() if self._in_vain else deck.pop()
                pool.submit(self._break, kind, random.Random(self._chance.random())).add_done_callback(
                    self._note_failure
                )
        if self._failures:
            raise self._failures[0]

    def _break(self, kind: str, chance: random.Random) -> None:
        if not self._breaking.kinds[kind](chance):
            self._in_vain.append(kind)

    def _note_failure(self, done: "Future[None]") -> None:
        failure = done.exception()
        if failure is not None:
            self._failures.append(failure)
