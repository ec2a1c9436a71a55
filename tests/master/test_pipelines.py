"""Pipelines in a real database: begun by the master, decided in the transaction that ends a run, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from orchestra.demands import signature_for
from orchestra.elements import Approval, Element, Matrix, Rule, Verdict
from orchestra.errors import Conflict, NotFound
from orchestra.identifiers import ProjectId
from orchestra.lifecycle import RunState
from orchestra.specification import (
    Execution,
    JobSpecification,
    Matching,
    Operator,
    ParameterType,
    Requirement,
    Step,
)
from orchestra.storage.database import Database
from orchestra.storage.pipelines import is_undecided
from orchestra.storage.tables import jobs, pipeline_elements, runs
from orchestra.storage.terms import Terms, terms_of
from tests.master.pipeline_room import PipelineRoom, parameter
from tests.master.still_master import StillMaster
from tests.support import given

OK = (Rule.SUCCEEDED,)


@pytest.fixture
async def room(database: Database, tmp_path: Path) -> AsyncIterator[PipelineRoom]:
    """Jobs plan, build, deploy and tidy in the project `shop`."""
    async with asyncio.TaskGroup() as tasks:
        master = StillMaster(database, tmp_path / "logs", tasks, await given.user(database))
        made = PipelineRoom(database, master)
        for name in ("plan", "build", "deploy", "tidy"):
            await made.job(name)
        yield made
        for link in master.links:
            link.cancel()


def job(name: str, *after: str, **more: object) -> Element:
    more.setdefault("job", name)
    return Element(name=name, after=dict.fromkeys(after, OK), **more)  # type: ignore[arg-type]  # of a test


async def test_a_pipeline_runs_from_its_first_element_to_its_end(room: PipelineRoom) -> None:
    await room.pipeline(job("plan"), job("build", "plan"), job("deploy", "build"), closing=(job("tidy"),))

    run = await room.begin()
    assert await room.states(run) == {"plan": "running", "build": "blocked", "deploy": "blocked", "tidy": "blocked"}
    for element in ("plan", "build", "deploy", "tidy"):
        assert await given.state_of(room.database, run) is RunState.RUNNING
        await room.end(run, element)

    assert await room.outcome(run) == ("succeeded", "")
    child = await room.child(run, "build")
    assert [await room.column(child, name) for name in ("parent_id", "element", "priority", "source")] == [
        run, "build", 7, f"pipeline #{run}",
    ]  # fmt: skip


async def test_no_worker_is_ever_given_a_pipeline(room: PipelineRoom) -> None:
    await room.pipeline(job("plan"))
    worker = await room.master.worker()

    run = await room.begin()
    await room.master.dispatcher.dispatch_once()

    assert await given.state_of(room.database, run) is RunState.RUNNING
    assert await room.children(run) == [("plan", "assigned")]
    assert worker is not None


async def test_results_and_matrix_values_become_parameters_and_requirements(room: PipelineRoom) -> None:
    linux = Matching(requirements=(Requirement(name="gpu", operator=Operator.AT_LEAST, values=(1,)),))
    parameters = (parameter("os"), parameter("count", type=ParameterType.INTEGER))
    await room.job("compile", JobSpecification(
        execution=Execution(steps=(Step(name="run", run="make"),)), parameters=parameters, matching=linux,
    ))  # fmt: skip
    await room.pipeline(
        job("plan"),
        job(
            "compile", "plan",
            matrix=Matrix(axes={"os": ("linux", "mac")}),
            parameters={"os": "{matrix.os}", "count": "{results.plan.count}"},
            worker={"os": "{matrix.os}"},
        ),
    )  # fmt: skip
    run = await room.begin()

    await room.end(run, "plan", results={"count": 7})

    child = await room.child(run, "compile", "os=mac")
    assert await room.column(child, "parameters") == '{"os":"mac","count":7}'
    wanted = Matching(requirements=(*linux.requirements, Requirement(name="os", operator=Operator.IN, values=("mac",))))
    assert await room.column(child, "signature") == signature_for(ProjectId(1), wanted)
    kept = await room.database.read(partial(terms_of, signature=signature_for(ProjectId(1), wanted)))
    assert kept == Terms(matching=wanted)


async def test_parameters_that_do_not_fit_end_the_element_as_an_exception(room: PipelineRoom) -> None:
    typed = JobSpecification(
        execution=Execution(steps=(Step(name="run", run="make"),)),
        parameters=(parameter("count", type=ParameterType.INTEGER),),
    )
    await room.job("compile", typed)
    await room.pipeline(job("plan"), job("compile", "plan", parameters={"count": "{results.plan.count}"}))
    run = await room.begin()

    await room.end(run, "plan", results={"count": "many"})

    state, reason = await room.outcome(run)
    assert (state, reason) == ("exception", "compile broke")
    row = select(pipeline_elements.c.reason).where(pipeline_elements.c.element == "compile")
    told = await room.database.read(lambda connection: connection.execute(row).scalar_one())
    assert told.startswith("the parameters do not fit job shop/compile")


async def test_a_job_that_was_disabled_meanwhile_ends_its_element(room: PipelineRoom) -> None:
    await room.pipeline(job("plan"), job("build", "plan"), job("lost", job="gone"))
    run = await room.begin()
    assert await room.open_row(run, "lost") == "exception"
    disable = update(jobs).where(jobs.c.name == "build").values(disabled_by="ana: disk is full")
    await room.database.write(lambda connection: connection.execute(disable))

    await room.end(run, "plan")

    row = select(pipeline_elements.c.element, pipeline_elements.c.reason).where(
        pipeline_elements.c.state == "exception"
    )
    rows = await room.database.read(lambda connection: connection.execute(row).all())
    assert sorted(map(tuple, rows)) == [
        ("build", "job shop/build is disabled by ana: disk is full: enable it first"),
        ("lost", "there is no job gone"),
    ]


async def test_an_abort_cancels_what_waits_asks_what_runs_and_lets_the_closing_elements_run(room: PipelineRoom) -> None:
    await room.pipeline(job("plan"), job("build"), job("deploy", "build"), closing=(job("tidy"),))
    run = await room.begin()
    worker = await room.master.worker(slots=1)
    await room.master.dispatcher.dispatch_once()
    assert worker is not None

    await room.stop(run)

    assert await room.children(run) == [("plan", "assigned"), ("build", "cancelled")]
    plan = await room.child(run, "plan")
    assert await room.column(plan, "stop_requested_by") == f"pipeline #{run}"
    assert await given.state_of(room.database, run) is RunState.RUNNING
    await room.stop(plan)
    move = await room.states(run)
    assert (move["deploy"], move["tidy"]) == ("cancelled", "blocked")


async def test_a_pipeline_whose_children_nobody_had_is_over_at_once_when_it_is_aborted(room: PipelineRoom) -> None:
    await room.pipeline(job("plan"), job("build", "plan"))
    run = await room.begin()

    await room.stop(run)

    assert await room.outcome(run) == ("aborted", "stopped by ana: wrong branch")
    assert await room.children(run) == [("plan", "cancelled")]


async def test_an_aborted_pipeline_aborts_the_pipelines_in_it_and_ends_with_them(room: PipelineRoom) -> None:
    await room.pipeline(job("plan"), job("build", "plan"), name="inner")
    await room.pipeline(job("inner"), job("deploy", "inner"))
    run = await room.begin()
    await room.keeper.run_once()
    inner = await room.child(run, "inner")
    assert await room.children(inner) == [("plan", "pending")]

    await room.stop(run)

    assert [await room.outcome(each) for each in (inner, run)] == [
        ("aborted", f"stopped by pipeline #{run}: the pipeline was stopped"),
        ("aborted", "stopped by ana: wrong branch"),
    ]


async def test_the_end_of_an_inner_pipeline_goes_on_with_the_outer_one(room: PipelineRoom) -> None:
    await room.pipeline(job("plan"), name="inner")
    await room.pipeline(job("inner"), job("deploy", "inner"))
    run = await room.begin()
    await room.keeper.run_once()

    await room.end(await room.child(run, "inner"), "plan")

    assert await room.states(run) == {"inner": "succeeded", "deploy": "running"}


async def test_pipelines_that_contain_each_other_end_at_a_depth(room: PipelineRoom) -> None:
    await room.pipeline(job("release"))
    run = await room.begin()

    for _ in range(10):
        await room.keeper.run_once()

    made = await room.database.read(lambda c: c.execute(select(func.count()).select_from(runs)).scalar_one())
    assert made == 8
    assert await room.outcome(run) == ("exception", "release broke")


async def test_a_person_answers_an_approval_once(room: PipelineRoom) -> None:
    approval = Approval(message="Deploy {parameters.env}?")
    await room.pipeline(Element(name="ask", approval=approval), job("deploy", "ask"))
    run = await room.begin(parameters={"env": "production"})
    row = select(pipeline_elements.c.message).where(pipeline_elements.c.element == "ask")
    assert await room.database.read(lambda c: c.execute(row).scalar_one()) == "Deploy production?"

    await room.answer(run, "ask", Verdict.APPROVE, reason="go")

    assert await room.states(run) == {"ask": "succeeded", "deploy": "running"}
    with pytest.raises(Conflict, match="ask of run #1 does not wait for anybody: it is succeeded"):
        await room.answer(run, "ask", Verdict.REJECT)
    with pytest.raises(NotFound):
        await room.answer(run, "deploi", Verdict.APPROVE)


@pytest.mark.parametrize(
    ("verdict", "outcome"), [(Verdict.REJECT, ("failed", "ask failed")), (Verdict.APPROVE, ("succeeded", ""))]
)
async def test_what_nobody_answers_in_time_counts_as_the_definition_says(
    room: PipelineRoom, verdict: Verdict, outcome: tuple[str, str]
) -> None:
    await room.pipeline(Element(name="ask", approval=Approval(timeout_seconds=60.0, on_timeout=verdict)))
    run = await room.begin()

    room.master.clock.advance(59.0)
    await room.keeper.run_once()
    assert await room.open_row(run, "ask") == "waiting"
    room.master.clock.advance(1.5)
    await room.keeper.run_once()

    assert await room.outcome(run) == outcome


async def test_a_pipeline_that_takes_longer_than_its_timeout_has_failed(room: PipelineRoom) -> None:
    await room.pipeline(job("plan"), timeout=60.0)
    run = await room.begin()

    room.master.clock.advance(61.0)
    await room.keeper.run_once()

    assert await room.outcome(run) == ("failed", "it has taken longer than its timeout")


async def test_a_retry_of_the_failed_part_uses_again_what_succeeded(room: PipelineRoom) -> None:
    matrix = Matrix(axes={"os": ("linux", "mac")})
    await room.pipeline(
        job("plan"), job("build", "plan", matrix=matrix), job("deploy", "build"), closing=(job("tidy"),)
    )
    first = await room.begin()
    await room.end(first, "plan", results={"tag": "v1"})
    await room.end(first, "build", key="os=linux")
    await room.end(first, "build", "failed", key="os=mac", exit_code=1)
    await room.end(first, "tidy")
    assert await room.outcome(first) == ("failed", "build failed")

    again = await room.begin(retry_of=first, scope="failed")

    assert await room.states(again) == {
        "plan": "succeeded", "build": "running", "build[os=linux]": "running", "build[os=mac]": "running",
        "deploy": "blocked", "tidy": "blocked",
    }  # fmt: skip
    assert await room.child(again, "plan") == await room.child(first, "plan")
    assert [element for element, _ in await room.children(again)] == ["build", "build"]


async def test_a_retry_from_an_element_does_it_and_all_after_it_again(room: PipelineRoom) -> None:
    await room.pipeline(job("plan"), job("build", "plan"), job("deploy", "build"), job("lint", job="tidy"))
    first = await room.begin()
    for element in ("plan", "lint", "build", "deploy"):
        await room.end(first, element)

    again = await room.begin(retry_of=first, scope="from build")

    assert await room.states(again) == {
        "plan": "succeeded", "build": "running", "deploy": "blocked", "lint": "succeeded",
    }  # fmt: skip


async def test_only_jobs_with_secrets_are_given_the_sealed_ones_of_the_pipeline(room: PipelineRoom) -> None:
    secret = JobSpecification(
        execution=Execution(steps=(Step(name="run", run="make"),)),
        parameters=(parameter("token", type=ParameterType.SECRET, required=True),),
    )
    await room.job("publish", secret)
    await room.pipeline(job("plan"), job("publish"))

    run = await room.begin(sealed_secrets="sealed")

    assert await room.column(await room.child(run, "plan"), "sealed_secrets") is None
    assert await room.column(await room.child(run, "publish"), "sealed_secrets") == "sealed"


async def test_two_ends_at_the_same_moment_begin_what_comes_after_both_exactly_once(room: PipelineRoom) -> None:
    await room.pipeline(job("plan"), job("build"), job("deploy", "plan", "build"))

    for _ in range(20):
        run = await room.begin()
        await asyncio.gather(room.end(run, "plan"), room.end(run, "build"))
        assert [element for element, _ in await room.children(run)] == ["plan", "build", "deploy"]
        assert not await room.database.read(partial(is_undecided, run=run))


async def test_a_job_that_is_only_wrapped_is_run_by_no_pipeline(room: PipelineRoom) -> None:
    await room.job("dump", JobSpecification(execution=Execution(steps=()), wrapped=True))
    await room.pipeline(job("dump"))

    run = await room.begin()

    assert await room.outcome(run) == ("exception", "dump broke")
    assert await room.children(run) == []
