"""The fields of a trigger form: made from a job's typed parameters, filled, and read back as what was meant."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestra.definition.parameters import validate_parameters
from orchestra.durations import BadDuration, parse_duration
from orchestra.errors import InvalidFields
from orchestra.limits import PRIORITY_MAX
from orchestra.queries.addresses import API
from orchestra.queries.jobs import JobDetail
from orchestra.specification import Parameter, ParameterType, PropertyValue
from orchestra.web.form import Form
from orchestra_website.retry_scope import EVERYTHING, RetryScope, read_scope

PARAMETER, SECRET = "param.", "secret."
_FIELD_OF = {"/parameters/": PARAMETER, "/secrets/": SECRET}
_TEXTS = (ParameterType.STRING, ParameterType.TEXT)


@dataclass(frozen=True, kw_only=True, slots=True)
class FormField:
    """One parameter as a field, with the text that stands in it."""

    name: str
    """`param.env`; a secret is `secret.api-key`."""
    parameter: Parameter
    value: str

    @property
    def is_ticked(self) -> bool:
        """Whether it is a box to tick: only a truth with a default, since an empty box cannot say "not given"."""
        return self.parameter.type is ParameterType.BOOLEAN and self.parameter.default is not None

    @property
    def is_explained(self) -> bool:
        """Whether there is something to say below its name."""
        each = self.parameter
        has_words = bool(each.help or each.example) or each.type in (ParameterType.DURATION, ParameterType.SECRET)
        return has_words or each.minimum is not None or each.maximum is not None

    @property
    def options(self) -> tuple[str, ...]:
        """What can be chosen."""
        return ("true", "false") if self.parameter.type is ParameterType.BOOLEAN else self.parameter.options


@dataclass(frozen=True, kw_only=True, slots=True)
class TriggerValues:
    """Everything that stands in a form, as texts; secrets are apart and are never put into a page."""

    parameters: Mapping[str, str]
    priority: str = ""
    delay: str = ""
    run_at: str = ""
    """By the clocks of the reader's zone."""
    retry_of: int | None = None
    secrets: Mapping[str, str] | None = None
    scope: RetryScope = EVERYTHING
    """What is done again, if it is a pipeline that is retried."""


def fields_of(parameters: Sequence[Parameter], values: TriggerValues) -> list[FormField]:
    """The fields in the order of the definition; a secret is always empty."""
    return [
        FormField(name=f"{SECRET}{each.name}", parameter=each, value="")
        if each.type is ParameterType.SECRET
        else FormField(name=f"{PARAMETER}{each.name}", parameter=each, value=values.parameters.get(each.name, ""))
        for each in parameters
    ]


def text_of(value: PropertyValue | None) -> str:
    """A typed value as a form has it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def defaults_of(parameters: Sequence[Parameter]) -> dict[str, str]:
    """What stands in a fresh form."""
    return {each.name: text_of(each.default) for each in parameters if each.type is not ParameterType.SECRET}


def read_form(form: Form) -> TriggerValues:
    """What was typed. Of a box to tick the last value counts: a hidden "false" stands before it."""
    run = form.text("retry_of")
    return TriggerValues(
        parameters={name: found[-1] for name, found in form.below(PARAMETER).items()},
        priority=form.text("priority"),
        delay=form.text("delay"),
        run_at=form.text("run_at"),
        retry_of=int(run) if run.isascii() and run.isdigit() and len(run) < 19 else None,
        secrets={name: found[-1] for name, found in form.below(SECRET).items() if found[-1]},
        scope=read_scope({name: form.text(name) for name in ("scope", "from")}),
    )


def given_parameters(parameters: Sequence[Parameter], values: TriggerValues) -> dict[str, str]:
    """The parameters that were given. An empty field gives nothing, except where a text's default was wiped out."""
    known = {each.name: each for each in parameters}
    given = {}
    for name, text in values.parameters.items():
        parameter = known.get(name)
        is_text = parameter is not None and parameter.type in _TEXTS
        stripped = text if is_text else text.strip()
        if stripped or (is_text and parameter is not None and parameter.default not in (None, "")):
            given[name] = stripped
    return given


def check(
    parameters: Sequence[Parameter], values: TriggerValues
) -> tuple[dict[str, PropertyValue], int | None, float, list[tuple[str, str]]]:
    """Typed parameters, priority, delay in seconds, and all that is wrong, by field."""
    problems: list[tuple[str, str]] = []
    typed: dict[str, PropertyValue] = {}
    priority, delay = None, 0.0
    try:
        typed = validate_parameters(parameters, given_parameters(parameters, values), values.secrets or {}).values
    except InvalidFields as error:
        problems += problems_by_field(error.problems)
    if values.priority:
        try:
            priority = int(values.priority[:9])
        except ValueError:
            problems.append(("priority", f"must be a whole number from -{PRIORITY_MAX} to {PRIORITY_MAX}"))
    if values.delay:
        try:
            delay = parse_duration(values.delay)
        except BadDuration:
            problems.append(("delay", "must be a duration such as 45m or 1h30m"))
    return typed, priority, delay, problems


def problems_by_field(problems: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """`/parameters/env` is the field `param.env`, `/delay_seconds` is `delay`."""
    found = []
    for pointer, sentence in problems:
        name = pointer.removeprefix("/").removesuffix("_seconds")
        for prefix, field in _FIELD_OF.items():
            if pointer.startswith(prefix):
                name = field + pointer.removeprefix(prefix).replace("~1", "/").replace("~0", "~")
        found.append((name, sentence))
    return found


def command_line(job: JobDetail, values: TriggerValues) -> str:
    """The same by the command line; secrets come from files."""
    usual = defaults_of(job.parameters)
    words = ["orchestra"]
    if values.retry_of is not None:
        words += ["retry", str(values.retry_of), *values.scope.options]
        flag = "--set"
    else:
        words += ["trigger", f"{job.project}/{job.name}"]
        flag = "-p"
    for name, text in given_parameters(job.parameters, values).items():
        if text != usual.get(name):
            words += [flag, f"{name}={text}"]
    for parameter in job.parameters:
        if parameter.type is ParameterType.SECRET:
            words += ["--secret", f"{parameter.name}=@FILE"]
    return shlex.join(words)


def curl_command(job: JobDetail, values: TriggerValues, server: str) -> str:
    """The same by HTTP, with the token in a variable."""
    usual = defaults_of(job.parameters)
    content: dict[str, object] = {
        **(values.scope.fields if values.retry_of is not None else {}),
        "parameters": {
            name: text for name, text in given_parameters(job.parameters, values).items() if text != usual.get(name)
        },
    }
    secrets = {each.name: "…" for each in job.parameters if each.type is ParameterType.SECRET}
    if secrets:
        content["secrets"] = secrets
    path = f"{API}/runs/{values.retry_of}/retry" if values.retry_of is not None else f"{job.url}/runs"
    body = shlex.quote(json.dumps(content, ensure_ascii=False))
    lines = ('curl -H "Authorization: Bearer $ORCHESTRA_TOKEN"', f"  --json {body}", f"  {shlex.quote(server + path)}")
    return " \\\n".join(lines)
