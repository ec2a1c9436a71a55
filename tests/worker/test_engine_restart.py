"""What an attempt survives: the end of the agent, of the keeper, of the link, of the machine; and how leases end."""

import asyncio
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from orchestra.lifecycle import AttemptState
from orchestra.protocol.messages import Forget, LostRange, StepEnded
from orchestra.specification import Step
from orchestra_worker.keeper_files import read_exit
from tests.support.journey import end_marked_processes
from tests.worker import given
from tests.worker.fake_master import DEADLINE_SECONDS, FakeMaster, StoredAttempt

WAIT_FOR_GO = "while [ ! -e go ]; do sleep 0.02; done"


def let_go(folder: Path) -> None:
    (folder / "workspaces" / "demo" / "go").touch()


async def test_a_new_agent_takes_up_the_running_step_and_goes_on_with_the_next(
    master: FakeMaster, folder: Path
) -> None:
    witness = folder.parent / "witness"
    what = given.execution(
        f"echo 1 >> {witness}; echo a", f"echo 2 >> {witness}; echo b; {WAIT_FOR_GO}; echo c", f"echo 3 >> {witness}"
    )
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(what))
        await master.until(lambda: b"b\n" in stored.log)
        master.leave()
    let_go(folder)
    master.is_away = False
    async with given.agent_on(folder, master):
        await master.until(lambda: stored.final)

    assert stored.final is not None
    assert stored.final.outcome is AttemptState.SUCCEEDED
    assert bytes(stored.log) == b"a\nb\nc\n"
    assert witness.read_text() == "1\n2\n3\n"


async def test_a_step_that_ended_while_no_agent_was_there_is_told_later(master: FakeMaster, folder: Path) -> None:
    witness = folder.parent / "witness"
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(f"echo begun; {WAIT_FOR_GO}; echo end; touch {witness}; exit 3"))
        await master.until(lambda: b"begun" in stored.log)
        master.leave()
    let_go(folder)
    await given.until(lambda: read_exit(str(folder / "attempts" / "1-1"), 0) is not None)
    master.is_away = False
    async with given.agent_on(folder, master):
        await master.until(lambda: stored.final)

    assert stored.final is not None
    assert (stored.final.outcome, stored.final.exit_code) == (AttemptState.FAILED, 3)
    assert bytes(stored.log) == b"begun\nend\n"


async def test_a_step_that_was_journalled_but_never_claimed_is_started_once(master: FakeMaster, folder: Path) -> None:
    witness = folder.parent / "witness"
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(f"echo x >> {witness}; {WAIT_FOR_GO}"))
        await given.until(witness.exists)
        master.leave()
    # As if the agent had died between the journal and the keeper: no claim, no step, but a started attempt.
    given.kill_keeper(folder)
    await given.until(lambda: given.keeper_pid(folder) is None)
    for left in (folder / "attempts" / "1-1").iterdir():
        left.unlink()
    witness.unlink()
    let_go(folder)
    master.is_away = False
    async with given.agent_on(folder, master):
        await master.until(lambda: stored.final)

    assert witness.read_text() == "x\n"


async def test_runs_that_end_while_the_link_is_cut_arrive_once(master: FakeMaster, folder: Path) -> None:
    async with given.agent_on(folder, master):
        stored = [master.offer(given.offer(f"echo {run}; {WAIT_FOR_GO}", run=run)) for run in (1, 2, 3)]
        await master.until(lambda: all(each.log for each in stored))
        master.leave()
        let_go(folder)
        await given.until(lambda: all(read_exit(str(folder / f"attempts/{run}-1"), 0) for run in (1, 2, 3)))
        master.is_away = False
        await master.until(lambda: all(each.final for each in stored))

    assert [bytes(each.log) for each in stored] == [b"1\n", b"2\n", b"3\n"]
    assert all(each.final and each.final.outcome is AttemptState.SUCCEEDED for each in stored)


async def test_what_was_not_acknowledged_is_sent_again_to_the_next_session(master: FakeMaster, folder: Path) -> None:
    master.acknowledges = False
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer("echo hello"))
        await master.until(lambda: stored.final)
        stored.events.clear()
        stored.log.clear()
        master.acknowledges = True
        master.cut()
        await master.until(lambda: stored.is_forgotten)

    assert bytes(stored.log) == b"hello\n"


