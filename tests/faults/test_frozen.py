"""SIGSTOP: who is frozen hears nothing and says nothing, and goes on afterwards as if no time had passed."""

import time
from functools import partial
from pathlib import Path

import msgspec
import pytest

from orchestra.limits import RESCUE_PATIENCE_SECONDS
from orchestra.network.client import API
from tests.faults.checker import check
from tests.faults.fired import Fired
from tests.faults.load import Load
from tests.faults.standstill import everything_of, frozen
from tests.faults.witness import BEGINS, Witness
from tests.support.journey import Instance, Orchestra, running, wait_until

SLOTS = 4
LOST = """\
    retry: { max-attempts: 2, wait: 100ms, on: [lost] }
    lost-after: 30s
    worker: { prefer: { zone: far } }
"""


class History(msgspec.Struct, frozen=True):
    """The kinds of what happened to a run."""

    class Entry(msgspec.Struct, frozen=True):
        """One row."""

        kind: str
        attempt: int | None

    items: tuple[Entry, ...]


def late_words(instance: Instance, run: int) -> list[int | None]:
    """The attempts of which something was told when it was too late."""
    history = instance.api.get(f"{API}/runs/{run}/events").read(History)
    return [entry.attempt for entry in history.items if entry.kind == "late"]


LONG = (pytest.mark.long, pytest.mark.timeout(300))


@pytest.mark.parametrize(
    ("whom", "seconds"),
    [
        ("agent", 20.0),
        pytest.param("everything", 20.0, marks=LONG),
        pytest.param("agent", 120.0, marks=LONG),
        pytest.param("everything", 120.0, marks=LONG),
    ],
)
def test_a_worker_that_stands_still_for_a_while_executes_nothing_twice(
    up: Orchestra, tmp_path: Path, witness: Witness, fired: Fired, whom: str, seconds: float
) -> None:
    agent = up.worker(tmp_path, "atlas", slots=SLOTS)
    load, gate = Load(up, witness), tmp_path / "gate"
    with running(agent):
        first = [load.trigger(lines=20 + 20 * number, pause=0.2, gate=gate) for number in range(SLOTS)]
        for number in range(2 * SLOTS):
            load.trigger(exit_code=number % 2)
        wait_until(lambda: {load.ends()[number] for number in first} == {"running"}, what="the first ones")
        with frozen([agent.pid] if whom == "agent" else everything_of(agent, tmp_path / "atlas")):
            gate.touch()  # some end while the agent cannot hear of it
            wait_until(lambda: not up.connected("atlas"), what="the master to notice")
            fired("standstill past the silence bound")
            time.sleep(seconds - 15)  # the standstill is the fault
            states = set(load.ends().values())
        load.await_over(seconds=60)

        check(up, witness, load.expected).assert_none()
        assert states <= {"running", "pending", "assigned"}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_worker_that_stands_still_past_lost_after_is_replaced_and_its_late_word_is_evidence(
    up: Orchestra, tmp_path: Path, witness: Witness, fired: Fired
) -> None:
    """Of a run that goes on (`keep`) as of one that the keeper must end by itself (`stop`), without its agent."""
    far, near = (up.worker(tmp_path, zone, slots=SLOTS, zone=zone) for zone in ("far", "near"))
    kept = Load(up, witness, project="kept", more=LOST, attempts_max=2)
    stopped = Load(up, witness, project="stopped", more=LOST + "    disconnect: stop 30s\n", attempts_max=2)
    with running(far, near):
        wait_until(lambda: up.connected("far") and up.connected("near"), what="both workers")
        ends_by_itself = kept.trigger(lines=20, pause=0.5)
        ended_by_the_keeper = stopped.trigger(lines=800, pause=0.5, allowed=["aborted"])
        witness.await_count(BEGINS, 2)
        assert {up.run(number).worker for number in (ends_by_itself, ended_by_the_keeper)} == {"far"}
        with frozen([far.pid]):
            witness.await_count(BEGINS, 4, seconds=RESCUE_PATIENCE_SECONDS + 60)
            fired("replaced after lost-after", 2)
            wait_until(lambda: up.run(ends_by_itself).is_over, what="the second attempt to end")
        for number in (ends_by_itself, ended_by_the_keeper):
            wait_until(partial(late_words, up, number), seconds=60, what=f"the late word of #{number}")
        up.api.post(f"{API}/runs/{ended_by_the_keeper}/abort")
        states = {number: up.finish(number).state for number in (ends_by_itself, ended_by_the_keeper)}

        check(up, witness, kept.expected | stopped.expected).assert_none()
        assert states == {ends_by_itself: "succeeded", ended_by_the_keeper: "aborted"}
        assert late_words(up, ends_by_itself) == late_words(up, ended_by_the_keeper) == [1]
