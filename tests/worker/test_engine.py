"""The life of an attempt on real processes: from the offer to the final event."""

from pathlib import Path

import pytest

from orchestra.lifecycle import AttemptState
from orchestra.logs.digest import SegmentedDigest
from orchestra.protocol.messages import CheckIn, Forget, Go, Results
from orchestra.specification import Execution, Step
from tests.worker import given
from tests.worker.fake_master import FakeMaster, StoredAttempt


def kinds(stored: StoredAttempt) -> list[str]:
    return [type(event.happening).__name__ for event in stored.events]


def digest_of(content: bytes) -> str:
    digest = SegmentedDigest()
    digest.update(content)
    return digest.hexdigest()


async def test_a_single_step_run_goes_from_offer_to_final(master: FakeMaster, folder: Path) -> None:
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer("echo hello"))
        await master.until(lambda: stored.final)

    assert kinds(stored) == ["Started", "StepStarted", "StepEnded", "Final"]
    assert stored.final is not None
    assert stored.final.outcome is AttemptState.SUCCEEDED
    assert bytes(stored.log) == b"hello\n"
    assert stored.final.log_digest == digest_of(b"hello\n")


async def test_what_is_forgotten_leaves_no_trace(master: FakeMaster, folder: Path) -> None:
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer("echo hello"))
        await master.until(lambda: stored.is_forgotten)
        await given.until(lambda: not list((folder / "attempts").iterdir()))
    async with given.agent_on(folder, master):
        pass

    assert master.hellos[-1].held == ()


async def test_steps_run_in_order_and_the_first_failure_ends_them(master: FakeMaster, folder: Path) -> None:
    what = given.execution("echo 1", "echo 2; exit 3", "echo 3", teardown=(Step(name="tidy", run="echo tidy"),))
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(what))
        await master.until(lambda: stored.final)

    assert stored.final is not None
    assert (stored.final.outcome, stored.final.exit_code, stored.final.cause) == (AttemptState.FAILED, 3, "exit:3")
    assert stored.final.reason == "step 'two': exit code 3"
    assert bytes(stored.log) == b"1\n2\ntidy\n"


async def test_a_stop_ends_the_tree_and_runs_the_teardown(master: FakeMaster, folder: Path) -> None:
    what = given.execution("echo begun; sleep 600", teardown=(Step(name="tidy", run="echo tidy"),), grace_seconds=2.0)
    asked = given.offer(what)
    async with given.agent_on(folder, master):
        stored = master.offer(asked)
        await master.until(lambda: b"begun" in stored.log)
        master.stop(asked, reason="by Ana")
        master.stop(asked, reason="again")
        await master.until(lambda: stored.final)

    assert stored.final is not None
    assert (stored.final.outcome, stored.final.reason) == (AttemptState.ABORTED, "aborted: by Ana")
    assert bytes(stored.log) == b"begun\ntidy\n"


async def test_a_timeout_is_a_failure_with_its_own_cause(master: FakeMaster, folder: Path) -> None:
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(given.execution("sleep 600", timeout_seconds=0.3, grace_seconds=1.0)))
        await master.until(lambda: stored.final)

    assert stored.final is not None
    assert (stored.final.outcome, stored.final.cause) == (AttemptState.FAILED, "timeout")
    assert stored.final.reason == "timed out after 300 ms"


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (Execution(steps=(Step(name="one", command=("no-such-command",)),)), "command not found: 'no-such-command'"),
        (Execution(steps=(Step(name="one", command=("./nothing",)),)), "command not found: './nothing'"),
        (given.execution("true", directory="/no/such/place"), "the directory '/no/such/place' does not exist"),
    ],
)
async def test_what_cannot_be_started_is_an_exception_with_its_reason(
    master: FakeMaster, folder: Path, what: Execution, reason: str
) -> None:
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(what))
        await master.until(lambda: stored.final)

    assert stored.final is not None
    assert (stored.final.outcome, stored.final.exit_code) == (AttemptState.EXCEPTION, None)
    assert (stored.final.reason, stored.final.cause) == (reason, "exception")


async def test_exit_127_is_the_jobs_own_failure(master: FakeMaster, folder: Path) -> None:
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer("exit 127"))
        await master.until(lambda: stored.final)

    assert stored.final is not None
    assert (stored.final.outcome, stored.final.cause) == (AttemptState.FAILED, "exit:127")


async def test_a_template_that_names_an_unknown_value_executes_nothing(master: FakeMaster, folder: Path) -> None:
    witness = folder.parent / "witness"
    steps = (Step(name="one", run=f"touch {witness}"), Step(name="two", command=("echo", "{parameters.branhc}")))
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(Execution(steps=steps), parameters={"branch": "main"}))
        await master.until(lambda: stored.final)

    assert stored.final is not None
    assert stored.final.outcome is AttemptState.EXCEPTION
    assert "parameters.branhc" in stored.final.reason
    assert kinds(stored) == ["Started", "Final"]
    assert not witness.exists()


