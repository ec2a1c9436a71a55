"""A master whose disk is full, with its database and its logs: nothing is accepted, nothing is lost."""

from functools import partial
from pathlib import Path

from tests.faults.asking import Asked, read, trigger
from tests.faults.checker import Expected, check
from tests.faults.fired import Fired
from tests.faults.load import Load, printed
from tests.faults.small_disk import SmallDisk, small_disk
from tests.faults.witness import ENDS, Witness
from tests.support.figures import figure
from tests.support.journey import Orchestra, running, started, wait_until

RUNS = 6
RECOVER_SECONDS_MAX = figure(15.0)
ANSWER_SECONDS_MAX = figure(5.0)
JOB = "ops/witnessed"
PARAMETERS: dict[str, object] = {"lines": 5, "pause": "0", "exit": 0}


def test_a_full_disk_of_the_master_costs_time_and_no_run_and_no_byte(
    tmp_path: Path, witness: Witness, fired: Fired
) -> None:
    with (
        small_disk(tmp_path / "data", mebibytes=64) as disk,
        started(Orchestra(tmp_path, slots=0)) as up,
        running(up.worker(tmp_path, "atlas", slots=RUNS)),
    ):
        load = Load(up, witness)
        gate = tmp_path / "gate"
        held = [load.trigger(gate=gate) for _ in range(RUNS // 2)]
        talking = [load.trigger(lines=400, pause=0.005) for _ in range(RUNS // 2)]
        wait_until(lambda: all(up.run(number).state == "running" for number in held), what="those who wait")
        wait_until(lambda: all(up.run(number).log_length > 0 for number in talking), what="the first output")
        refused = wait_until(partial(refused_trigger, up, disk, load), what="a trigger to be refused")
        fired("refused")
        assert refused.status == 503
        assert refused.seconds <= ANSWER_SECONDS_MAX
        asked = read(up, f"/runs/{held[0]}")
        assert asked.status in (200, 503)
        assert asked.seconds <= ANSWER_SECONDS_MAX
        gate.touch()
        wait_until(lambda: witness.runs(ENDS) >= {*held, *talking}, what="all of them to end")
        disk.fill()
        assert not any(up.run(number).is_over for number in held)
        fired("not stored")

        disk.free()
        load.await_over(seconds=RECOVER_SECONDS_MAX)
        again = trigger(up, JOB, PARAMETERS, key=refused.key)

        assert again.status == 201
        load.trigger()
        assert again.run is not None
        load.expected[again.run] = Expected(log=partial(printed, lines=5))
        load.await_over(seconds=RECOVER_SECONDS_MAX)
        check(up, witness, load.expected).assert_none()


def test_a_full_disk_of_the_logs_keeps_every_byte_at_the_worker(tmp_path: Path, witness: Witness, fired: Fired) -> None:
    with (
        small_disk(tmp_path / "data" / "logs", mebibytes=8) as disk,
        started(Orchestra(tmp_path, slots=0)) as up,
        running(up.worker(tmp_path, "atlas", slots=RUNS)),
    ):
        load = Load(up, witness)
        disk.fill()
        for _ in range(RUNS):
            load.trigger(lines=2000)
        witness.await_count(ENDS, RUNS)
        wait_until(lambda: "No space left" in up.program.output, what="the log store to say that it is full")
        fired("not stored")
        assert read(up, "/runs").status == 200
        assert not any(up.run(number).is_over for number in load.expected)

        disk.free()
        load.await_over(seconds=RECOVER_SECONDS_MAX)

        check(up, witness, load.expected).assert_none()


def refused_trigger(up: Orchestra, disk: SmallDisk, load: Load) -> Asked | None:
    """Fills the disk again and triggers, until that is refused; what was accepted before is expected to run."""
    disk.fill()
    asked = trigger(up, JOB, PARAMETERS)
    if asked.run is not None:
        load.expected[asked.run] = Expected(log=partial(printed, lines=5))
        return None
    return asked
