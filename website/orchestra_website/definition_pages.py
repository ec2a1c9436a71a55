"""A definition pasted into a page: what is wrong with it and where, what it would change, and then the change."""

import asyncio
from dataclasses import dataclass
from importlib.resources import files

from starlette.responses import RedirectResponse, Response

from orchestra.commands.definition_changes import NOTHING_YET
from orchestra.commands.definitions import Action, Plan
from orchestra.definition.problems import DefinitionErrors, Problem, render
from orchestra.definition.reader import Reading, examine_definition
from orchestra.errors import ChangedSincePlan, Conflict, InvalidFields
from orchestra.policy import Principal
from orchestra.queries.addresses import moment
from orchestra.web.answers import NO_STORE
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_website.renderer import Renderer

EXAMPLES = ("backup", "build", "pipeline")
SOURCE = "orchestra.yaml"
_FROM = "the website"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem or hint with the lines that show it."""

    problem: Problem
    excerpt: str


class DefinitionPages:
    """The handlers of the page that takes a definition."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._changes = parts.definition_changes

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {("GET", "/define"): self.ask, ("POST", "/define"): self.take}

    async def ask(self, asking: Asking) -> Response:
        """An empty sheet, or one of the examples."""
        example = asking.query("example").get("example", "")
        text = files("orchestra.cli").joinpath("examples", f"{example}.yaml").read_text() if example in EXAMPLES else ""
        return await self._page(asking, text)

    async def take(self, asking: Asking) -> Response:
        """Shows the plan, or (if it was seen) carries it out."""
        form = asking.form()
        text = form.raw("text")
        if not text.strip():
            return await self._page(asking, text, problems=[("text", "is empty: paste the file here")], status=422)
        try:
            # Up to a mebibyte of YAML: nobody else shall wait for it.
            reading = await asyncio.to_thread(examine_definition, text, SOURCE)
        except DefinitionErrors as error:
            return await self._page(asking, text, findings=error.problems, status=422)
        if reading.problems:
            return await self._page(asking, text, findings=reading.problems, status=422)
        if form.text("step") == "apply":
            return await self._apply(asking, reading, form.raw("expected"))
        return await self._preview(asking, reading)

    async def _preview(self, asking: Asking, reading: Reading, *, is_stale: bool = False) -> Response:
        try:
            plan = await self._changes.plan(asking.who, reading.definition)
        except InvalidFields as error:
            return await self._page(asking, reading.text, problems=list(error.problems), status=422)
        return await self._page(
            asking, reading.text, hints=reading.hints, plan=plan, is_stale=is_stale, status=412 if is_stale else 200
        )

    async def _apply(self, asking: Asking, reading: Reading, expected: str) -> Response:
        who: Principal = asking.who
        try:
            made = await self._changes.apply(who, reading.definition, source=_FROM, expected=expected)
        except ChangedSincePlan:
            return await self._preview(asking, reading, is_stale=True)
        except Conflict as error:
            return await self._page(asking, reading.text, problems=[("text", str(error))], status=409)
        return RedirectResponse(f"/projects/{made.project}?done=applied", status_code=303, headers=NO_STORE)

    async def _page(
        self,
        asking: Asking,
        text: str,
        *,
        problems: list[tuple[str, str]] | None = None,
        findings: tuple[Problem, ...] = (),
        hints: tuple[Problem, ...] = (),
        plan: Plan | None = None,
        is_stale: bool = False,
        status: int = 200,
    ) -> Response:
        def shown(found: tuple[Problem, ...], word: str) -> list[Finding]:
            return [Finding(problem, render(problem, SOURCE, text, word=word)) for problem in found]

        values = {
            "text": text,
            "examples": EXAMPLES,
            "problems": problems or [],
            "findings": shown(findings, "error"),
            "hints": shown(hints, "hint"),
            "plan": plan,
            "changes": [change for change in plan.changes if change.action is not Action.KEEP] if plan else [],
            "kept": sum(change.action is Action.KEEP for change in plan.changes) if plan else 0,
            "fires": [(fire.job, moment(fire.at)) for fire in plan.next] if plan else [],
            "expected": (plan.planned_on or NOTHING_YET) if plan else "",
            "is_stale": is_stale,
        }
        return await self._renderer.page(asking, "define.html", values, status=status)
