"""The defects of the predecessor of this product, each by its number, on real processes: none may come back.

D1 a long or odd line blocks the process · D2 a grandchild delays the end and survives a kill · D3 one database error
loses log and status · D4 any worker speaks for any run · D5 a late word overwrites an end · D6 templates reach
attributes, the agent's environment and all memory · D7 a name that cannot be resolved ends the worker and its runs ·
D8 an offer of a dead master is never made again · D9 logs count characters, lose last lines and spaces · D10 ticks are
missed or doubled · D11 updates are not acknowledged, a half-open link locks the worker out · D12 a live run is given up
after a crash of its agent, and cannot be aborted.

Their narrower sisters: D4, D5 and D11 in `tests/master/test_link.py`, D8 in `tests/master/test_duties.py`, D6 in
`tests/worker/test_formatter.py`, D10 in `tests/master/test_ticker.py` and `tests/journeys/test_two_tickers.py`. D13 is
the website's. D14, sign-in and roles, is in `tests/service/test_accounts.py` and `tests/service/test_permissions.py`.
"""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestra.definition.reader import read_definition
from orchestra.errors import OrchestraError
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import AttemptState
from orchestra.network.client import API
from orchestra.protocol.codec import CloseCode
from orchestra.protocol.messages import Chunk, Forget, Held
from tests.support.figures import figure
from tests.support.impostor import impostor
from tests.support.journey import (
    PYTHON,
    Orchestra,
    Program,
    keeper_of,
    lines_of,
    marked_processes,
    running,
    started,
    wait_until,
)
from tests.support.proxy import Proxy
from tests.support.worker_end import final, hello
from tests.support.worker_end import started as started_event

HEAD = "orchestra: 1\nproject: ops\njobs:\n"
COUNTING = HEAD + (
    "  count:\n"
    "    run: |\n"
    "      echo begin $ORCHESTRA_RUN >> {witness}\n"
    "      for number in $(seq 1 {lines}); do echo line $number; sleep 0.1; done\n"
    "      while [ -e {witness}.hold ]; do sleep 0.1; done\n"
    "      echo end $ORCHESTRA_RUN >> {witness}\n"
)


def counted(lines: int) -> bytes:
    """The log of `count`."""
    return b"".join(b"line %d\n" % number for number in range(1, lines + 1))


@pytest.fixture
def atlas(up: Orchestra, tmp_path: Path) -> Iterator[Program]:
    """A worker of the instance that `up` is, connected."""
    worker = up.worker(tmp_path, "atlas", slots=4)
    with running(worker):
        wait_until(lambda: up.connected("atlas"), what="the worker")
        yield worker


def await_lines(witness: Path, count: int) -> None:
    """Waits until the jobs have written so many."""
    wait_until(lambda: len(lines_of(witness)) >= count, what=f"{count} lines of witness")


def worker_token(up: Orchestra, name: str) -> str:
    """A new worker token for a worker of this name."""
    made = up.api.post(f"{API}/tokens", {"name": name, "kind": "worker"}).read(dict[str, object])
    return str(made["secret"])


def test_d1_a_long_line_and_an_odd_byte_block_nothing(up: Orchestra, atlas: Program, tmp_path: Path) -> None:
    content = b"x" * 70_000 + b" caf\xe9 \xff " + b"y" * 3_000_000
    (tmp_path / "content").write_bytes(content)
    up.apply(
        HEAD
        + f"  odd: {{ run: cat {tmp_path}/content }}\n"
        + f"  endless: {{ run: 'while :; do cat {tmp_path}/content; done' }}\n"
    )

    odd = up.finish(up.trigger("ops/odd"))
    endless = up.trigger("ops/endless")
    wait_until(lambda: up.run(endless).log_length > 5_000_000, what="much output")
    up.api.post(f"{API}/runs/{endless}/abort", {})
    aborted = up.finish(endless)

    assert (odd.state, up.log(odd.id)) == ("succeeded", content)
    assert aborted.state == "aborted"
    assert not marked_processes(f"{tmp_path}/atlas/attempts/{endless}-")