async def test_an_offer_is_listed_as_held_only_once_the_journal_has_it(master: FakeMaster, folder: Path) -> None:
    disk = given.Disk()
    async with given.agent_on(folder, master, disk=disk):
        disk.stalls()
        stored = master.offer(given.offer("echo hello"))
        async with asyncio.timeout(DEADLINE_SECONDS):
            await disk.waiting.wait()
        master.cut()
        await master.until(lambda: len(master.hellos) == 2)
        disk.goes_on()
        await master.until(lambda: stored.final)

    assert master.hellos[1].held == ()
    assert stored.is_accepted
    assert bytes(stored.log) == b"hello\n"


async def test_a_keeper_that_dies_ends_its_attempts_as_lost_and_the_next_run_works(
    master: FakeMaster, folder: Path
) -> None:
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer('echo "$$"; sleep 600'))
        await master.until(lambda: stored.log.endswith(b"\n"))
        given.kill_keeper(folder)
        await master.until(lambda: stored.final)
        following = master.offer(given.offer("echo next", run=2))
        await master.until(lambda: following.final)

    assert stored.final is not None
    assert (stored.final.outcome, stored.final.reason) == (AttemptState.EXCEPTION, "keeper lost")
    assert stored.final.cause == "lost"
    assert not given.is_alive(int(stored.log))
    assert following.final is not None
    assert following.final.outcome is AttemptState.SUCCEEDED


async def test_a_keeper_that_died_while_no_agent_was_there_is_noticed(master: FakeMaster, folder: Path) -> None:
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer('echo "$$"; sleep 600'))
        await master.until(lambda: stored.log.endswith(b"\n"))
        master.leave()
    given.kill_keeper(folder)
    await given.until(lambda: given.keeper_pid(folder) is None)
    master.is_away = False
    async with given.agent_on(folder, master):
        await master.until(lambda: stored.final)

    assert stored.final is not None
    assert (stored.final.outcome, stored.final.reason) == (AttemptState.EXCEPTION, "keeper lost")
    assert not given.is_alive(int(stored.log))


async def test_another_boot_ends_the_attempt_as_lost_with_the_log_kept(master: FakeMaster, folder: Path) -> None:
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer("echo kept; sleep 600"))
        await master.until(lambda: b"kept" in stored.log)
        master.leave()
    given.kill_keeper(folder)
    end_marked_processes(str(folder / "attempts"))  # as a restart of the machine does
    with sqlite3.connect(folder / "worker.db") as connection:
        connection.execute("update attempts set boot_id = 'an older one'")
    connection.close()
    master.is_away = False
    async with given.agent_on(folder, master):
        await master.until(lambda: stored.final)

    assert stored.final is not None
    assert (stored.final.outcome, stored.final.cause) == (AttemptState.EXCEPTION, "lost")
    assert stored.final.reason == "machine restarted"
    assert bytes(stored.log) == b"kept\n"
    ended = next(each.happening for each in stored.events if isinstance(each.happening, StepEnded))
    assert (ended.step, ended.exit_code, ended.reason) == (0, None, "machine restarted")


async def test_an_accepted_attempt_starts_after_a_restart_of_the_machine(master: FakeMaster, folder: Path) -> None:
    asked = given.offer("echo hello")
    async with given.agent_on(folder, master):
        stored = master.attempts[asked.run, asked.attempt] = StoredAttempt()
        master.says_go = False
        master.say(asked)
        await master.until(lambda: stored.is_accepted)
        master.leave()
    with sqlite3.connect(folder / "worker.db") as connection:
        connection.execute("update attempts set boot_id = 'an older one'")
    connection.close()
    master.is_away = False
    async with given.agent_on(folder, master):
        await master.until(lambda: stored.final)

    assert stored.final is not None
    assert stored.final.outcome is AttemptState.SUCCEEDED


async def test_what_a_power_failure_took_from_the_log_is_counted(master: FakeMaster, folder: Path) -> None:
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(f"{WAIT_FOR_GO}; echo hello"))
        await master.until(lambda: len(stored.events) == 2)
        master.leave()
        let_go(folder)
        await given.until(lambda: _final_is_written(folder))
    os.truncate(folder / "attempts" / "1-1" / "log", 2)
    master.is_away = False
    async with given.agent_on(folder, master):
        await master.until(lambda: stored.final)

    assert stored.final is not None
    assert (stored.final.log_length, stored.final.lost) == (2, (LostRange(offset=2, length=4),))
    assert bytes(stored.log) == b"he"


