"""Workers over HTTP."""

import msgspec
from starlette.responses import Response

from orchestra.lifecycle import WorkerState
from orchestra.queries.addresses import API
from orchestra.queries.fleet import WorkerView, list_workers, show_worker
from orchestra.queries.worker_jobs import WorkerJobView, list_worker_jobs
from orchestra.storage.paging import Page
from orchestra.web.answers import json_answer
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_service.operation import PAGE, Operation


class SteerRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a worker shall be, and why."""

    state: WorkerState
    reason: str = ""


class WorkerRoutes:
    """The handlers for workers."""

    def __init__(self, *, parts: WebParts) -> None:
        self._database = parts.database
        self._clock = parts.clock
        self._switches = parts.switches

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", f"{API}/workers"): Operation(self.list, answers=Page[WorkerView], query=PAGE),
            ("GET", f"{API}/workers/{{worker}}"): Operation(self.show, answers=WorkerView),
            ("GET", f"{API}/workers/{{worker}}/jobs"): Operation(self.jobs, answers=Page[WorkerJobView], query=PAGE),
            ("PATCH", f"{API}/workers/{{worker}}"): Operation(
                self.steer, takes=SteerRequest, answers=WorkerView, also=(409,)
            ),
        }

    async def list(self, asking: Asking) -> Response:
        """A page of workers."""
        page, now = asking.page(), self._clock.now()
        return json_answer(
            await self._database.read(lambda connection: list_workers(connection, asking.who, page, now=now))
        )

    async def show(self, asking: Asking) -> Response:
        """One worker."""
        asking.query()
        worker, now = asking.path("worker"), self._clock.now()
        return json_answer(
            await self._database.read(lambda connection: show_worker(connection, asking.who, worker, now=now))
        )

    async def jobs(self, asking: Asking) -> Response:
        """A page of jobs, each with whether this worker can do it."""
        page, worker = asking.page(), asking.path("worker")
        now = self._clock.now()
        return json_answer(
            await self._database.read(
                lambda connection: list_worker_jobs(connection, asking.who, worker, page, now=now)
            )
        )

    async def steer(self, asking: Asking) -> Response:
        """Enables, drains or disables a worker."""
        asking.query()
        wanted = asking.decode(SteerRequest)
        return json_answer(
            await self._switches.steer_worker(
                asking.who, asking.path("worker"), state=wanted.state, reason=wanted.reason
            )
        )
