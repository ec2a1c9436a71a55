"""Each write and sync of agent and keeper fails in turn, or ends them there: the run ends truly, nothing runs twice."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestra_worker.keeper_protocol import LOCK_NAME
from tests.faults.checker import Expected, check, see
from tests.faults.fired import Fired
from tests.faults.load import Load, printed
from tests.faults.strace import injected
from tests.faults.witness import Witness
from tests.support.journey import Orchestra, Program, keeper_of, running, wait_until

CALLS = ("write", "pwrite64", "fsync", "fdatasync", "rename", "ftruncate")
FAULTS = ("error=ENOSPC", "error=EIO", "signal=KILL")
PARTS = ("agent", "keeper")
MADE_BY = {"agent": ("pwrite64", "fdatasync"), "keeper": ("pwrite64", "write")}
"""For the sample: what a short run surely makes."""
PLACES_MAX = 100
"""More calls of a kind than a thread makes in one short run."""
LINES = 5
SMOKE_CASES = 8
SMOKE_PLACE_MAX = 6


@dataclass(kw_only=True)
class Sweep:
    """One worker, and one short run after the other, each with a fault at the n-th call of a thread."""

    up: Orchestra
    folder: Path
    load: Load
    worker: Program
    turn: int = 0

    def _keeper(self) -> int | None:
        """That which has the lock: on its way there a new one is, for a moment, a process that ends at once."""
        pid = keeper_of(self.folder / "atlas")
        return pid if (self.folder / "atlas" / LOCK_NAME).read_text() == f"{pid}\n" else None

    def one(self, part: str, call: str, fault: str, place: int) -> int:
        """A run meets the fault and is awaited; how often it fired."""
        self.turn += 1
        what = f"{part}: {call} {fault} at {place}"
        wait_until(lambda: self.up.connected("atlas"), what=f"the worker, before {what}")
        pid = self.worker.pid if part == "agent" else wait_until(self._keeper, what=f"the keeper, before {what}")
        log = self.folder / f"strace-{self.turn}"
        with injected(pid, log, calls=call, what=f"{fault}:when={place}", threads=part == "agent") as injection:
            number = self.load.trigger(lines=LINES, allowed=("exception",))
            wait_until(lambda: self.up.run(number).is_over or self.has_ended(), what=what)
        if self.has_ended():
            self.worker.start()
        run = self.up.finish(number)
        assert run.state == "succeeded" or "keeper lost" in run.reason or injection.count, f"{what}: {run}"
        print(f"{what}: fired {injection.count}, {run.state} {run.reason}")
        return injection.count

    def has_ended(self) -> bool:
        """Whether the agent is gone."""
        assert self.worker.process is not None
        return self.worker.process.poll() is not None


def expected(sweep: Sweep) -> Mapping[int, Expected]:
    """What the runs must have come to: a write to the log that fails may cost bytes, if each of them is counted."""
    found = dict(sweep.load.expected)
    for number, promise in sweep.load.expected.items():
        for attempt in see(sweep.up, number).attempts:
            if attempt.lost_bytes and attempt.state == "succeeded":
                assert attempt.log_length + attempt.lost_bytes == len(printed(number, attempt.number, lines=LINES))
                found[number] = replace(promise, log=None)
    return found


@pytest.fixture
def sweep(up: Orchestra, tmp_path: Path, witness: Witness) -> Iterator[Sweep]:
    """A worker that is started."""
    worker = up.worker(tmp_path, "atlas")
    with running(worker):
        yield Sweep(up=up, folder=tmp_path, load=Load(up, witness), worker=worker)


def test_a_sample_of_failing_calls_costs_no_truth(
    sweep: Sweep, witness: Witness, chance: random.Random, fired: Fired
) -> None:
    for _ in range(SMOKE_CASES):
        part, fault = chance.choice(PARTS), chance.choice(FAULTS)
        call = chance.choice(MADE_BY[part])
        fired(f"{part} {call} {fault}", sweep.one(part, call, fault, chance.randint(1, SMOKE_PLACE_MAX)))

    check(sweep.up, witness, expected(sweep)).assert_none()


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", PARTS)
def test_every_failing_call_costs_no_truth(sweep: Sweep, witness: Witness, fired: Fired, part: str) -> None:
    for call in CALLS:
        for fault in FAULTS:
            for place in range(1, PLACES_MAX):
                count = sweep.one(part, call, fault, place)
                fired(f"{call} {fault}", count)
                if not count:
                    break

    check(sweep.up, witness, expected(sweep)).assert_none()
