"""What one decision about a pipeline of 5,000 elements takes: `python -m benchmarks.decisions [--quick]`.

The production statements on an SQLite file, without a master or workers: a third of the elements are over when it
begins, then run after run ends. A step is everything between the end of a run and the commit, which is not part of it.
Wanted is processor time, because the worst of many steps is otherwise the one in which another program had its turn.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, select

from benchmarks.gates import Gate, Section
from benchmarks.quiet import wait_quiet
from benchmarks.rows import Place, Row, run_alone
from benchmarks.table import plain_table
from orchestra.clock import SystemClock
from orchestra.elements import Element, Pipeline, Rule
from orchestra.identifiers import RunId
from orchestra.lifecycle import RunEvent, RunState
from orchestra.network.loop import leave_code_uncollected
from orchestra.specification import Execution, JobSpecification
from orchestra.storage.database import Database
from orchestra.storage.jobs import add_job, job_of
from orchestra.storage.new_runs import create_run, run_of
from orchestra.storage.open import open_database
from orchestra.storage.pipelines import begin_pipeline, resolve_pipeline
from orchestra.storage.run_moves import RunMove
from orchestra.storage.runs import move_run, write_moves
from orchestra.storage.tables import projects, runs
from orchestra_migrations import upgrade
from tests.support import given

LAYER = 50
STEPS = 100
OK: tuple[Rule, ...] = (Rule.SUCCEEDED,)
CLOCK = SystemClock()


class Taken(NamedTuple):
    """What one decision took, in milliseconds."""

    cpu: float
    wall: float


def measure(place: Place) -> Section:
    """Three kinds of decisions: the one that begins it, those in its midst, those that find nothing to do."""
    count = place.size(5000, 500)
    upgrade(place.folder)
    wait_quiet([])
    leave_code_uncollected()
    found = asyncio.run(_measure(place.folder, count))
    rows = [
        (
            name,
            f"{count:,}",
            f"{len(taken):,}",
            *(f"{of(step.cpu for step in taken):.1f}" for of in (statistics.mean, max)),
            *(f"{of(step.wall for step in taken):.1f}" for of in (statistics.mean, max)),
        )
        for name, taken in found.items()
    ]
    steps = [step.cpu for step in found[IN_ITS_MIDST]]
    what = "a pipeline of 5,000 elements: one decision"
    return Section(
        gates=(
            Gate(what=f"{what}, mean", limit=50, measured=statistics.mean(steps), unit="ms"),
            Gate(what=f"{what}, worst", limit=50, measured=max(steps), unit="ms"),
        ),
        tables=(plain_table(("", "elements", "decisions", "CPU, mean ms", "worst", "time, mean ms", "worst"), rows),),
    )


BEGINNING, IN_ITS_MIDST, NOTHING = "it begins", "a run of it ends", "nothing is to be done"


async def _measure(folder: Path, count: int) -> dict[str, list[Taken]]:
    database = await open_database(folder)
    found: dict[str, list[Taken]] = {BEGINNING: [], IN_ITS_MIDST: [], NOTHING: []}
    try:
        run = await database.write(partial(_create, elements=_layered(count)))
        found[BEGINNING].append(await database.write(partial(_begin, run=run)))
        for _ in range(count // LAYER // 3):
            await database.write(partial(_end_all, run=run))
        while len(found[IN_ITS_MIDST]) < min(STEPS, count // 3):
            for child in await _open_children(database, run):
                found[IN_ITS_MIDST].append(await database.write(partial(_end, run=child)))
                found[NOTHING].append(await database.write(partial(_look, run=run)))
    finally:
        await database.close()
    return found


def _layered(count: int) -> Iterator[Element]:
    """Each element after two or three of the layer before it."""
    chance = random.Random(count)
    for number in range(count):
        layer = number // LAYER
        before = range((layer - 1) * LAYER, layer * LAYER) if layer else range(0)
        after = {f"element-{each}": OK for each in chance.sample(before, min(len(before), chance.choice((2, 3))))}
        yield Element(name=f"element-{number}", job="part", after=after)


def _create(connection: Connection, elements: Iterator[Element]) -> RunId:
    now = CLOCK.now()
    made = projects.insert().values(name="bench", created_at=now).returning(projects.c.id)
    project = connection.execute(made).scalar_one()
    add_job(connection, project, "part", given.specification(), enabled=True, now=now)
    whole = JobSpecification(execution=Execution(steps=()), pipeline=Pipeline(elements=tuple(elements)))
    job = job_of(connection, add_job(connection, project, "whole", whole, enabled=True, now=now))
    return create_run(connection, run_of(job, creation_key="whole", source="benchmark", now=now))


def _begin(connection: Connection, run: RunId) -> Taken:
    began = _now()
    begin_pipeline(connection, run, actor="benchmark", now=CLOCK.now())
    return _since(began)


def _end(connection: Connection, run: RunId) -> Taken:
    move_run(connection, run, RunEvent.OFFERED, actor="benchmark", now=CLOCK.now())
    move_run(connection, run, RunEvent.STARTED, actor="benchmark", now=CLOCK.now())
    began = _now()
    move_run(connection, run, RunEvent.SUCCEEDED, actor="benchmark", now=CLOCK.now())
    return _since(began)


def _look(connection: Connection, run: RunId) -> Taken:
    began = _now()
    resolve_pipeline(connection, run, now=CLOCK.now())
    return _since(began)


def _end_all(connection: Connection, run: RunId) -> None:
    """Of what is open, by one decision."""
    moves = []
    for child in _children(connection, run):
        move = RunMove(child, RunState.PENDING)
        for event in (RunEvent.OFFERED, RunEvent.STARTED, RunEvent.SUCCEEDED):
            move.take(event, actor="benchmark", now=CLOCK.now())
        moves.append(move)
    write_moves(connection, moves)


async def _open_children(database: Database, run: RunId) -> list[RunId]:
    return await database.read(partial(_children, run=run))


def _children(connection: Connection, run: RunId) -> list[RunId]:
    mine = select(runs.c.id).where(runs.c.parent_id == run, runs.c.ended_at.is_(None)).order_by(runs.c.id)
    return [RunId(row.id) for row in connection.execute(mine)]


def _now() -> Taken:
    return Taken(1000 * time.thread_time(), 1000 * time.perf_counter())


def _since(began: Taken) -> Taken:
    now = _now()
    return Taken(now.cpu - began.cpu, now.wall - began.wall)


ROW = Row(name="decisions", title="Decisions about a pipeline of 5,000 elements", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
