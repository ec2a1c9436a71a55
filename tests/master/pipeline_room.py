"""A pipeline in a real database, whose children are ended by the test as workers would."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import msgspec
from sqlalchemy import Connection, select

from orchestra.clock import Instant
from orchestra.elements import Element, Pipeline, Verdict
from orchestra.identifiers import RunId
from orchestra.lifecycle import RunEvent
from orchestra.pipeline.states import ElementState
from orchestra.specification import Execution, JobSpecification, Parameter, PropertyValue
from orchestra.storage.approvals import answer_approval
from orchestra.storage.database import Database
from orchestra.storage.element_rows import read_elements
from orchestra.storage.jobs import add_job, find_job
from orchestra.storage.new_runs import create_run, run_of
from orchestra.storage.results import set_results
from orchestra.storage.runs import move_run, request_stop
from orchestra.storage.tables import pipeline_elements, projects, runs
from orchestra_master.pipeline_keeper import PipelineKeeper
from tests.master.still_master import StillMaster
from tests.support import given

_END = {
    "succeeded": RunEvent.SUCCEEDED,
    "failed": RunEvent.FAILED,
    "aborted": RunEvent.ABORTED,
    "exception": RunEvent.BROKE,
}


class PipelineRoom:
    """The project `shop` with jobs and one pipeline `release` of these elements."""

    def __init__(self, database: Database, master: StillMaster) -> None:
        self.database = database
        self.master = master
        self.keeper = PipelineKeeper(parts=master.parts)
        self._made = 0

    async def job(self, name: str, specification: JobSpecification | None = None) -> None:
        """A job of one step, or this one."""

        def add(connection: Connection) -> None:
            project = connection.execute(select(projects.c.id).where(projects.c.name == "shop")).scalar_one_or_none()
            if project is None:
                made = projects.insert().values(name="shop", created_at=self.now).returning(projects.c.id)
                project = connection.execute(made).scalar_one()
            add_job(connection, project, name, specification or given.specification(), enabled=True, now=self.now)

        await self.database.write(add)

    async def pipeline(self, *elements: Element, name: str = "release", **more: object) -> None:
        """The pipeline; its elements' jobs must be there."""
        timeout = more.pop("timeout", None)
        declared = more.pop("parameters", ())
        made = JobSpecification(
            execution=Execution(steps=(), timeout_seconds=timeout),  # type: ignore[arg-type]  # of a test's own making
            parameters=declared,  # type: ignore[arg-type]  # of a test's own making
            pipeline=Pipeline(elements=elements, **more),  # type: ignore[arg-type]  # of a test's own making
        )
        await self.job(name, made)

    async def begin(
        self,
        name: str = "release",
        *,
        parameters: Mapping[str, PropertyValue] | None = None,
        sealed_secrets: str | None = None,
        retry_of: RunId | None = None,
        scope: str | None = None,
    ) -> RunId:
        """A run of the pipeline, begun by the master."""
        run = await self.create(
            name, parameters=parameters, sealed_secrets=sealed_secrets, retry_of=retry_of, scope=scope
        )
        await self.keeper.run_once()
        return run

    async def create(
        self,
        name: str = "release",
        *,
        parameters: Mapping[str, PropertyValue] | None = None,
        sealed_secrets: str | None = None,
        retry_of: RunId | None = None,
        scope: str | None = None,
    ) -> RunId:
        """A run of the pipeline that no master has seen yet."""
        self._made += 1

        def create(connection: Connection) -> RunId:
            job = find_job(connection, "shop", name)
            new = run_of(
                job,
                creation_key=f"test {self._made}",
                source="user ana",
                now=self.now,
                parameters=parameters,
                sealed_secrets=sealed_secrets,
                priority=7,
            )
            return create_run(connection, replace(new, retry_of=retry_of, retry_scope=scope))

        return await self.database.write(create)

    @property
    def now(self) -> Instant:
        """Of the master's clock."""
        return self.master.clock.now()

    async def states(self, run: RunId) -> dict[str, str]:
        """Of all elements and of the runs of those that have several."""
        rows = await self.database.read(partial(read_elements, run=run))
        found = {name: str(each.head.state) for name, each in rows.items()}
        return found | {
            f"{name}[{row.instance.key}]": str(row.state) for name, each in rows.items() for row in each.instances
        }

    async def child(self, run: RunId, element: str, key: str = "") -> RunId:
        """The run of an element."""
        where = (
            (pipeline_elements.c.run_id == run)
            & (pipeline_elements.c.element == element)
            & (pipeline_elements.c.key == key)
        )
        found = await self.database.read(
            lambda connection: connection.execute(select(pipeline_elements.c.child_id).where(where)).scalar_one()
        )
        assert found is not None, f"{element} {key} has no run"
        return RunId(found)

    async def end(
        self,
        run: RunId,
        element: str,
        state: str = "succeeded",
        *,
        key: str = "",
        exit_code: int | None = None,
        results: Mapping[str, object] | None = None,
    ) -> None:
        """The element's run was offered, started, and has ended."""
        child = await self.child(run, element, key)
        raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in (results or {}).items()}

        def end(connection: Connection) -> None:
            for event in (RunEvent.OFFERED, RunEvent.STARTED):
                move_run(connection, child, event, actor="worker atlas", now=self.now)
            set_results(connection, child, raw)
            ended = {"exit_code": exit_code}
            move_run(connection, child, _END[state], actor="worker atlas", now=self.now, changes=ended)

        await self.database.write(end)

    async def answer(self, run: RunId, element: str, verdict: Verdict, *, by: str = "ana", reason: str = "") -> None:
        """A person says yes or no."""
        change = partial(answer_approval, run=run, element=element, verdict=verdict, by=by, reason=reason, now=self.now)
        await self.database.write(change)

    async def stop(self, run: RunId) -> None:
        """Ana aborts it."""
        await self.database.write(
            lambda connection: request_stop(connection, run, by="ana", reason="wrong branch", now=self.now)
        )

    async def column(self, run: RunId, name: str) -> object:
        """Of the run's row."""
        return await given.column_of(self.database, run, name)

    async def outcome(self, run: RunId) -> tuple[object, object]:
        """State and reason."""
        return str(await self.column(run, "state")), await self.column(run, "reason")

    async def children(self, run: RunId) -> Sequence[tuple[str, str]]:
        """Element and state of every run that it has made."""
        rows = await self.database.read(
            lambda connection: connection.execute(
                select(runs.c.element, runs.c.state).where(runs.c.parent_id == run).order_by(runs.c.id)
            ).all()
        )
        return [(row.element, row.state) for row in rows]

    async def open_row(self, run: RunId, element: str) -> ElementState:
        """How one element stands."""
        rows = await self.database.read(partial(read_elements, run=run))
        return rows[element].head.state


def parameter(name: str, **more: object) -> Parameter:
    """A declared parameter."""
    return Parameter(name=name, **more)  # type: ignore[arg-type]  # of a test's own making
