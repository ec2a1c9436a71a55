"""The database goes away, for all or for one master: only time is lost."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.distributed import Distributed, database_proxy
from tests.support.gated import GatedJob
from tests.support.journey import await_lines, lines_of, running, wait_until

NOTING = """
orchestra: 1
project: ops
jobs:
  note:
    run: |
      echo "$ORCHESTRA_RUN begins" >> {witness}
      sleep 0.2
      echo "noted $ORCHESTRA_RUN"
      orchestra result set run "$ORCHESTRA_RUN" --parse
      echo "$ORCHESTRA_RUN ends" >> {witness}
"""
RUNS = 40
BREAKS = 6


@pytest.fixture
def instance(tmp_path: Path, postgres_url: str) -> Iterator[Distributed]:
    """Two masters and a service."""
    with Distributed(tmp_path, postgres_url) as distributed:
        yield distributed


def assert_each_once(instance: Distributed, numbers: list[int], witness: Path) -> None:
    runs = [instance.finish(number) for number in numbers]
    assert {(run.state, run.attempts_counted) for run in runs} == {("succeeded", 1)}
    assert sorted(lines_of(witness)) == sorted(f"{number} {word}" for number in numbers for word in ("begins", "ends"))
    assert {run.id: instance.log(run.id) for run in runs} == {number: b"noted %d\n" % number for number in numbers}
    results: Mapping[int, object] = {run.id: run.results for run in runs}
    assert results == {number: {"run": number} for number in numbers}


def test_connections_that_are_ended_all_the_time_lose_nothing_and_double_nothing(
    instance: Distributed, witness: Path
) -> None:
    with running(*(instance.worker(f"worker-{n}", slots=3) for n in range(2))):
        instance.apply(NOTING.format(witness=witness))
        numbers = []
        ended = []
        for number in range(RUNS):
            numbers.append(instance.trigger("ops/note"))
            if number % (RUNS // BREAKS) == 0:
                ended.append(wait_until(instance.end_connections, what="connections to end"))
        for enough in range(RUNS, 2 * RUNS, RUNS // BREAKS):
            await_lines(witness, enough)
            ended.append(wait_until(instance.end_connections, what="connections to end"))

        assert min(ended) > 0
        assert_each_once(instance, numbers, witness)


def test_a_database_that_is_away_for_everybody_costs_time_only(
    tmp_path: Path, postgres_folder: Path, postgres_url: str, witness: Path
) -> None:
    with database_proxy(postgres_folder, postgres_url) as (proxy, address):
        job = GatedJob(tmp_path, steps=2)
        with Distributed(tmp_path, address) as instance, running(instance.worker("atlas")):
            instance.apply(job.definition)
            run = instance.trigger("ops/gated")
            job.await_begin(1)
            instance.reach(run, "running")

            proxy.cut()
            tries = proxy.accepted
            job.open(1, 2)
            job.await_end(2)
            wait_until(lambda: proxy.accepted > tries + 3, what="the parts to look for the database")
            proxy.mend()

            job.assert_whole(instance, run)
            assert all(part.is_running for part in instance.parts)


def test_a_master_without_its_database_leaves_its_idle_worker_to_the_other(
    tmp_path: Path, postgres_folder: Path, postgres_url: str, witness: Path
) -> None:
    with (
        database_proxy(postgres_folder, postgres_url) as (proxy, address),
        Distributed(tmp_path, postgres_url, databases=[address]) as instance,
    ):
        alone, other = instance.masters
        other.kill()
        with running(instance.worker("atlas")):
            assert instance.await_holder("atlas") is alone
            instance.apply(NOTING.format(witness=witness))
            other.start()
            other.await_port()

            proxy.cut()
            numbers = [instance.trigger("ops/note") for _ in range(3)]
            assert instance.await_holder("atlas", other_than=alone) is other
            assert_each_once(instance, numbers, witness)
            proxy.mend()
            assert alone.is_running
            assert "workers_sent_away" in alone.program.output
