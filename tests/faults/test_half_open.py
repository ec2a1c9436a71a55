"""Packets vanish and nobody is told: both sides find out, offers under way go elsewhere, and the old link blocks
nobody."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.fired import Fired
from tests.faults.load import Load
from tests.faults.wires import ELSE_BY_PROXY, IN_NAMESPACE, Wire, wire_to
from tests.faults.witness import BEGINS, Witness
from tests.support.figures import figure
from tests.support.journey import Orchestra, Program, running, wait_until

NOTICED_SECONDS_MAX = figure(15.0)
BACK_SECONDS_MAX = figure(5.0)
TAKEN_SECONDS_MAX = figure(5.0)
KINDS = [pytest.param("proxy", marks=ELSE_BY_PROXY), pytest.param("namespace", marks=IN_NAMESPACE)]
PREFER_FAR = "    worker: { prefer: { zone: far } }\n"


@contextmanager
def far_worker(up: Orchestra, folder: Path, kind: str) -> Iterator[tuple[Wire, Program]]:
    """A worker behind a wire, connected."""
    with wire_to(up, kind) as wire:
        far = wire.worker(up, folder, "far", slots=4, zone="far")
        with running(far):
            wait_until(lambda: up.connected("far"), what="the far worker")
            yield wire, far


@pytest.mark.parametrize("kind", KINDS)
def test_both_sides_notice_a_half_open_link_in_time(
    open_up: Orchestra, tmp_path: Path, witness: Witness, fired: Fired, kind: str
) -> None:
    load, gate = Load(open_up, witness), tmp_path / "gate"
    with far_worker(open_up, tmp_path, kind) as (wire, far):
        for _ in range(3):
            load.trigger(lines=40, pause=0.1, gate=gate)
        wait_until(lambda: set(load.ends().values()) == {"running"}, what="the master to know of all of them")
        breaks = far.output.count("link_lost")
        noticed: dict[str, float] = {}

        wire.lose()
        lost_at = time.monotonic()
        gate.touch()

        def both() -> bool:
            passed = time.monotonic() - lost_at
            if far.output.count("link_lost") > breaks:
                noticed.setdefault("worker", passed)
            if not open_up.connected("far"):
                noticed.setdefault("master", passed)
            return len(noticed) == 2

        wait_until(both, what="both sides to notice")
        fired("half-open link")
        states = set(load.ends().values())
        wire.heal()
        load.await_over(seconds=60)

        print(f"noticed after {noticed}")
        check(open_up, witness, load.expected).assert_none()
        assert states == {"running"}
        assert max(noticed.values()) <= NOTICED_SECONDS_MAX, noticed


@pytest.mark.parametrize("kind", KINDS)
def test_offers_under_way_in_a_dead_link_go_elsewhere_in_time(
    open_up: Orchestra, tmp_path: Path, witness: Witness, fired: Fired, kind: str
) -> None:
    load = Load(open_up, witness, more=PREFER_FAR)
    near = open_up.worker(tmp_path, "near", slots=4, zone="near")
    with far_worker(open_up, tmp_path, kind) as (wire, _), running(near):
        wait_until(lambda: open_up.connected("near"), what="the near worker")
        wire.lose()
        offered_at = time.monotonic()
        numbers = [load.trigger() for _ in range(4)]
        offered = [open_up.reach(number, "assigned").worker for number in numbers]
        for number in numbers:
            open_up.reach(number, "pending", "running", "succeeded", seconds=BACK_SECONDS_MAX)
        back_after = time.monotonic() - offered_at
        fired("offer into a dead link", len(numbers))
        load.await_over(seconds=BACK_SECONDS_MAX)
        wire.heal()
        # Who let an offer pass is not asked again at once.
        wait_until(
            lambda: open_up.finish(load.trigger()).worker == "far", seconds=40, what="the far worker to take runs again"
        )

        print(f"back after {back_after:.2f} s")
        check(open_up, witness, load.expected).assert_none()
        assert offered == ["far"] * len(numbers)
        assert back_after <= BACK_SECONDS_MAX
        assert {open_up.run(number).worker for number in numbers} == {"near"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_old_socket_never_keeps_the_new_one_out(
    open_up: Orchestra, tmp_path: Path, witness: Witness, fired: Fired, kind: str
) -> None:
    load = Load(open_up, witness)
    with far_worker(open_up, tmp_path, kind) as (wire, far):
        long = load.trigger(lines=30, pause=0.1)
        witness.await_count(BEGINS, 1)
        taken: list[float] = []
        for _ in range(3):
            since = open_up.fleet()["far"].connected_at
            wire.lose()
            far.kill()  # its last packets are lost too: the master's end stays open
            assert open_up.connected("far")
            fired("socket left half-open")
            wire.heal()
            started_at = time.monotonic()
            far.start()
            wait_until(partial(has_come_anew, open_up, since), what="the new connection")
            taken.append(time.monotonic() - started_at)
        short = load.trigger()
        load.await_over(seconds=60)

        print(f"taken over after {taken}")
        check(open_up, witness, load.expected).assert_none()
        assert max(taken) <= TAKEN_SECONDS_MAX
        assert {open_up.run(number).worker for number in (long, short)} == {"far"}


def has_come_anew(up: Orchestra, since: str | None) -> bool:
    return up.fleet()["far"].connected_at != since
