"""One run: its head and first failing lines, its tabs, and what can be asked of it."""

from collections.abc import Sequence

from starlette.responses import RedirectResponse, Response

from orchestra.clock import to_datetime
from orchestra.errors import InvalidFields, NotAllowed
from orchestra.limits import FOLLOW_LINES, TAIL_LINES
from orchestra.policy import Permission
from orchestra.queries.run_overview import run_overview
from orchestra.queries.runs import history_of_run
from orchestra.storage.results import comparable_text
from orchestra.web.asking import Asking, number_asked
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_website.log_html import lines_html
from orchestra_website.pipeline_pages import elements_asked
from orchestra_website.pipeline_timeline import timeline_of
from orchestra_website.refresh import refresh_asked
from orchestra_website.renderer import Renderer
from orchestra_website.retry_scope import read_scope
from orchestra_website.run_follow import follow_start
from orchestra_website.run_shown import ShownRun, committed_log, exit_text, show, step_state

_DONE = {
    "retry": "This is the new run.",
    "approve": "It is approved, and the pipeline goes on.",
    "reject": "It is rejected.",
    "cancel": "The run is withdrawn.",
    "abort": "The stop is requested; the run is over when its state says so.",
}


class RunPages:
    """The handlers for one run, but for its log."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock
        self._lines = parts.lines
        self._triggers = parts.triggers
        self._stops = parts.stops
        self._sealing = parts.sealing
        self._new_key = parts.new_creation_key

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", "/runs/{run}"): self.summary,
            ("GET", "/runs/{run}/steps"): self.steps,
            ("GET", "/runs/{run}/attempts"): self.attempts,
            ("GET", "/runs/{run}/parameters"): self.parameters,
            ("GET", "/runs/{run}/timeline"): self.timeline,
            ("GET", "/runs/{run}/cancel"): self.ask_cancel,
            ("GET", "/runs/{run}/abort"): self.ask_abort,
            ("POST", "/runs/{run}/cancel"): self.cancel,
            ("POST", "/runs/{run}/abort"): self.abort,
            ("POST", "/runs/{run}/retry"): self.retry,
        }

    async def summary(self, asking: Asking) -> Response:
        """State, reason, the first failing lines, results."""
        shown = await self._shown(asking, "done")
        done = _DONE.get(asking.request.query_params.get("done", ""), "")
        view = shown.overview.pipeline
        elements = None if view is None else elements_asked(shown, view, {})
        values = {"done": done, "results": _results(shown), "elements": elements, **await self._tail(shown)}
        return await self._page(asking, "run.html", shown, values)

    async def steps(self, asking: Asking) -> Response:
        """The commands of the attempt."""
        return await self._page(asking, "run_steps_tab.html", await self._shown(asking), {})

    async def attempts(self, asking: Asking) -> Response:
        """Every try, with worker and cause."""
        return await self._page(asking, "run_attempts.html", await self._shown(asking), {})

    async def parameters(self, asking: Asking) -> Response:
        """What the run was given."""
        return await self._page(asking, "run_parameters.html", await self._shown(asking), {})

    async def timeline(self, asking: Asking) -> Response:
        """What happened, when, and by whom."""
        shown = await self._shown(asking)
        run = asking.run()
        events = await self._database.read(lambda connection: history_of_run(connection, asking.who, run))
        view, run_now = shown.overview.pipeline, shown.run
        timeline = None
        if view is not None:
            begin = run_now.started_at or run_now.created_at
            now = to_datetime(self._clock.now())
            timeline = timeline_of(view.elements, begin=begin, ended_at=run_now.ended_at, now=now)
        return await self._page(asking, "run_timeline.html", shown, {"events": events, "timeline": timeline})

    async def ask_cancel(self, asking: Asking) -> Response:
        """What withdrawing means, before it is done."""
        return await self._ask(asking, "cancel")

    async def ask_abort(self, asking: Asking) -> Response:
        """What stopping means, before it is done."""
        return await self._ask(asking, "abort")

    async def cancel(self, asking: Asking) -> Response:
        """Withdraws a run that has not started."""
        return await self._stop(asking, "cancel")

    async def abort(self, asking: Asking) -> Response:
        """Stops the run wherever it is."""
        return await self._stop(asking, "abort")

    async def retry(self, asking: Asking) -> Response:
        """A new run with the same parameters; secrets are not kept, so a job that needs some wants its form."""
        run, form = asking.run(), asking.form()
        repetition = asking.repetition(self._sealing, form_key=form.text("key"))
        scope = read_scope({"scope": form.text("scope")})
        if scope.problems:
            raise InvalidFields([(f"/{name}", sentence) for name, sentence in scope.problems])
        try:
            made = await self._triggers.retry(asking.who, run, scope.request({}, {}), repetition)
        except InvalidFields as error:
            problems = [(pointer.rpartition("/")[2], sentence) for pointer, sentence in error.problems]
            shown = await self._shown(asking)
            return await self._page(asking, "run_retry.html", shown, {"problems": problems}, status=422)
        return _back(made.run, "retry")

    async def _stop(self, asking: Asking, what: str) -> Response:
        run, reason = asking.run(), asking.form().text("reason")
        stop = self._stops.cancel if what == "cancel" else self._stops.abort
        try:
            await stop(asking.who, run, reason=reason)
        except InvalidFields as error:
            problems = error.by_field
            return await self._ask(asking, what, reason=reason, problems=problems, status=422)
        return _back(run, what)

    async def _ask(
        self,
        asking: Asking,
        what: str,
        *,
        reason: str = "",
        problems: Sequence[tuple[str, str]] = (),
        status: int = 200,
    ) -> Response:
        shown = await self._shown(asking)
        if not shown.overview.may_steer:
            raise NotAllowed(Permission.RUN.value)
        values: dict[str, object] = {"what": what, "reason": reason, "problems": problems}
        return await self._page(asking, "run_stop.html", shown, values, status=status)

    async def _shown(self, asking: Asking, *others: str) -> ShownRun:
        query = asking.query("attempt", "refresh", *others)
        run, now = asking.run(), self._clock.now()
        overview = await self._database.read(lambda connection: run_overview(connection, asking.who, run, now=now))
        return show(overview, attempt=number_asked(query, "attempt"), now=to_datetime(now), key=self._new_key())

    async def _tail(self, shown: ShownRun) -> dict[str, object]:
        """The last lines of what failed first, else of the attempt."""
        attempt, step = shown.attempt, shown.failed_step
        if attempt is not None and not shown.is_over:
            log = committed_log(shown.run.id, attempt)
            follow = follow_start(log, await self._lines.tail(log, FOLLOW_LINES))
            return {"tail": "", "tail_step": None, "follow": follow}
        if attempt is None or not attempt.log_length:
            return {"tail": "", "tail_step": None}
        log = committed_log(shown.run.id, attempt)
        start = step.log_start if step else 0
        end = step.log_end if step and step.log_end is not None else attempt.log_length
        lines = await self._lines.last_lines(log, start, end, TAIL_LINES)
        base = f"/runs/{log.run}/log?attempt={attempt.number}&line="
        return {"tail": lines_html(lines, base), "tail_step": step}

    async def _page(
        self, asking: Asking, template: str, shown: ShownRun, values: dict[str, object], *, status: int = 200
    ) -> Response:
        headers = refresh_asked(asking.request.query_params, is_over=shown.is_over)
        common = {"shown": shown, "run": shown.overview.run, "step_state": step_state, "exit_text": exit_text}
        return await self._renderer.page(asking, template, {**common, **values}, status=status, headers=headers)


def _results(shown: ShownRun) -> list[tuple[str, str]]:
    """Each as text: a string without its quotes, everything else as JSON."""
    return [(name, comparable_text(bytes(value))) for name, value in shown.overview.run.results.items()]


def _back(run: int, done: str) -> Response:
    return RedirectResponse(f"/runs/{run}?done={done}", status_code=303)