def test_d2_a_grandchild_neither_delays_the_end_nor_survives_a_kill(
    up: Orchestra, atlas: Program, tmp_path: Path
) -> None:
    mark = f"    environment: {{ MARK: {tmp_path}-mark }}\n"
    up.apply(
        HEAD
        + f"  quick:\n{mark}    run: |\n      sleep 300 &\n      echo done\n"
        + f"  slow:\n    grace: 1s\n{mark}    run: |\n"
        + "      (trap '' TERM; setsid sleep 300) &\n      (sleep 300 & sleep 300) &\n      echo ready\n      wait\n"
    )

    began = time.monotonic()
    quick = up.finish(up.trigger("ops/quick"))
    took = time.monotonic() - began
    slow = up.trigger("ops/slow")
    wait_until(lambda: up.log(slow) == b"ready\n", what="the grandchildren")
    were_there = len(marked_processes(f"{tmp_path}-mark"))
    up.api.post(f"{API}/runs/{slow}/abort", {})
    aborted = up.finish(slow)

    assert (quick.state, up.log(quick.id)) == ("succeeded", b"done\n")
    assert took < figure(10)
    assert were_there >= 4
    assert aborted.state == "aborted"
    assert not marked_processes(f"{tmp_path}-mark")


def test_d3_a_database_that_is_locked_for_a_while_costs_no_update(up: Orchestra, atlas: Program, witness: Path) -> None:
    up.apply(COUNTING.format(witness=witness, lines=30))
    number = up.trigger("ops/count")
    up.reach(number, "running")

    locker = sqlite3.connect(up.data / "orchestra.db", isolation_level=None)
    locker.execute("begin immediate")
    # Longer than SQLite itself waits for a lock, and longer than the run: its end meets the error too.
    time.sleep(7)
    wait_until(lambda: "end 1" in lines_of(witness), what="the run to end without a database")
    locker.execute("rollback")
    locker.close()
    run = up.finish(number)

    assert (run.state, run.attempts_counted) == ("succeeded", 1), run.reason
    assert up.log(number) == counted(30)
    assert lines_of(witness) == ["begin 1", "end 1"]


def test_d4_a_worker_can_neither_claim_nor_harm_anothers_run(up: Orchestra, atlas: Program, witness: Path) -> None:
    up.apply(COUNTING.format(witness=witness, lines=20))
    hold = witness.with_name("witness.hold")
    hold.touch()
    number = up.trigger("ops/count")
    up.reach(number, "running")
    run, attempt = RunId(number), AttemptNumber(1)
    token = worker_token(up, "mallory")

    with impostor(up.port, token) as thief:
        held = Held(run=run, attempt=attempt, state=AttemptState.STARTED, sequence=9, log_length=500)
        thief.greet("mallory", held=[held])
        thief.hear(Forget)
        thief.say(Chunk(run=run, attempt=attempt, offset=0, content=b"forged"))
        thief.say(started_event(run, attempt), final(run, attempt, sequence=10, exit_code=1))
        stolen, _ = thief.closed()
    with impostor(up.port, token) as double:
        double.say(hello(worker="atlas"))
        code, _ = double.closed()
    hold.unlink()
    over = up.finish(number)

    assert (stolen, code) == (CloseCode.OUT_OF_TURN, CloseCode.REFUSED)
    assert (over.state, over.worker) == ("succeeded", "atlas"), over.reason
    assert up.log(number) == counted(20)
    assert lines_of(witness) == ["begin 1", "end 1"]


def test_d5_a_late_word_does_not_change_an_end(up: Orchestra) -> None:
    up.apply(HEAD + "  note: { run: 'true' }\n")
    number = up.trigger("ops/note")
    run, attempt = RunId(number), AttemptNumber(1)
    token = worker_token(up, "odd")

    with impostor(up.port, token) as worker:
        worker.greet("odd")
        worker.take_offer()
        worker.say(started_event(run, attempt), final(run, attempt, sequence=2, exit_code=3))
        worker.hear(Forget)
    before = up.run(number)
    with impostor(up.port, token) as worker:
        held = Held(run=run, attempt=attempt, state=AttemptState.STARTED, sequence=1, log_length=0)
        worker.greet("odd", held=[held])
        worker.hear(Forget)
        worker.say(started_event(run, attempt), final(run, attempt, sequence=3))
        worker.hear(Forget)

    assert (before.state, before.exit_code) == ("failed", 3)
    assert up.run(number) == before


