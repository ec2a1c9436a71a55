"""A worker is cut off while a hundred runs end: all of it arrives soon after the network is whole again."""

import time
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.fired import Fired
from tests.faults.load import Load
from tests.faults.wires import ELSE_BY_PROXY, IN_NAMESPACE, Wire, wire_to
from tests.faults.witness import BEGINS, ENDS, Witness
from tests.support.figures import figure, is_alone
from tests.support.journey import Orchestra, Program, running, wait_until
from tests.support.proxy import BOTH, Direction

RUNS = 100 if is_alone() else 30
"""A hundred that wait take the processors from other tests."""
CAUGHT_UP_SECONDS_MAX = figure(30.0)
LONG_SECONDS = 600.0
TO_MASTER, TO_WORKER = frozenset({Direction.TO_TARGET}), frozenset({Direction.FROM_TARGET})


def partition(
    up: Orchestra, wire: Wire, worker: Program, *, load: Load, witness: Witness, gate: Path, lost: frozenset[Direction]
) -> None:
    """Cuts while all runs are under way, and lets them end then."""
    for number in range(RUNS):
        load.trigger(lines=1 + number % 50, exit_code=3 * (number % 10 == 0), gate=gate)
    witness.await_count(BEGINS, RUNS)
    wait_until(lambda: set(load.ends().values()) == {"running"}, what="the master to know of all of them")
    breaks = worker.output.count("link_lost")
    wire.lose(lost)
    gate.touch()
    witness.await_count(ENDS, RUNS)
    wait_until(lambda: worker.output.count("link_lost") > breaks, what="the worker to notice")
    wait_until(lambda: not up.connected("atlas"), what="the master to notice")


@pytest.mark.parametrize(
    ("kind", "lost", "seconds"),
    [
        pytest.param("namespace", BOTH, 0.0, id="namespace both", marks=IN_NAMESPACE),
        pytest.param("namespace", TO_MASTER, 0.0, id="namespace to the master", marks=[IN_NAMESPACE, pytest.mark.long]),
        pytest.param("namespace", TO_WORKER, 0.0, id="namespace to the worker", marks=IN_NAMESPACE),
        pytest.param("proxy", BOTH, 0.0, id="proxy both", marks=ELSE_BY_PROXY),
        pytest.param("proxy", TO_MASTER, 0.0, id="proxy to the master", marks=pytest.mark.long),
        pytest.param("proxy", TO_WORKER, 0.0, id="proxy to the worker", marks=pytest.mark.long),
        pytest.param(
            "namespace",
            BOTH,
            LONG_SECONDS,
            id="namespace both, ten minutes",
            marks=[IN_NAMESPACE, pytest.mark.long, pytest.mark.timeout(900)],
        ),
    ],
)
def test_all_that_ended_while_cut_off_is_there_soon_after(
    open_up: Orchestra,
    tmp_path: Path,
    witness: Witness,
    fired: Fired,
    kind: str,
    lost: frozenset[Direction],
    seconds: float,
) -> None:
    load = Load(open_up, witness)
    with wire_to(open_up, kind) as wire:
        worker = wire.worker(open_up, tmp_path, "atlas", slots=RUNS)
        with running(worker):
            cut_at = time.monotonic()
            partition(open_up, wire, worker, load=load, witness=witness, gate=tmp_path / "gate", lost=lost)
            fired("partition")
            time.sleep(max(0.0, seconds - (time.monotonic() - cut_at)))  # the time without a network is the fault
            over_before = sum(state not in ("running",) for state in load.ends().values())
            wire.heal()
            healed_at = time.monotonic()
            load.await_over(seconds=60)
            caught_up = time.monotonic() - healed_at

            print(f"{over_before} were over before, all {caught_up:.1f} s after the healing")
            check(open_up, witness, load.expected).assert_none()
            assert caught_up <= CAUGHT_UP_SECONDS_MAX
            assert over_before == 0 or lost == TO_WORKER
