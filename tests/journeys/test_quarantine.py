"""A job that kills the keeper of its worker: it is put into quarantine, others go on, and a person lets it go again."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.journey import PYTHON, Orchestra, await_lines, keeper_of, lines_of, running, wait_until

JOBS = """
orchestra: 1
project: ops
jobs:
  grim:
    worker: {{ place: here }}
    poison: {{ lost: 2, within: 10m }}
    retry: {{ max-attempts: 9, wait: 100ms, factor: 1, on: [lost] }}
    run: |
      echo "grim $ORCHESTRA_RUN-$ORCHESTRA_ATTEMPT" >> {witness}
      if [ ! -e {folder}/mended ]; then
        kill -9 $PPID
        sleep 300
      fi
      echo "all is well"
  beside:
    worker: {{ place: here }}
    run: echo works
  neighbour:
    worker: {{ place: there }}
    run: |
      echo "neighbour begins" >> {witness}
      while [ ! -e {folder}/mended ]; do sleep 0.05; done
"""


@pytest.fixture
def fleet(up: Orchestra, tmp_path: Path, witness: Path) -> Iterator[Orchestra]:
    """Two workers, one of them for the job that kills."""
    up.apply(JOBS.format(witness=witness, folder=tmp_path))
    with running(up.worker(tmp_path, "atlas", place="here"), up.worker(tmp_path, "borea", place="there")):
        wait_until(lambda: up.connected("atlas") and up.connected("borea"), what="the workers")
        yield up


def typed(up: Orchestra, *words: str) -> str:
    """What a command says, as the administrator."""
    arguments = [PYTHON, "-m", "orchestra", *words, "--server", up.address]
    arguments += ["--token-file", str(up.data / "admin.token")]
    return subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=60).stdout


def test_a_job_that_kills_its_keeper_is_put_away_and_a_person_lets_it_go(
    fleet: Orchestra, tmp_path: Path, witness: Path
) -> None:
    neighbour = fleet.trigger("ops/neighbour")
    await_lines(witness, 1)
    keeper = keeper_of(tmp_path / "atlas")

    first = fleet.trigger("ops/grim")
    wait_until(lambda: "in quarantine" in typed(fleet, "jobs"), what="the quarantine")
    second = fleet.trigger("ops/grim")
    beside = [fleet.finish(fleet.trigger("ops/beside")).state for _ in range(3)]

    page = typed(fleet, "job", "show", "ops/grim")
    assert f"2 attempts were lost within 10m: #{first}, #{first} attempt 2" in page
    assert beside == ["succeeded"] * 3
    why = typed(fleet, "run", "show", str(second))
    assert "job ops/grim is in quarantine since " in why
    assert "release it with 'orchestra job release ops/grim'" in why
    assert [fleet.reach(number, "pending").state for number in (first, second)] == ["pending", "pending"]
    assert fleet.run(neighbour).state == "running"
    assert keeper_of(tmp_path / "atlas") != keeper
    assert lines_of(witness) == ["neighbour begins", f"grim {first}-1", f"grim {first}-2"]
    said = [line for line in fleet.program.output.splitlines() if "job_quarantined" in line]
    assert len(said) == 1
    assert f"project=ops job=grim reason=2 attempts were lost within 10m: #{first}, #{first} attempt 2" in said[0]

    (tmp_path / "mended").touch()
    released = typed(fleet, "job", "release", "ops/grim", "--reason", "it is mended")
    ends = [fleet.finish(number) for number in (first, second, neighbour)]

    assert released == "ops/grim is released: what waits of it may start, and lost attempts are counted anew.\n"
    assert [(run.state, run.attempts_counted) for run in ends] == [("succeeded", 3), ("succeeded", 1), ("succeeded", 1)]
    assert sorted(lines_of(witness)[3:]) == [f"grim {first}-3", f"grim {second}-1"]
    assert "in quarantine" not in typed(fleet, "jobs")


def test_a_job_that_kills_again_after_its_release_is_put_away_again(
    fleet: Orchestra, tmp_path: Path, witness: Path
) -> None:
    number = fleet.trigger("ops/grim")
    wait_until(lambda: "in quarantine" in typed(fleet, "jobs"), what="the quarantine")

    typed(fleet, "job", "release", "ops/grim")
    await_lines(witness, 4)
    wait_until(lambda: "in quarantine" in typed(fleet, "jobs"), what="the second quarantine")

    page = typed(fleet, "job", "show", "ops/grim")
    assert f"2 attempts were lost within 10m: #{number} attempt 3, #{number} attempt 4" in page
    assert fleet.reach(number, "pending").attempts_counted == 4
    assert lines_of(witness) == [f"grim {number}-{attempt}" for attempt in range(1, 5)]
