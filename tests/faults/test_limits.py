"""Agent and keeper with few descriptors, few threads, no memory for a new process: they refuse and never crash."""

from dataclasses import replace
from pathlib import Path

from orchestra.network.client import API
from tests.faults.checker import check
from tests.faults.fired import Fired
from tests.faults.load import Load
from tests.faults.strace import NEW_PROCESS, injected
from tests.faults.witness import BEGINS, Witness
from tests.support.journey import Orchestra, arguments_of, keeper_of, marked_processes, running, wait_until

DESCRIPTORS = 64
SLOTS = 60


def test_an_agent_and_a_keeper_with_few_descriptors_refuse_and_go_on(
    up: Orchestra, tmp_path: Path, witness: Witness, fired: Fired
) -> None:
    load, gate = Load(up, witness), tmp_path / "gate"
    atlas = up.worker(tmp_path, "atlas", slots=SLOTS).below("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}")
    with running(atlas):
        wait_until(lambda: up.connected("atlas"), what="atlas")
        keeper = keeper_of(tmp_path / "atlas")
        for _ in range(SLOTS):
            load.trigger(gate=gate, allowed=("exception",))
        wait_until(lambda: none_is_waiting(up, load), what="every run to begin or to be refused")
        atlas.kill()
        atlas.start()
        wait_until(lambda: atlas.output.count("link_welcome") == 2, what="the agent to be back")
        running_one = next(number for number in load.expected if up.run(number).state == "running")
        up.api.post(f"{API}/runs/{running_one}/abort", {})
        # Its shell may have a word of its own about the `sleep` that was stopped before it.
        load.expected[running_one] = replace(load.expected[running_one], states=frozenset({"aborted"}), log=None)
        assert up.finish(running_one).state == "aborted"
        assert marked_processes(str(tmp_path / "atlas" / "attempts" / f"{running_one}-1")) == []
        gate.touch()
        load.await_over(seconds=60)

        refused = [number for number, state in load.ends().items() if state == "exception"]
        for number in refused:
            assert number not in witness.runs(BEGINS), up.run(number)
        fired("refused", len(refused))
        check(up, witness, load.expected).assert_none()
        assert b"orchestra_worker.keeper" in arguments_of(keeper), "the keeper has died"
        assert atlas.process is not None
        assert atlas.process.poll() is None


def none_is_waiting(up: Orchestra, load: Load) -> bool:
    return not {"pending", "assigned"} & set(load.ends().values())


def test_a_keeper_that_can_start_no_process_says_so_and_starts_the_next_one_that_it_can(
    up: Orchestra, tmp_path: Path, witness: Witness, fired: Fired
) -> None:
    load = Load(up, witness)
    with running(up.worker(tmp_path, "atlas")):
        wait_until(lambda: up.connected("atlas"), what="atlas")
        keeper = keeper_of(tmp_path / "atlas")
        for error in ("EAGAIN", "ENOMEM"):
            log = tmp_path / f"strace-{error}"
            with injected(keeper, log, calls=NEW_PROCESS, what=f"error={error}") as injection:
                refused = load.trigger(allowed=("exception",))
                run = up.finish(refused)
                fired(error, injection.count)
            assert run.state == "exception"
            assert "no process could be started" in run.reason
            load.trigger()
            load.await_over(seconds=60)
        assert keeper_of(tmp_path / "atlas") == keeper
        check(up, witness, load.expected).assert_none()


def test_an_agent_that_can_make_no_thread_and_no_process_goes_on(
    up: Orchestra, tmp_path: Path, witness: Witness, fired: Fired
) -> None:
    load = Load(up, witness)
    atlas = up.worker(tmp_path, "atlas", slots=4)
    with running(atlas):
        wait_until(lambda: up.connected("atlas"), what="atlas")
        log = tmp_path / "strace"
        with injected(atlas.pid, log, calls=NEW_PROCESS, what="error=EAGAIN") as injection:
            for _ in range(8):
                load.trigger(lines=30, pause=0.05)
            wait_until(lambda: injection.count > 0, what="a thread that cannot be made")
            load.await_over(seconds=60)
            fired("EAGAIN", injection.count)

        load.trigger()
        load.await_over(seconds=60)
        assert atlas.process is not None
        assert atlas.process.poll() is None, atlas.output
        check(up, witness, load.expected).assert_none()