async def test_a_stop_that_came_while_the_agent_was_away_is_obeyed(master: FakeMaster, folder: Path) -> None:
    asked = given.offer(given.execution("echo begun; sleep 600", teardown=(Step(name="tidy", run="echo tidy"),)))
    async with given.agent_on(folder, master):
        stored = master.offer(asked)
        await master.until(lambda: b"begun" in stored.log)
        master.stop(asked)
    async with given.agent_on(folder, master):
        await master.until(lambda: stored.final)

    assert stored.final is not None
    assert stored.final.outcome is AttemptState.ABORTED
    assert bytes(stored.log) == b"begun\ntidy\n"


async def test_forgetting_a_running_attempt_ends_it_and_leaves_nothing(master: FakeMaster, folder: Path) -> None:
    asked = given.offer('echo "$$"; sleep 600')
    async with given.agent_on(folder, master):
        stored = master.offer(asked)
        await master.until(lambda: stored.log.endswith(b"\n"))
        master.say(Forget(run=asked.run, attempt=asked.attempt))
        await given.until(lambda: not (folder / "attempts" / "1-1").exists())

    assert not given.is_alive(int(stored.log))
    assert stored.final is None


async def test_a_lease_ends_the_run_by_itself_when_no_heartbeat_is_answered(master: FakeMaster, folder: Path) -> None:
    witness = folder.parent / "torn-down"
    teardown = (Step(name="tidy", run=f"touch {witness}"),)
    what = given.execution('echo "$$"; sleep 600', disconnect_stop_seconds=1.5, grace_seconds=1.0, teardown=teardown)
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(what))
        await master.until(lambda: stored.log.endswith(b"\n"))
        master.leave()
        await given.until(lambda: not given.is_alive(int(stored.log)))
        master.is_away = False
        await master.until(lambda: stored.final)

    assert stored.final is not None
    assert (stored.final.outcome, stored.final.cause) == (AttemptState.EXCEPTION, "lost")
    assert not witness.exists()


async def test_the_lease_holds_while_no_agent_lives(master: FakeMaster, folder: Path) -> None:
    what = given.execution('echo "$$"; sleep 600', disconnect_stop_seconds=1.5, grace_seconds=1.0)
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(what))
        await master.until(lambda: stored.log.endswith(b"\n"))
        master.leave()

    await given.until(lambda: not given.is_alive(int(stored.log)))


@pytest.mark.parametrize("damage", ["noise", "newer version"])
async def test_a_journal_that_is_unusable_is_put_aside_and_its_steps_are_ended(
    master: FakeMaster, folder: Path, damage: str
) -> None:
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer('echo "$$"; sleep 600'))
        await master.until(lambda: stored.log.endswith(b"\n"))
        master.leave()
    if damage == "noise":
        (folder / "worker.db").write_bytes(os.urandom(8192))
    else:
        connection = sqlite3.connect(folder / "worker.db")
        connection.execute("pragma user_version = 99")
        connection.close()
    master.is_away = False
    async with given.agent_on(folder, master):
        following = master.offer(given.offer("echo next", run=2))
        await master.until(lambda: following.final)

    assert master.hellos[-1].held == ()
    assert not given.is_alive(int(stored.log))
    assert list(folder.glob("worker.db.broken-*"))


async def test_a_long_log_is_sent_within_the_window_and_punched_out_behind(master: FakeMaster, folder: Path) -> None:
    async with given.agent_on(folder, master):
        master.forgets_at_once = False
        stored = master.offer(given.offer("head -c 20000000 /dev/zero"))
        await master.until(lambda: stored.final)
        await asyncio.wait_for(given.until(lambda: _blocks(folder / "attempts/1-1/log") < 4_000_000), 10)

    assert bytes(stored.log) == bytes(20_000_000)
    ended = [event.happening for event in stored.events if isinstance(event.happening, StepEnded)]
    assert [each.log_length for each in ended] == [20_000_000]


def _final_is_written(folder: Path) -> bool:
    # Of a copy: the agent has the file for itself.
    for name in ("worker.db", "worker.db-wal"):
        shutil.copy(folder / name, folder.parent / name)
    connection = sqlite3.connect(folder.parent / "worker.db")
    (state,) = connection.execute("select state from attempts").fetchone()
    connection.close()
    return bool(state == AttemptState.SUCCEEDED)


def _blocks(path: Path) -> int:
    return path.stat().st_blocks * 512
