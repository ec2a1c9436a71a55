"""What the soak's people do: runs of many kinds, evenly over the time, some of which they think better of."""

import heapq
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestra.network.client import API
from orchestra.network.problems import RequestRefused, ServerUnreachable
from tests.faults.checker import Expected
from tests.faults.load import Load, printed
from tests.faults.witness import Witness
from tests.support.background import Background
from tests.support.journey import Instance, wait_until

TRIES_SECONDS_MAX = 120.0
CONFLICT = 409
WITHDRAWN_AFTER_SECONDS_MAX, STOPPED_AFTER_SECONDS_MAX = 0.2, 5.0
KEEPER_LOST = "exception"
"""What a run may come to whose keeper was killed; the verdict looks at the reason."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of run; `weight` are its runs among a hundred."""

    name: str
    weight: int
    lines: tuple[int, ...] = (1,)
    pauses: tuple[float, ...] = (0.0,)
    more: str = ""
    exit_code: int = 0
    attempts_max: int = 1
    is_endless: bool = False
    stop: str = ""
    """What its people ask for later: `cancel` or `abort`."""


KINDS = (
    Kind(name="quick", weight=47),
    Kind(name="chatty", weight=20, lines=(5, 20, 60), pauses=(0.0, 0.02)),
    Kind(name="slow", weight=11, lines=(1, 3, 6), pauses=(0.5, 1.0)),
    Kind(
        name="failing",
        weight=8,
        exit_code=3,
        attempts_max=3,
        more="    retry: { max-attempts: 3, wait: 500ms, on: [exit, lost] }\n",
    ),
    Kind(name="large", weight=2, lines=(10_000, 40_000)),
    Kind(name="aborted", weight=7, is_endless=True, stop="abort"),
    Kind(name="withdrawn", weight=5, stop="cancel"),
)


class Workload(Background):
    """A thread that triggers so many runs in so many seconds; used as `with Workload(...)`.

    `own` must be an instance object of its own. Who finds nobody there asks again: the runs come later, not fewer.
    """

    ends_by_itself = True

    def __init__(self, own: Instance, witness: Witness, *, folder: Path, seed: int, runs: int, seconds: float) -> None:
        super().__init__("workload")
        self._own = own
        self._chance = random.Random(seed)
        self._seconds = seconds
        self._never = folder / "never"
        self._due = sorted(self._chance.uniform(0, seconds) for _ in range(runs))
        self._later: list[tuple[float, int, str]] = []
        self.counts: Counter[str] = Counter()
        """Runs by kind."""
        self.loads = {
            kind: Load(own, witness, project=kind.name, more=kind.more, attempts_max=kind.attempts_max)
            for kind in KINDS
        }

    @property
    def expected(self) -> Mapping[int, Expected]:
        """What each run that was triggered must come to."""
        return {number: promise for load in self.loads.values() for number, promise in load.expected.items()}

    def _work(self) -> None:
        begun = time.monotonic()
        for due in self._due:
            while self._later and self._later[0][0] < due:
                at, number, word = heapq.heappop(self._later)
                self._wait_for(begun + at)
                self._ask_to(word, number)
            self._wait_for(begun + due)
            if self._ending.is_set():
                return
            self._trigger(due)
        for _, number, word in sorted(self._later):
            self._ask_to(word, number)

    def _wait_for(self, at: float) -> None:
        self._ending.wait(max(0.0, at - time.monotonic()))

    def _trigger(self, due: float) -> None:
        (kind,) = self._chance.choices(KINDS, weights=[one.weight for one in KINDS])
        lines, pause = self._chance.choice(kind.lines), self._chance.choice(kind.pauses)
        gate = self._never if kind.is_endless else None
        load = self.loads[kind]
        number = load.trigger(lines=lines, pause=pause, exit_code=kind.exit_code, gate=gate, allowed=(KEEPER_LOST,))
        self.counts[kind.name] += 1
        if kind.stop:
            # A cancel that was taken while the run was offered stops it, if its worker has begun by then.
            ends = {"aborted", "cancelled", KEEPER_LOST} | (set() if kind.is_endless else {"succeeded"})
            log = said_when_stopped if kind.is_endless else partial(printed, lines=lines)
            load.expected[number] = Expected(states=frozenset(ends), attempts_max=kind.attempts_max, log=log)
            patience = STOPPED_AFTER_SECONDS_MAX if kind.is_endless else WITHDRAWN_AFTER_SECONDS_MAX
            heapq.heappush(self._later, (due + self._chance.uniform(0, patience), number, kind.stop))

    def _ask_to(self, word: str, number: int) -> None:
        def post() -> bool:
            try:
                self._own.api.post(f"{API}/runs/{number}/{word}")
            except RequestRefused as refused:
                # A cancel comes too late for a run that has begun.
                return refused.problem.status == CONFLICT
            return True

        asked(post)


def said_when_stopped(run: int, attempt: int) -> bytes:
    """What an endless run prints: nothing, or its shell's word about a `sleep` that was stopped before it."""
    return b"Terminated\n"


def asked(request: Callable[[], bool]) -> None:
    """Sends a request until somebody has taken it."""

    def attempt() -> bool:
        try:
            return request()
        except ServerUnreachable:
            return False

    wait_until(attempt, seconds=TRIES_SECONDS_MAX, what="somebody to take a request")
