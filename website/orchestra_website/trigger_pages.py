"""The form that triggers a job, or retries a run with changes: typed fields, filled by the address, safe to resend."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode

from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from orchestra.commands.pipeline_retries import version_of_run
from orchestra.commands.triggers import KeyReused, Repetition, Triggered, TriggerRequest
from orchestra.errors import Conflict, InvalidFields, NotFound, RunInTheWay
from orchestra.identifiers import RunId
from orchestra.limits import PRIORITY_MAX
from orchestra.policy import Principal
from orchestra.queries.job_page import JobFacts, show_job_facts
from orchestra.queries.run_views import RunView
from orchestra.queries.runs import show_run
from orchestra.specification import JobSpecification, Parameter, ParameterType, PropertyValue
from orchestra.web.answers import NO_STORE
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import BadQuery
from orchestra.web.parts import WebParts
from orchestra_website.job_pages import JOB
from orchestra_website.renderer import Renderer
from orchestra_website.retry_scope import EVERYTHING, NEWEST, SCOPES, elements_to_choose, read_scope
from orchestra_website.trigger_form import (
    PARAMETER,
    SECRET,
    TriggerValues,
    check,
    command_line,
    curl_command,
    defaults_of,
    fields_of,
    problems_by_field,
    read_form,
    text_of,
)

_TRIGGER = f"{JOB}/trigger"
_USED = "This form has made a run already. Press the button once more if you want another one with these values."


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What the form is about."""

    facts: JobFacts
    old: RunView | None = None
    """The run that is retried."""
    pinned: JobSpecification | None = None
    """If that is a pipeline: the version that it was made of, and so is its retry unless another is asked for."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those of the run's own version, where there is one, else the job's."""
        return self.facts.detail.parameters if self.pinned is None else self.pinned.parameters

    @property
    def elements(self) -> Sequence[str]:
        """From which a retry may begin."""
        return [] if self.pinned is None else elements_to_choose(self.pinned)

    def meant(self, values: TriggerValues) -> tuple[TriggerValues, tuple[Parameter, ...]]:
        """By the newest definition, what that does not know any more is left out, as a retry of any other job does."""
        if self.pinned is None or values.scope.scope != NEWEST:
            return values, self.parameters
        newest = self.facts.detail.parameters
        names = {each.name for each in newest}
        left = {name: text for name, text in values.parameters.items() if name in names}
        return replace(values, parameters=left), newest


