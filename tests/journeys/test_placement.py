"""Two workers, and jobs that say where they would like to go: back to a warm one, packed, with another element, or away
from where they failed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.journey import Orchestra, lines_of, running, wait_until

DEFINITION = """
orchestra: 1
project: ops
jobs:
  hold:
    run: until [ -e {folder}/go ]; do sleep 0.1; done
    worker: {{ name: atlas }}
    slots: 2
  hold-half: {{ run: "until [ -e {folder}/go ]; do sleep 0.1; done", worker: {{ name: wing }} }}
  after-hold: {{ run: "true", worker: {{ name: atlas }}, slots: 2 }}
  cached: {{ run: '{note}', worker: {{ prefer: {{ zone: {{ value: near, weight: 9 }} }}, sticky: true }} }}
  fresh: {{ run: '{note}', worker: {{ prefer: {{ zone: {{ value: near, weight: 9 }} }} }} }}
  packed: {{ run: "until [ -e {folder}/go ]; do sleep 0.1; done", worker: {{ placement: pack }} }}
  build: {{ run: '{note}', worker: {{ avoid: {{ zone: near }} }} }}
  test: {{ run: '{note}' }}
  release:
    elements:
      build: {{}}
      test: {{ after: build, matrix: {{ n: [1, 2, 3] }}, worker: {{ same-as: build }} }}
  fail:
    run: |
      {note}
      exit 3
    retry: {{ max-attempts: 2, wait: 0s, avoid-worker: true }}
"""


@pytest.fixture
def fleet(up: Orchestra, tmp_path: Path, witness: Path) -> Iterator[Orchestra]:
    """Workers atlas, which is near, and wing, with two slots each."""
    note = f'echo "$ORCHESTRA_RUN $ORCHESTRA_WORKER" >> {witness}'
    up.apply(DEFINITION.format(folder=tmp_path, note=note))
    with running(up.worker(tmp_path, "atlas", zone="near"), up.worker(tmp_path, "wing", zone="far")):
        wait_until(lambda: up.connected("atlas") and up.connected("wing"), what="both workers")
        yield up


def test_a_sticky_job_goes_back_to_where_it_succeeded_whatever_else_it_wishes(fleet: Orchestra, tmp_path: Path) -> None:
    fleet.reach(fleet.trigger("ops/hold"), "running")
    first = fleet.finish(fleet.trigger("ops/cached"))
    (tmp_path / "go").touch()
    fleet.finish(fleet.trigger("ops/after-hold"))

    again = fleet.finish(fleet.trigger("ops/cached"))
    other = fleet.finish(fleet.trigger("ops/fresh"))

    assert [(run.state, run.worker) for run in (first, again, other)] == [
        ("succeeded", "wing"), ("succeeded", "wing"), ("succeeded", "atlas"),
    ]  # fmt: skip


def test_what_is_packed_fills_one_worker_first(fleet: Orchestra, tmp_path: Path) -> None:
    fleet.reach(fleet.trigger("ops/hold-half"), "running")

    packed = [fleet.reach(fleet.trigger("ops/packed"), "running") for _ in range(3)]
    (tmp_path / "go").touch()

    assert [run.worker for run in packed] == ["wing", "atlas", "atlas"]
    assert [fleet.finish(run.id).state for run in packed] == ["succeeded"] * 3


def test_every_run_of_an_element_goes_where_the_one_before_was(fleet: Orchestra, witness: Path) -> None:
    run = fleet.finish(fleet.trigger("ops/release"))

    assert run.state == "succeeded"
    assert [line.split()[1] for line in lines_of(witness)] == ["wing"] * 4


def test_the_next_attempt_goes_elsewhere_than_where_the_last_one_failed(fleet: Orchestra, witness: Path) -> None:
    run = fleet.finish(fleet.trigger("ops/fail"))

    assert (run.state, run.attempts_counted) == ("failed", 2)
    assert sorted(line.split()[1] for line in lines_of(witness)) == ["atlas", "wing"]
