"""Runs over HTTP: trigger, list, show, stop, retry."""

import msgspec
from starlette.responses import Response

from orchestra.commands.triggers import RetryRequest, Triggered, TriggerRequest
from orchestra.errors import InvalidFields
from orchestra.queries.addresses import API, run_address
from orchestra.queries.run_filters import read_run_filter
from orchestra.queries.run_views import RunView
from orchestra.queries.runs import (
    RunDetail,
    RunEventView,
    RunPage,
    history_of_run,
    list_runs,
    results_of_run,
    show_run_detail,
)
from orchestra.queries.waiting import WaitingView
from orchestra.storage.paging import Page, whole
from orchestra.web.answers import encoded_answer, json_answer
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import BadQuery
from orchestra.web.parts import WebParts
from orchestra_service.operation import IDEMPOTENCY_KEY, PAGE, Field, Operation

_FILTERS = (
    Field("status", "States; several are alternatives, repeated or with commas between them. So are the next four."),
    Field("project", "Names of projects."),
    Field("job", "Names of jobs, each `backup` or `ops/backup`."),
    Field("worker", "Names of workers."),
    Field("source", "Whole sources (`user ana`), or their first words (`user`, `schedule`, `retry`)."),
    Field("created_after", "An instant.", {"type": "string", "format": "date-time"}),
    Field("created_before", "An instant.", {"type": "string", "format": "date-time"}),
    Field("took_min", "The least duration of a run that is over: seconds (`300`), or such as `5m`."),
    Field("sort", "`-id`, the newest first, or `id`.", {"enum": ["-id", "id"]}),
    *PAGE,
)


class StopRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a run shall end."""

    reason: str = ""


class RunRoutes:
    """The handlers for runs."""

    def __init__(self, *, parts: WebParts) -> None:
        self._database = parts.database
        self._clock = parts.clock
        self._sealing = parts.sealing
        self._triggers = parts.triggers
        self._stops = parts.stops

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("POST", f"{API}/projects/{{project}}/jobs/{{job}}/runs"): Operation(
                self.trigger,
                takes=TriggerRequest,
                answers=RunView,
                status=201,
                headers=(IDEMPOTENCY_KEY,),
                also=(200, 409),
            ),
            ("GET", f"{API}/runs"): Operation(self.list, answers=RunPage, query=_FILTERS),
            ("GET", f"{API}/runs/{{run}}"): Operation(self.show, answers=RunDetail),
            ("GET", f"{API}/runs/{{run}}/waiting"): Operation(self.waiting, answers=WaitingView),
            ("GET", f"{API}/runs/{{run}}/results"): Operation(self.results, answers=dict[str, msgspec.Raw]),
            ("GET", f"{API}/runs/{{run}}/events"): Operation(self.history, answers=Page[RunEventView]),
            ("POST", f"{API}/runs/{{run}}/cancel"): Operation(
                self.cancel, takes=StopRequest, answers=RunView, status=202, also=(409,)
            ),
            ("POST", f"{API}/runs/{{run}}/abort"): Operation(
                self.abort, takes=StopRequest, answers=RunView, status=202, also=(409,)
            ),
            ("POST", f"{API}/runs/{{run}}/retry"): Operation(
                self.retry,
                takes=RetryRequest,
                answers=RunView,
                status=201,
                headers=(IDEMPOTENCY_KEY,),
                also=(200, 409),
            ),
        }

    async def trigger(self, asking: Asking) -> Response:
        """Makes a run of a job.

        By its policies another run may stand for it: it is answered with 200 and the header `Run-Existing`, or is what
        a 409 names as `run` and `run_url`.
        """
        asking.query()
        request = asking.decode(TriggerRequest)
        repetition = asking.repetition(self._sealing)
        made = await self._triggers.trigger(asking.who, asking.path("project"), asking.path("job"), request, repetition)
        return _created(made)

    async def retry(self, asking: Asking) -> Response:
        """Makes a new run like an old one; the job's policies are asked as for a trigger."""
        asking.query()
        request = asking.decode(RetryRequest)
        made = await self._triggers.retry(asking.who, asking.run(), request, asking.repetition(self._sealing))
        return _created(made)

    async def list(self, asking: Asking) -> Response:
        """A page of runs.

        `result.NAME` and `param.NAME` are filters too: by what runs found out, and by what they were given.
        """
        try:
            wanted = read_run_filter(asking.request.query_params.multi_items())
        except InvalidFields as error:
            raise BadQuery(error.problems) from None
        return json_answer(await self._database.read(lambda connection: list_runs(connection, asking.who, wanted)))

    async def show(self, asking: Asking) -> Response:
        """One run with everything."""
        asking.query()
        run, now = asking.run(), self._clock.now()
        return json_answer(
            await self._database.read(lambda connection: show_run_detail(connection, asking.who, run, now=now))
        )

    async def waiting(self, asking: Asking) -> Response:
        """Why it is not running."""
        asking.query()
        run, now = asking.run(), self._clock.now()
        detail = await self._database.read(lambda connection: show_run_detail(connection, asking.who, run, now=now))
        return json_answer(detail.waiting or WaitingView(state=detail.state, reasons=(), workers=()))

    async def results(self, asking: Asking) -> Response:
        """What it found out."""
        asking.query()
        run = asking.run()
        return json_answer(await self._database.read(lambda connection: results_of_run(connection, asking.who, run)))

    async def history(self, asking: Asking) -> Response:
        """What happened to it."""
        asking.query()
        run = asking.run()
        events = await self._database.read(lambda connection: history_of_run(connection, asking.who, run))
        return json_answer(whole(events))

    async def cancel(self, asking: Asking) -> Response:
        """Withdraws a run that has not started."""
        asking.query()
        reason = asking.decode(StopRequest).reason
        return json_answer(await self._stops.cancel(asking.who, asking.run(), reason=reason), status=202)

    async def abort(self, asking: Asking) -> Response:
        """Stops a run wherever it is."""
        asking.query()
        reason = asking.decode(StopRequest).reason
        return json_answer(await self._stops.abort(asking.who, asking.run(), reason=reason), status=202)


def _created(made: Triggered) -> Response:
    headers = {"location": run_address(made.run)}
    if made.replayed:
        headers["idempotency-replayed"] = "true"
    if not made.is_new:
        headers["run-existing"] = "true"
    return encoded_answer(made.body, status=201 if made.is_new else 200, headers=headers)