def test_d6_a_template_reaches_plain_values_and_nothing_else(
    up: Orchestra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = [
        "{environment[AWS_SECRET]}", "{parameters.x:>300000000}", "{parameters.x:>{parameters.width}}",
        "{parameters.x!r}", "{parameters.__class__}",
    ]  # fmt: skip
    at_the_run = {
        "class": "{environment.__class__}",
        "agent": "{environment.AWS_SECRET}",
        "once": "{parameters.x}",
    }
    text = HEAD + "".join(
        f"  {name}:\n    command: [echo, '{template}']\n    parameters:\n"
        "      x: { type: string, default: '{environment.HOME}' }\n"
        "      width: { type: string, default: '300000000' }\n"
        for name, template in at_the_run.items()
    )
    monkeypatch.setenv("AWS_SECRET", "not-for-jobs")

    for template in refused:
        with pytest.raises(OrchestraError):
            read_definition(text.replace("{parameters.x}", template), "orchestra.yaml")
    with running(up.worker(tmp_path, "atlas")):
        up.apply(text)
        runs = {name: up.finish(up.trigger(f"ops/{name}")) for name in at_the_run}

    assert up.log(runs["once"].id) == b"{environment.HOME}\n"
    for name in ("class", "agent"):
        assert runs[name].state == "exception"
        assert "template" in runs[name].reason
        assert up.log(runs[name].id) == b""


def test_d7_a_master_whose_name_cannot_be_resolved_ends_neither_worker_nor_runs(
    up: Orchestra, tmp_path: Path, witness: Path
) -> None:
    up.apply(COUNTING.format(witness=witness, lines=60))
    hold = witness.with_name("witness.hold")
    hold.touch()
    agent = up.worker(tmp_path, "atlas")
    arguments = ["worker", "start", "--name", "atlas", "--folder", str(tmp_path / "atlas"), "--slots", "2"]
    arguments += ["--master", "ws://no-such-host.invalid:7780", "--token-file", str(up.data / "worker.token")]
    lost = Program([PYTHON, "-m", "orchestra", *arguments], log=tmp_path / "lost.log")
    with running(agent):
        number = up.trigger("ops/count")
        up.reach(number, "running")
        agent.kill()
        lost.start()
        wait_until(lambda: lost.output.count("no-such-host") >= 3, what="three tries")
        was_alive = lost.process is not None and lost.process.poll() is None
        lost.stop()
        was_running = lines_of(witness) == ["begin 1"]
        hold.unlink()
        agent.start()
        run = up.finish(number)

    assert was_alive, lost.output
    assert was_running
    assert (run.state, run.attempts_counted) == ("succeeded", 1), run.reason
    assert up.log(number) == counted(60)
    assert lines_of(witness) == ["begin 1", "end 1"]


def test_d8_what_a_dead_master_had_given_to_nobody_is_given_again(up: Orchestra, tmp_path: Path, witness: Path) -> None:
    up.apply(COUNTING.format(witness=witness, lines=1))
    frozen, healthy = up.worker(tmp_path, "atlas"), up.worker(tmp_path, "boreas")
    with running(frozen):
        wait_until(lambda: up.connected("atlas"), what="the worker")
        os.kill(frozen.pid, signal.SIGSTOP)
        number = up.trigger("ops/count")
        up.reach(number, "assigned")
        up.program.kill()
        up.start()
        was = up.run(number)
        with running(healthy):
            run = up.finish(number)
            os.kill(frozen.pid, signal.SIGCONT)
            wait_until(lambda: up.connected("atlas"), what="the frozen worker to be back")

    assert (was.state, was.worker) == ("assigned", "atlas")
    assert (run.state, run.worker) == ("succeeded", "boreas"), run.reason
    assert lines_of(witness) == ["begin 1", "end 1"]


def test_d9_a_reconnect_in_the_middle_of_a_line_shifts_nothing(up: Orchestra, tmp_path: Path, witness: Path) -> None:
    text = "çà € 𝄞 and spaces at the end   "
    up.apply(
        HEAD + "  odd:\n    run: |\n"
        f"      printf '%s\\n%s' '{text}' 'half of €'\n      touch {witness}\n"
        f"      for wait in $(seq 1 2400); do [ -e {witness}-go ] && break; sleep 0.05; done\n"
        f"      printf '%s  ' '{text}'\n"
    )
    with Proxy(("127.0.0.1", up.port)) as proxy, running(up.worker(tmp_path, "atlas", port=proxy.port)):
        number = up.trigger("ops/odd")
        beginning = f"{text}\nhalf of €".encode()
        wait_until(lambda: up.log(number) == beginning, what="a line without an end to be stored")
        proxy.cut()
        witness.with_name("witness-go").touch()
        wait_until(
            lambda: not marked_processes(f"{tmp_path}/atlas/attempts/{number}-"),
            what="the job to end while it is cut off",
        )
        proxy.mend()
        run = up.finish(number)

    assert proxy.broken > 0
    assert run.state == "succeeded", run.reason
    assert up.log(number) == beginning + f"{text}  ".encode()


def test_d10_each_due_time_is_decided_once_though_the_master_is_killed(tmp_path: Path, witness: Path) -> None:
    with started(Orchestra(tmp_path, slots=0)) as up, running(up.worker(tmp_path, "atlas", slots=8)):
        schedule = "schedule: { cron: '* * * * * *', overlap: allow, grace: 1s, catch-up: none }"
        up.apply(HEAD + f"  tick:\n    {schedule}\n    run: echo $ORCHESTRA_RUN >> {witness}\n")
        await_lines(witness, 2)
        for _ in range(2):
            up.program.kill()
            time.sleep(2.5)  # due times that pass without a master are the fault
            seen = len(lines_of(witness))
            up.start()
            await_lines(witness, seen + 2)
        up.api.patch(f"{API}/projects/ops/jobs/tick", {"enabled": False, "reason": "enough"})
        wait_until(
            lambda: (
                not up.api.get(f"{API}/runs", {"status": "pending,assigned,running"}).read(dict[str, object])["items"]
            )
        )
    with sqlite3.connect(up.data / "orchestra.db") as database:
        ticks = database.execute("select due_at, decision, run_id from schedule_ticks order by due_at").fetchall()
        runs = [number for (number,) in database.execute("select id from runs order by id")]
    database.close()

    due = [at // 1_000_000 for at, _, _ in ticks]
    assert due == list(range(due[0], due[0] + len(due)))
    assert [run for _, decision, run in ticks if decision == "fired"] == runs
    assert sorted(map(int, lines_of(witness))) == runs
    unfired = [decision for _, decision, run in ticks if run is None]
    missed = [decision for decision in unfired if decision == "skipped: missed"]
    assert len(missed) >= 2
    # A second may begin between the disabling and the end: that is then the decision, and the last one.
    assert unfired == missed + ["skipped: disabled"] * (len(unfired) - len(missed))


def test_d11_a_half_open_link_locks_nobody_out_and_what_was_told_is_let_go(
    up: Orchestra, tmp_path: Path, witness: Path
) -> None:
    up.apply(COUNTING.format(witness=witness, lines=30))
    with Proxy(("127.0.0.1", up.port)) as proxy:
        agent = up.worker(tmp_path, "atlas", port=proxy.port)
        with running(agent):
            number = up.trigger("ops/count")
            up.reach(number, "running")
            # The master is not told that its worker is gone: to it the old link is alive.
            proxy.freeze()
            agent.kill()
            believed = up.connected("atlas")
            proxy.mend()
            began = time.monotonic()
            agent.start()
            wait_until(lambda: "link_welcome" in agent.output.split("epoch=1")[1], what="the second welcome")
            took = time.monotonic() - began
            run = up.finish(number)
            wait_until(lambda: not list((tmp_path / "atlas" / "attempts").glob("*")), what="the worker to forget")
    with sqlite3.connect(tmp_path / "atlas" / "worker.db") as journal:
        left = [journal.execute(f"select count(*) from {table}").fetchone() for table in ("attempts", "events")]
    journal.close()

    assert proxy.broken > 0
    assert believed
    assert took < figure(5)
    assert (run.state, run.attempts_counted) == ("succeeded", 1), run.reason
    assert up.log(number) == counted(30)
    assert left == [(0,), (0,)]


def test_d12_a_run_outlives_its_agent_and_can_still_be_aborted(
    up: Orchestra, atlas: Program, tmp_path: Path, witness: Path
) -> None:
    up.apply(COUNTING.format(witness=witness, lines=600))
    number = up.trigger("ops/count")
    up.reach(number, "running")
    keeper = keeper_of(tmp_path / "atlas")

    atlas.kill()
    atlas.start()
    wait_until(lambda: up.run(number).log_length > len(counted(20)), what="output after the crash")
    after = up.run(number)
    up.api.post(f"{API}/runs/{number}/abort", {"reason": "enough"})
    run = up.finish(number)

    assert after.state == "running"
    assert keeper_of(tmp_path / "atlas") == keeper
    assert (run.state, run.attempts_counted) == ("aborted", 1), run.reason
    assert "enough" in run.reason
    assert not marked_processes(f"{tmp_path}/atlas/attempts")
    assert lines_of(witness) == ["begin 1"]
