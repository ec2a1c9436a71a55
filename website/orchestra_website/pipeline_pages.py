"""One pipeline: its elements as a graph and as a table, and answers to those that wait for a person."""

from collections.abc import Mapping, Sequence

from starlette.responses import RedirectResponse, Response

from orchestra.clock import to_datetime
from orchestra.elements import Verdict
from orchestra.errors import InvalidFields, NotFound
from orchestra.pipeline.states import ElementState
from orchestra.queries.elements import PipelineView
from orchestra.queries.run_overview import run_overview
from orchestra.web.answers import NO_STORE
from orchestra.web.asking import Asking, number_asked
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import BadQuery
from orchestra.web.parts import WebParts
from orchestra_website.pipeline_graph import draw_pipeline
from orchestra_website.pipeline_shown import ShownElements, shown_elements
from orchestra_website.refresh import refresh_asked
from orchestra_website.renderer import Renderer
from orchestra_website.run_shown import ShownRun, show

SCALES = ("50", "75", "100", "150", "200")
"""In per cent of its natural size; without one the drawing fits its page."""


class PipelinePages:
    """The handlers for the graph of a run, and for answers."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock
        self._approvals = parts.approvals
        self._new_key = parts.new_creation_key

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", "/runs/{run}/graph"): self.graph,
            ("POST", "/runs/{run}/elements/{element}/answer"): self.answer,
        }

    async def graph(self, asking: Asking) -> Response:
        """The elements, drawn and as a table."""
        query = asking.query("scale", "state", "element", "first", "refresh")
        return await self._page(asking, await self._shown(asking), query)

    async def answer(self, asking: Asking) -> Response:
        """Approves or rejects; what is wrong with the reason is told above the form."""
        run, element, form = asking.run(), asking.path("element"), asking.form()
        reason, word = form.text("reason"), form.text("verdict")
        if word not in (Verdict.APPROVE, Verdict.REJECT):
            # Whoever may not see the run learns nothing of it, not even what was wrong with the form.
            await self._shown(asking)
            raise InvalidFields([("/verdict", "must be approve or reject")])
        try:
            await self._approvals.answer(asking.who, run, element, Verdict(word), reason=reason)
        except InvalidFields as error:
            typed = {"asked_reason": reason, "asked_problems": error.by_field, "asked_element": element}
            return await self._page(asking, await self._shown(asking), {}, typed, status=422)
        return RedirectResponse(f"/runs/{run}?done={word}", status_code=303, headers=NO_STORE)

    async def _shown(self, asking: Asking) -> ShownRun:
        run, now = asking.run(), self._clock.now()
        overview = await self._database.read(lambda connection: run_overview(connection, asking.who, run, now=now))
        return show(overview, attempt=None, now=to_datetime(now), key=self._new_key())

    async def _page(
        self,
        asking: Asking,
        shown: ShownRun,
        query: Mapping[str, str],
        more: Mapping[str, object] | None = None,
        *,
        status: int = 200,
    ) -> Response:
        view = shown.overview.pipeline
        if view is None:
            raise NotFound("pipeline", f"run #{shown.run.id}")
        values: dict[str, object] = {
            "shown": shown,
            "run": shown.run,
            "elements": elements_asked(shown, view, query),
            "graph": draw_pipeline(view.elements),
            "scale": scale_asked(query),
            "scales": SCALES,
            **(more or {}),
        }
        headers = refresh_asked(query, is_over=shown.is_over)
        return await self._renderer.page(asking, "run_graph.html", values, status=status, headers=headers)


def elements_asked(shown: ShownRun, view: PipelineView, query: Mapping[str, str]) -> ShownElements:
    """The part of the table that the address names; raises BadQuery, and NotFound for an unknown element."""
    state, name = query.get("state", ""), query.get("element", "")
    if state and state not in tuple(ElementState):
        raise BadQuery([("/state", f"must be one of {', '.join(ElementState)}")])
    if name and name not in _names(view):
        raise NotFound("element", f"{name[:80]} of run #{shown.run.id}")
    return shown_elements(
        view.elements,
        shown.overview.specification,
        state=state,
        name=name,
        first=number_asked(query, "first") or 1,
        retry_of=shown.run.retry_of,
    )


def scale_asked(query: Mapping[str, str]) -> str:
    """In per cent; empty for what fits. Raises BadQuery."""
    scale = query.get("scale", "")
    if scale and scale not in SCALES:
        raise BadQuery([("/scale", f"must be one of {', '.join(SCALES)} (per cent)")])
    return scale


def _names(view: PipelineView) -> Sequence[str]:
    return [each.name for each in view.elements]
