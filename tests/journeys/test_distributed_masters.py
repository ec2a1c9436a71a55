"""Two masters over one database: they share the work, and each goes on with what the other one leaves behind."""

import collections
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.distributed import Distributed
from tests.support.gated import GatedJob
from tests.support.journey import await_lines, lines_of, running, wait_until

NOTING = """
orchestra: 1
project: ops
jobs:
  note:
    parameters:
      seconds: {{ type: string, default: "0" }}
    run: |
      echo "$ORCHESTRA_RUN $ORCHESTRA_ATTEMPT" >> {witness}
      sleep "$PARAM_SECONDS"
      while [ -e {witness}.hold ]; do sleep 0.1; done
      echo "noted by $ORCHESTRA_WORKER"
"""
TICKING = '  tick:\n    schedule: every 1s\n    run: echo "tick $ORCHESTRA_RUN" >> {ticks}\n'
TICKED = """
select due_at, run_id, id from (select due_at, run_id from schedule_ticks where decision = 'fired') as fired
full join (select id from runs where source = 'schedule') as made on id = run_id
"""
RUNS = 60
SLOTS = 4
KILLS = 5


@pytest.fixture
def instance(tmp_path: Path, postgres_url: str) -> Iterator[Distributed]:
    """Two masters and a service."""
    with Distributed(tmp_path, postgres_url) as distributed:
        yield distributed


def test_a_worker_goes_on_under_the_other_master_when_its_own_dies(instance: Distributed, tmp_path: Path) -> None:
    job = GatedJob(tmp_path, steps=2)
    with running(instance.worker("atlas")):
        instance.apply(job.definition)
        run = instance.trigger("ops/gated")
        job.await_begin(1)
        wait_until(lambda: instance.log(run) == job.beginning_of(1), what="the first output")
        first = instance.await_holder("atlas")

        first.kill()
        job.open(1)
        job.await_begin(2)
        second = instance.await_holder("atlas", other_than=first)
        wait_until(lambda: instance.log(run) == job.log_of(1) + job.beginning_of(2), what="its log under the other")
        first.start()  # back again, and with nothing to do with it
        first.await_port()
        second.kill()
        job.open(2)
        job.await_end(2)

        job.assert_whole(instance, run)
        assert instance.holder_of("atlas") is first


def test_a_run_goes_on_while_every_master_is_dead(instance: Distributed, tmp_path: Path) -> None:
    job = GatedJob(tmp_path, steps=2)
    with running(instance.worker("atlas")):
        instance.apply(job.definition + '  later: { run: "true" }\n')
        run = instance.trigger("ops/gated")
        job.await_begin(1)
        instance.reach(run, "running")

        for master in instance.masters:
            master.kill()
        job.open(1, 2)
        job.await_end(2)
        meanwhile = instance.run(run).state  # the service needs no master
        later = instance.trigger("ops/later")
        for master in instance.masters:
            master.start()

        job.assert_whole(instance, run)
        assert meanwhile == "running"
        assert instance.finish(later).state == "succeeded"


def test_two_masters_share_the_work_and_nothing_is_executed_twice(
    instance: Distributed, tmp_path: Path, witness: Path
) -> None:
    # Each master has workers that only it can give runs to, so that neither of them can do all the work.
    ports = [master.port for master in instance.masters]
    workers = [instance.worker(f"worker-{n}", slots=SLOTS, ports=[ports[n % 2]]) for n in range(4)]
    ticks = tmp_path / "ticks"
    with running(*workers):
        wait_until(lambda: sum(each.connected for each in instance.fleet().values()) == 4, what="the workers")
        instance.apply(NOTING.format(witness=witness) + TICKING.format(ticks=ticks))
        # Until every slot is taken none is free again, so that neither is quick enough for both.
        hold = tmp_path / "witness.hold"
        hold.touch()
        numbers = [instance.trigger("ops/note", {"seconds": "0.1"}) for _ in range(RUNS)]
        await_lines(witness, SLOTS * len(workers))
        hold.unlink()
        runs = [instance.finish(number) for number in numbers]
        wait_until(lambda: len(lines_of(ticks)) >= 3, what="some ticks")
        # At one moment: a schedule goes on.
        ticked = instance.rows(TICKED)
        told = lines_of(ticks)

        by_master = collections.Counter(run.worker in ("worker-0", "worker-2") for run in runs)
        assert {(run.state, run.attempts_counted) for run in runs} == {("succeeded", 1)}
        assert min(by_master[True], by_master[False]) >= 2 * SLOTS, by_master
        assert sorted(int(line.split()[0]) for line in lines_of(witness)) == numbers
        assert len({row["due_at"] for row in ticked}) == len(ticked)
        assert [row["run_id"] for row in ticked] == [row["id"] for row in ticked]
        assert len(set(told)) == len(told)


def test_masters_killed_all_the_time_execute_each_run_once(instance: Distributed, witness: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # shown if it fails
    chance = random.Random(seed)
    with running(*(instance.worker(f"worker-{n}", slots=3) for n in range(2))):
        instance.apply(NOTING.format(witness=witness))
        numbers = [instance.trigger("ops/note", {"seconds": "0.2"}) for _ in range(RUNS)]
        for _ in range(KILLS):
            so_far = len(lines_of(witness))
            victim = chance.choice(instance.masters)
            victim.kill()
            enough = min(RUNS, so_far + chance.randrange(1, RUNS // KILLS))
            await_lines(witness, enough)
            victim.start()
        runs = [instance.finish(number) for number in numbers]
        logs = {instance.log(run.id).partition(b"worker-")[0] for run in runs}

    assert {(run.state, run.attempts_counted) for run in runs} == {("succeeded", 1)}
    assert sorted(int(line.split()[0]) for line in lines_of(witness)) == numbers
    assert logs == {b"noted by "}
