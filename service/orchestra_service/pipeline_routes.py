"""Pipelines over HTTP: the elements of a run, and answers to those that wait for a person."""

import msgspec
from starlette.responses import Response

from orchestra.elements import Verdict
from orchestra.queries.addresses import API
from orchestra.queries.elements import PipelineView, show_elements
from orchestra.web.answers import json_answer
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_service.operation import Operation


class AnswerRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said to an approval, with the reason."""

    reason: str = ""


class PipelineRoutes:
    """The handlers for elements."""

    def __init__(self, *, parts: WebParts) -> None:
        self._database = parts.database
        self._approvals = parts.approvals

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        element = f"{API}/runs/{{run}}/elements/{{element}}"
        return {
            ("GET", f"{API}/runs/{{run}}/elements"): Operation(self.show, answers=PipelineView),
            ("POST", f"{element}/approve"): Operation(
                self.approve, takes=AnswerRequest, answers=PipelineView, also=(409,)
            ),
            ("POST", f"{element}/reject"): Operation(
                self.reject, takes=AnswerRequest, answers=PipelineView, also=(409,)
            ),
        }

    async def show(self, asking: Asking) -> Response:
        """The elements of a pipeline's run."""
        asking.query()
        run = asking.run()
        return json_answer(await self._database.read(lambda connection: show_elements(connection, asking.who, run)))

    async def approve(self, asking: Asking) -> Response:
        """Says yes to an element that asks."""
        return await self._answer(asking, Verdict.APPROVE)

    async def reject(self, asking: Asking) -> Response:
        """Says no to an element that asks; it has failed then."""
        return await self._answer(asking, Verdict.REJECT)

    async def _answer(self, asking: Asking, verdict: Verdict) -> Response:
        asking.query()
        reason = asking.decode(AnswerRequest).reason
        return json_answer(
            await self._approvals.answer(asking.who, asking.run(), asking.path("element"), verdict, reason=reason)
        )
