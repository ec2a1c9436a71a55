"""Pipelines behind pages: begun and gone on with as a master does it, in the world of the page tests."""

from functools import partial

import httpx2
import msgspec
from sqlalchemy import select

from orchestra.elements import Approval, Element, Matrix, Pipeline, Rule
from orchestra.identifiers import RunId
from orchestra.lifecycle import RunEvent
from orchestra.specification import Execution, JobDefinition, JobSpecification, Parameter, ParameterType
from orchestra.storage.pipelines import begin_pipeline
from orchestra.storage.results import set_results
from orchestra.storage.runs import move_run
from orchestra.storage.tables import pipeline_elements
from tests.service.given import World, job

OWN = {"sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded"}
SUCCEEDED = (Rule.SUCCEEDED,)
_TARGET = Parameter(name="target", type=ParameterType.STRING)
_END = {"succeeded": RunEvent.SUCCEEDED, "failed": RunEvent.FAILED}


def release(*by: str) -> JobDefinition:
    """Plan, a build for two systems, a test, an approval by these, a deployment for each target, and tidying up."""
    elements = (
        Element(name="plan", job="backup"),
        Element(name="build", job="backup", after={"plan": SUCCEEDED}, matrix=Matrix(axes={"os": ("linux", "mac")})),
        Element(name="test", job="backup", after={"build": SUCCEEDED}),
        Element(name="approve", approval=Approval(by=by, message="Deploy to <b>all</b>?"), after={"test": SUCCEEDED}),
        Element(
            name="deploy",
            job="aim",
            after={"plan": SUCCEEDED, "test": SUCCEEDED, "approve": (Rule.SUCCEEDED, Rule.SKIPPED)},
            condition='parameters.env != "<nowhere>"',
            for_each="results.plan.targets",
            parameters={"target": "{item}"},
        ),
        Element(name="alarm", job="backup", after={"test": (Rule.FAILED,)}),
    )
    env = Parameter(name="env", type=ParameterType.STRING, default="staging")
    pipeline = Pipeline(elements=elements, closing=(Element(name="tidy", job="backup"),))
    return pipeline_job("release", pipeline, env)


def pipeline_job(name: str, pipeline: Pipeline, *parameters: Parameter) -> JobDefinition:
    """A job that is this pipeline."""
    specification = JobSpecification(execution=Execution(steps=()), parameters=parameters, pipeline=pipeline)
    return JobDefinition(name=name, specification=specification)


async def define(world: World, *more: JobDefinition) -> None:
    """The project `ops` with these jobs and those that their elements run."""
    await world.project("ops", job("backup"), job("aim", parameters=(_TARGET,)), *more)


async def begin(world: World, client: httpx2.AsyncClient, name: str = "release") -> RunId:
    """A run of the pipeline, begun."""
    answer = await client.post(f"/api/v1/projects/ops/jobs/{name}/runs", json={})
    assert answer.status_code == 201, answer.text
    run = RunId(answer.json()["id"])
    await go_on(world, run)
    return run


async def go_on(world: World, run: RunId) -> None:
    """What a master does about a pending pipeline."""
    await world.database.write(partial(begin_pipeline, run=run, actor="master m1", now=world.clock.now()))


async def child(world: World, run: int, element: str, key: str = "") -> RunId:
    """The run of an element."""
    where = (
        (pipeline_elements.c.run_id == run)
        & (pipeline_elements.c.element == element)
        & (pipeline_elements.c.key == key)
    )
    found = await world.database.read(
        lambda connection: connection.execute(select(pipeline_elements.c.child_id).where(where)).scalar_one()
    )
    assert found is not None, f"{element} {key} has no run"
    return RunId(found)


async def end(
    world: World,
    run: int,
    element: str,
    state: str = "succeeded",
    *,
    key: str = "",
    seconds: float = 60.0,
    **results: object,
) -> RunId:
    """The element's run starts, takes so long, and ends."""
    number = await child(world, run, element, key)
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in results.items()}
    await move(world, number, RunEvent.OFFERED)
    await move(world, number, RunEvent.STARTED, started_at=world.clock.now())
    world.clock.advance(seconds)
    await world.database.write(partial(set_results, run=number, values=raw))
    await move(world, number, _END[state])
    return number


async def move(world: World, run: RunId, event: RunEvent, **columns: object) -> None:
    """One step of a run's life."""
    now = world.clock.now()
    await world.database.write(
        lambda connection: move_run(connection, run, event, actor="worker atlas", now=now, changes=columns)
    )


async def to_the_approval(world: World, run: int) -> None:
    """Everything before it has succeeded."""
    await end(world, run, "plan", targets=["web", "<db>"])
    for system in ("linux", "mac"):
        await end(world, run, "build", key=f"os={system}")
    await end(world, run, "test")
