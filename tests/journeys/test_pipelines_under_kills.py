"""Pipelines whose masters die all the time, or end two predecessors at one moment: each element runs exactly once."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.distributed import Distributed
from tests.support.journey import Orchestra, await_lines, lines_of, running
from tests.support.pipelines import PipelineOf

HEAD = """
orchestra: 1
project: shop
jobs:
  note:
    parameters: {{ name: {{ type: string }}, seconds: {{ type: string, default: "0.1" }} }}
    run: |
      echo "begin $PARAM_NAME" >> {witness}
      sleep $PARAM_SECONDS
      echo "end $PARAM_NAME" >> {witness}
  meet:
    parameters: {{ name: {{ type: string }}, other: {{ type: string }} }}
    run: |
      echo "begin $PARAM_NAME" >> {witness}
      touch {folder}/$PARAM_NAME
      while [ ! -e {folder}/$PARAM_OTHER ]; do sleep 0.005; done
  whole:
    elements:
"""
LAYERS, WIDTH, WIDE, MANY = 10, 4, "e5x1", 6
"""So many elements, of which one has a run for each of so many values."""
KILLS = 12
FINISH_SECONDS_MAX = 180.0
MEETINGS, PIPELINES = 12, 4
SAME_MOMENT_MICROSECONDS = 100_000


def layered() -> dict[str, list[str]]:
    """Elements, each after two or three of the layer before."""
    before: dict[str, list[str]] = {}
    for layer in range(LAYERS):
        for place in range(WIDTH):
            chance = random.Random(f"{layer} {place}")
            previous = [f"e{layer - 1}x{number}" for number in range(WIDTH)] if layer else []
            before[f"e{layer}x{place}"] = sorted(chance.sample(previous, min(len(previous), chance.choice((2, 3)))))
    return before


def element(name: str, before: list[str]) -> str:
    """In the definition."""
    after = f", after: {{ {', '.join(f'{each}: succeeded' for each in before)} }}" if before else ""
    matrix = f", matrix: {{ n: {list(range(MANY))} }}" if name == WIDE else ""
    told = f"{name}-{{matrix.n}}" if matrix else name
    return f'      {name}: {{ job: note, with: {{ name: "{told}" }}{after}{matrix} }}\n'


def assert_each_once_and_in_order(witness: Path, before: Mapping[str, list[str]]) -> None:
    """Every run began once, after the ends of all that its element waits for."""
    runs_of = {name: [f"{name}-{n}" for n in range(MANY)] if name == WIDE else [name] for name in before}
    told = lines_of(witness)
    assert Counter(told) == Counter(
        f"{word} {run}" for runs in runs_of.values() for run in runs for word in ("begin", "end")
    )
    at = {line: number for number, line in enumerate(told)}
    for name, names_before in before.items():
        ends = [at[f"end {run}"] for each in names_before for run in runs_of[each]]
        assert all(at[f"begin {run}"] > max(ends, default=-1) for run in runs_of[name]), name


@pytest.mark.timeout(400)
def test_a_master_killed_all_the_time_begins_each_of_forty_elements_once(
    up: Orchestra, tmp_path: Path, witness: Path
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # shown if it fails
    chance, before = random.Random(seed), layered()
    elements = "".join(element(name, names) for name, names in before.items())
    lines_in_all = 2 * (len(before) + MANY - 1)
    kills = 0
    with running(up.worker(tmp_path, "atlas", slots=4)):
        up.apply(HEAD.format(witness=witness, folder=tmp_path) + elements)
        number = up.trigger("shop/whole")
        for _ in range(KILLS):
            # What runs goes on without a master, but nothing begins: so there is always something left for the next.
            await_lines(witness, len(lines_of(witness)) + chance.randint(1, 4))
            assert len(lines_of(witness)) < lines_in_all, f"it was over after {kills} kills"
            up.close_clients()
            up.program.kill()
            kills += 1
            up.start()
        run = up.finish(number, seconds=FINISH_SECONDS_MAX)

        assert kills == KILLS
        assert run.state == "succeeded", run.reason
        assert set(PipelineOf(up, number).states.values()) == {"succeeded"}
        assert_each_once_and_in_order(witness, before)


@pytest.fixture
def instance(tmp_path: Path, postgres_url: str) -> Iterator[Distributed]:
    """Two masters and a service."""
    with Distributed(tmp_path, postgres_url) as distributed:
        yield distributed


MEETING = """\
      left-{n}:
        job: meet
        with: {{ name: "{{run.number}}-left-{n}", other: "{{run.number}}-right-{n}" }}
        worker: {{ side: left }}
{after}
      right-{n}:
        job: meet
        with: {{ name: "{{run.number}}-right-{n}", other: "{{run.number}}-left-{n}" }}
        worker: {{ side: right }}
{after}
      join-{n}:
        job: note
        with: {{ name: "{{run.number}}-join-{n}", seconds: "0" }}
        after: {{ left-{n}: succeeded, right-{n}: succeeded }}
"""
TOGETHER = """
select abs(l.ended_at - r.ended_at) as apart
from runs l join runs r on r.parent_id = l.parent_id and r.element = 'right-' || substring(l.element from 6)
where l.element like 'left-%'
"""


@pytest.mark.timeout(400)
def test_two_masters_that_end_both_predecessors_at_one_moment_begin_what_follows_once(
    instance: Distributed, tmp_path: Path, witness: Path
) -> None:
    first, second = (master.port for master in instance.masters)
    workers = [
        instance.worker("first", slots=6, ports=[first], side="left"),
        instance.worker("second", slots=6, ports=[second], side="right"),
    ]
    elements = "".join(MEETING.format(n=n, after=f"        after: join-{n - 1}" if n else "") for n in range(MEETINGS))
    with running(*workers):
        instance.apply(HEAD.format(witness=witness, folder=tmp_path) + elements)
        numbers = [instance.trigger("shop/whole") for _ in range(PIPELINES)]
        states = {instance.finish(number, seconds=FINISH_SECONDS_MAX).state for number in numbers}
        apart = sorted(int(str(row["apart"])) for row in instance.rows(TOGETHER))
        made = instance.rows("select parent_id, element from runs where parent_id is not null")

    assert states == {"succeeded"}
    begun = Counter(line for line in lines_of(witness) if line.startswith("begin"))
    wanted = {
        f"begin {number}-{kind}-{n}"
        for number in numbers
        for kind in ("left", "right", "join")
        for n in range(MEETINGS)
    }
    assert begun == Counter(wanted)
    assert len(made) == len(wanted)
    # Or the two masters never came into each other's way.
    assert len(apart) == MEETINGS * PIPELINES
    assert apart[0] < SAME_MOMENT_MICROSECONDS, apart