class TriggerPages:
    """The handlers of the form."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock
        self._triggers = parts.triggers
        self._sealing = parts.sealing
        self._new_key = parts.new_creation_key

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {("GET", _TRIGGER): self.ask, ("POST", _TRIGGER): self.trigger}

    async def ask(self, asking: Asking) -> Response:
        """The form, filled from the old run and from the address; a secret in the address is taken out of it."""
        asked = dict(asking.request.query_params.multi_items())
        unknown = [
            name
            for name in asked
            if name not in ("retry_of", "scope", "from", "priority", "delay", "run_at", "without")
            and not name.startswith((PARAMETER, SECRET))
        ]
        if unknown:
            raise BadQuery([(f"/{unknown[0]}", "is unknown here: use param.NAME, priority, delay, run_at, retry_of")])
        known = await self._known(asking, asked.get("retry_of"))
        old, parameters = known.old, known.parameters
        secret = {each.name for each in parameters if each.type is ParameterType.SECRET}
        given = {name.removeprefix(PARAMETER): text for name, text in asked.items() if name.startswith(PARAMETER)}
        if secret & set(given) or any(name.startswith(SECRET) for name in asked):
            return self._without_secrets(asking, asked, secret)
        usual = defaults_of(parameters)
        kept = {} if old is None else {name: text_of(value) for name, value in old.parameters.items() if name in usual}
        values = TriggerValues(
            parameters={**usual, **kept, **{name: text for name, text in given.items() if name in usual}},
            priority=asked.get("priority", ""),
            delay=asked.get("delay", ""),
            run_at=asked.get("run_at", ""),
            retry_of=None if old is None else old.id,
            scope=read_scope(asked),
        )
        ignored = sorted(set(given) - set(usual))
        return await self._page(asking, known, values, ignored=ignored, is_without_secrets="without" in asked)

    async def trigger(self, asking: Asking) -> Response:
        """Makes the run and shows it; what is wrong is said at the field, and everything typed stays."""
        form = asking.form()
        values = read_form(form)
        key = form.text("key")
        key = key if key.isprintable() else ""
        known = await self._known(asking, None if values.retry_of is None else str(values.retry_of))
        values, parameters = known.meant(values)
        typed, priority, delay, problems = check(parameters, values)
        problems += values.scope.problems if known.elements else []
        if problems:
            return await self._page(asking, known, values, problems=problems, key=key, status=422)
        repetition = asking.repetition(self._sealing, form_key=key)
        try:
            made = await self._make(asking.who, known, values, (typed, priority, delay), repetition)
        except InvalidFields as error:
            found = problems_by_field(error.problems)
            return await self._page(asking, known, values, problems=found, key=key, status=422)
        except KeyReused:
            return await self._page(asking, known, values, problems=[("", _USED)], status=409)
        except Conflict as error:
            other = error.run if isinstance(error, RunInTheWay) else None
            return await self._page(
                asking, known, values, problems=[("", str(error))], key=key, other=other, status=409
            )
        if not made.is_new:
            return await self._page(asking, known, values, other=made.run)
        return RedirectResponse(f"/runs/{made.run}", status_code=303, headers=NO_STORE)

    async def _make(
        self,
        who: Principal,
        known: "_Known",
        values: TriggerValues,
        checked: tuple[dict[str, PropertyValue], int | None, float],
        repetition: Repetition | None,
    ) -> Triggered:
        typed, priority, delay = checked
        secrets = dict(values.secrets or {})
        if known.old is not None:
            # What was emptied in the form shall not come back from the old run.
            _, parameters = known.meant(values)
            emptied: dict[str, PropertyValue | None] = dict.fromkeys(defaults_of(parameters))
            scope = values.scope if known.elements else EVERYTHING
            request = scope.request({**emptied, **typed}, secrets)
            return await self._triggers.retry(who, RunId(known.old.id), request, repetition)
        wanted = TriggerRequest(
            parameters=typed,
            secrets=secrets,
            priority=priority,
            delay_seconds=delay,
            run_at=values.run_at or None,
            zone=self._renderer.zone_of(who).key if values.run_at else None,
        )
        job = known.facts.detail
        return await self._triggers.trigger(who, job.project, job.name, wanted, repetition)

    async def _known(self, asking: Asking, retry_of: str | None) -> "_Known":
        project, name, now = asking.path("project"), asking.path("job"), self._clock.now()
        number = 0
        if retry_of is not None:
            number = (int(retry_of) if retry_of.isascii() and retry_of.isdigit() and len(retry_of) < 19 else 0) or -1

        def read(connection: Connection) -> _Known:
            facts = show_job_facts(connection, asking.who, project, name, now=now)
            if number == 0:
                return _Known(facts=facts)
            old = show_run(connection, asking.who, RunId(number))
            if (old.project, old.job) != (project, name):
                raise NotFound("run of this job", number)
            if not old.is_pipeline:
                return _Known(facts=facts, old=old)
            pinned = version_of_run(connection, RunId(number)).specification
            return _Known(facts=facts, old=old, pinned=pinned)

        return await self._database.read(read)

    def _without_secrets(self, asking: Asking, asked: dict[str, str], secret: set[str]) -> Response:
        kept = {
            name: text
            for name, text in asked.items()
            if not name.startswith(SECRET) and name.removeprefix(PARAMETER) not in secret
        }
        path = f"{quote(asking.request.url.path)}?{urlencode({**kept, 'without': 'secrets'})}"
        return RedirectResponse(path, status_code=303, headers=NO_STORE)

    async def _page(
        self,
        asking: Asking,
        known: "_Known",
        values: TriggerValues,
        *,
        problems: list[tuple[str, str]] | None = None,
        key: str = "",
        ignored: list[str] | None = None,
        is_without_secrets: bool = False,
        other: int | None = None,
        status: int = 200,
    ) -> Response:
        job = known.facts.detail
        _, parameters = known.meant(values)
        shown = {
            "facts": known.facts,
            "elements": known.elements,
            "scopes": SCOPES,
            "job": job,
            "fields": fields_of(parameters, values),
            "values": values,
            "problems": problems or [],
            "key": key or self._new_key(),
            "ignored": ignored or [],
            "is_without_secrets": is_without_secrets,
            "other": other,
            "priority_max": PRIORITY_MAX,
            "command": command_line(job, values),
            "curl": curl_command(job, values, str(asking.request.base_url).rstrip("/")),
        }
        return await self._renderer.page(asking, "trigger.html", shown, status=status, headers=NO_STORE)