async def test_parameters_results_and_templates_reach_the_steps(master: FakeMaster, folder: Path) -> None:
    steps = (
        Step(
            name="one", run='echo "$PARAM_DRAIN_FOR $ORCHESTRA_RUN"; echo \'{"version": "1.2"}\' > "$ORCHESTRA_RESULTS"'
        ),
        Step(name="two", command=("echo", "{results.version}", "{parameters.drain-for}", "{run.number}")),
    )
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(Execution(steps=steps), parameters={"drain-for": "10m"}))
        await master.until(lambda: stored.final)

    assert bytes(stored.log) == b"10m 1\n1.2 10m 1\n"
    found = [event.happening for event in stored.events if isinstance(event.happening, Results)]
    assert [{name: bytes(value) for name, value in each.values.items()} for each in found] == [{"version": b'"1.2"'}]


async def test_results_that_are_no_json_make_an_exception(master: FakeMaster, folder: Path) -> None:
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer('echo "{oops" > "$ORCHESTRA_RESULTS"'))
        await master.until(lambda: stored.final)

    assert stored.final is not None
    assert stored.final.outcome is AttemptState.EXCEPTION
    assert "results file is no JSON object" in stored.final.reason


async def test_check_ins_and_results_work_through_the_orchestra_command(master: FakeMaster, folder: Path) -> None:
    text = 'orchestra checkin 30% "building"; orchestra result set version 7; while [ ! -e go ]; do :; done'
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(text))
        await master.until(lambda: any(isinstance(event.happening, CheckIn) for event in stored.events))
        (folder / "workspaces" / "demo" / "go").touch()
        await master.until(lambda: stored.final)

    assert CheckIn(progress=0.3, text="building") in [event.happening for event in stored.events]
    assert stored.final is not None
    assert stored.final.outcome is AttemptState.SUCCEEDED, bytes(stored.log)


async def test_the_agents_secrets_do_not_reach_a_step(
    master: FakeMaster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRA_TOKEN", "orc_w_secret")
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer("env"))
        await master.until(lambda: stored.final)

    assert b"orc_w_secret" not in stored.log
    assert b"PYTHON" not in stored.log


async def test_secrets_are_masked_in_log_results_and_reason(master: FakeMaster, folder: Path) -> None:
    steps = (
        Step(name="one", run='echo "<$PARAM_KEY>"; echo "{\\"key\\": \\"$PARAM_KEY\\"}" > "$ORCHESTRA_RESULTS"'),
        Step(name="two", command=("{parameters.key}",)),
    )
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(Execution(steps=steps), secrets={"key": "hunter22"}))
        await master.until(lambda: stored.final)

    everything = bytes(stored.log) + repr([event.happening for event in stored.events]).encode()
    assert b"hunter22" not in everything
    assert b"<********>" in stored.log
    assert stored.final is not None
    assert stored.final.log_digest == digest_of(bytes(stored.log))


async def test_offers_beyond_twice_the_slots_are_refused(master: FakeMaster, folder: Path) -> None:
    async with given.agent_on(folder, master, slots=2):
        first = master.offer(given.offer("sleep 600", run=1, slots=4))
        await master.until(lambda: first.is_accepted)
        second = master.offer(given.offer("true", run=2))
        await master.until(lambda: second.refusal)
        master.say(Forget(run=given.offer("", run=1).run, attempt=given.offer("").attempt))
        await given.until(lambda: not (folder / "attempts" / "1-1").exists())

    assert second.refusal == "no room: 4 slots are taken or waited for, it has 2, 1 are asked for"


async def test_the_same_offer_and_go_again_change_nothing(master: FakeMaster, folder: Path) -> None:
    witness = folder.parent / "witness"
    asked = given.offer(f"echo x >> {witness}; echo begun; while [ ! -e go ]; do :; done")
    async with given.agent_on(folder, master):
        stored = master.offer(asked)
        await master.until(lambda: b"begun" in stored.log)
        master.say(asked, Go(run=asked.run, attempt=asked.attempt), asked)
        (folder / "workspaces" / "demo" / "go").touch()
        await master.until(lambda: stored.final)

    assert witness.read_text() == "x\n"
    assert kinds(stored) == ["Started", "StepStarted", "StepEnded", "Final"]


async def test_a_stop_before_go_ends_the_attempt_without_running_anything(master: FakeMaster, folder: Path) -> None:
    witness = folder.parent / "witness"
    asked = given.offer(given.execution(f"touch {witness}", teardown=(Step(name="tidy", run=f"touch {witness}"),)))
    async with given.agent_on(folder, master):
        master.offered[asked.run, asked.attempt] = asked
        stored = master.attempts[asked.run, asked.attempt] = StoredAttempt()
        master.say(asked)
        master.stop(asked)
        await master.until(lambda: stored.final)

    assert [type(event.happening).__name__ for event in stored.events] == ["Final"]
    assert stored.final is not None
    assert stored.final.outcome is AttemptState.ABORTED
    assert not witness.exists()
