"""Reads `orchestra.yaml`: the text becomes a ProjectDefinition, or every problem of it is told at once."""

from dataclasses import dataclass

from orchestra.definition.calendar_fields import Calendars, read_calendars
from orchestra.definition.checks import find_faults, find_hints
from orchestra.definition.document import Node
from orchestra.definition.element_fields import PIPELINE_KEYS, read_pipeline
from orchestra.definition.execution_fields import EXECUTION_KEYS, STAND_IN, read_execution
from orchestra.definition.expectation_fields import read_expectation
from orchestra.definition.matching_fields import read_matching
from orchestra.definition.parameter_fields import read_parameters
from orchestra.definition.policy_fields import POLICY_KEYS, read_policies
from orchestra.definition.problems import DefinitionErrors, Problem, render
from orchestra.definition.resource_fields import read_locks, read_slots
from orchestra.definition.retry_fields import read_retry
from orchestra.definition.schedule_fields import read_schedule
from orchestra.definition.values import Fields, Findings, Value
from orchestra.limits import WRAP_LOST_SECONDS
from orchestra.specification import Execution, JobDefinition, JobSpecification, ProjectDefinition, RetryPolicy

FORMAT_VERSION = 1

PROJECT_KEYS = ("orchestra", "project", "description", "locks", "slots", "calendars", "jobs")
LATER_PROJECT_KEYS = ("repository", "status", "notify", "secrets", "defaults", "tags", "checks")
JOB_KEYS = (
    "description",
    *EXECUTION_KEYS,
    "retry",
    "lost-after",
    "expire-after",
    "priority",
    "worker",
    "slots",
    *POLICY_KEYS,
    "enabled",
    "parameters",
    "schedule",
    "expect",
    "wrapped",
    *PIPELINE_KEYS,
)
LATER_JOB_KEYS = (
    "artifacts",
    "check-in",
    "confirm",
    "docker",
    "notify",
    "python",
    "results",
    "tags",
)
_JOB_HINTS = {
    "script": "did you mean `run`?",
    "cmd": "did you mean `command`?",
    "env": "did you mean `environment`?",
    "cron": "did you mean `schedule`?",
    "cwd": "did you mean `directory`?",
    "working-directory": "did you mean `directory`?",
    "retries": "did you mean `retry: { max-attempts: 3 }`?",
    "params": "did you mean `parameters`?",
    **dict.fromkeys(
        ("after", "allow-failure", "for-each", "if", "matrix", "with"), "it belongs to an element of a pipeline"
    ),
    "pipeline": "did you mean `elements`?",
}
_STEP_KEYS = (
    *(key for key in EXECUTION_KEYS if key != "timeout"),
    "retry",
    "lost-after",
    "worker",
    "slots",
    *(key for key in POLICY_KEYS if key != "unique"),
    "wrapped",
)
"""What says how a worker executes something: a pipeline gives it to nobody."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a definition says, what is wrong with it, and what is only unwise."""

    source: str
    text: str
    definition: ProjectDefinition
    """Whole only if there are no problems."""
    problems: tuple[Problem, ...]
    hints: tuple[Problem, ...]

    def report(self) -> str:
        """Problems and hints for a terminal; empty if there are none."""
        problems = [render(problem, self.source, self.text) for problem in self.problems]
        return "\n".join(problems + [render(hint, self.source, self.text, word="hint") for hint in self.hints])


def read_definition(text: str, source: str) -> ProjectDefinition:
    """The definition that a file holds; raises DefinitionErrors with all its problems. `source` names the file."""
    reading = examine_definition(text, source)
    if reading.problems:
        raise DefinitionErrors(source, reading.problems, text)
    return reading.definition


def examine_definition(text: str, source: str) -> Reading:
    """Reads as far as it can; raises DefinitionErrors only if the text is no YAML."""
    # Loaded with the first text: the parser takes 1 MiB of memory, and a server that rests reads no texts.
    from orchestra.definition.yaml_text import parse_document

    return examine_document(parse_document(text, source), source=source, text=text)


def examine_document(node: Node, *, source: str, text: str) -> Reading:
    """The same for a tree that was made already."""
    findings = Findings(places={(): node.place})
    definition = _project(Value(node, (), findings))
    hints = Findings(places=findings.places)
    for fault in find_faults(definition):
        findings.add(fault.path, fault.sentence, fault.remedy, findings.place_within(fault))
    wrong = {problem.path for problem in findings.problems}
    for hint in find_hints(definition):
        if (*hint.path, "timeout") in wrong:
            continue
        hints.add(hint.path, hint.sentence, hint.remedy)
    ordered = sorted(findings.problems, key=lambda problem: (problem.line, problem.column))
    return Reading(
        source=source, text=text, definition=definition, problems=tuple(ordered), hints=tuple(hints.problems)
    )


def _project(value: Value) -> ProjectDefinition:
    fields = value.fields(PROJECT_KEYS, later=LATER_PROJECT_KEYS, hints={"version": "did you mean `orchestra: 1`?"})
    if fields is None:
        return ProjectDefinition(name="unread")
    _check_version(fields)
    name = fields.get("project")
    if "project" not in fields.values:
        value.findings.add(("the file",), "names no project", "add `project: NAME` below `orchestra: 1`")
    description, jobs, calendars = fields.get("description"), fields.get("jobs"), fields.get("calendars")
    named = (jobs.named("a mapping of names to jobs") or {}) if jobs else {}
    days = read_calendars(calendars) if calendars else {}
    # A stand-in that passes the later check: what is wrong with the name was said above.
    project = (name.text() if name else None) or "unread"
    locks, slots = fields.get("locks"), fields.get("slots")
    share, reserve = read_slots(slots, project=project) if slots else (1, None)
    return ProjectDefinition(
        name=project,
        description=(description.text() if description else None) or "",
        locks=read_locks(locks) if locks else {},
        share=share,
        reserve=reserve,
        jobs=tuple(_job(project, job, item, days) for job, item in named.items()),
    )


def _check_version(fields: Fields) -> None:
    version = fields.get("orchestra")
    if "orchestra" not in fields.values:
        fields.owner.findings.add(("the file",), "does not say its format", "begin it with `orchestra: 1`")
    elif version is not None and (version.scalar is None or version.scalar.value != FORMAT_VERSION):
        version.refuse(f"must be {FORMAT_VERSION}", f"write `orchestra: {FORMAT_VERSION}`")


def _job(project: str, name: str, value: Value, calendars: Calendars) -> JobDefinition:
    fields = value.fields(JOB_KEYS, later=LATER_JOB_KEYS, hints=_JOB_HINTS)
    if fields is None:
        # Nothing can be said of such a job; a stand-in keeps the other checks going.
        return JobDefinition(name=name, specification=_UNREAD)
    fields = _without_strangers(fields)
    enabled, schedule, expect = fields.get("enabled"), fields.get("schedule"), fields.get("expect")
    is_enabled = enabled.truth() if enabled else True
    return JobDefinition(
        name=name,
        specification=_specification(fields),
        schedule=read_schedule(schedule, calendars, job=f"{project}/{name}") if schedule else None,
        expect=read_expectation(expect, job=f"{project}/{name}") if expect else None,
        enabled=is_enabled is not False,
    )


def _without_strangers(fields: Fields) -> Fields:
    """The keys that fit, either of a pipeline or of a job that a worker executes."""
    if "elements" not in fields.values:
        for key in PIPELINE_KEYS:
            if key in fields.values:
                fields.values[key].refuse("belongs to a pipeline", "add `elements: { … }`, or remove it")
        return fields
    for key in _STEP_KEYS:
        if key in fields.values:
            fields.values[key].refuse(
                "means nothing here: a pipeline runs nothing by itself", "give it to the jobs of its elements"
            )
    return Fields(fields.owner, {key: value for key, value in fields.values.items() if key not in _STEP_KEYS})


def _specification(fields: Fields) -> JobSpecification:
    description, parameters, retry = fields.get("description"), fields.get("parameters"), fields.get("retry")
    priority, lost, expire = fields.get("priority"), fields.get("lost-after"), fields.get("expire-after")
    lost_after = lost.duration() if lost else None
    expire_after = expire.duration() if expire else None
    wrapped = fields.get("wrapped")
    is_wrapped = wrapped is not None and wrapped.truth() is True
    usual_loss = WRAP_LOST_SECONDS if is_wrapped else _UNREAD.lost_after_seconds
    is_pipeline = "elements" in fields.values
    return JobSpecification(
        execution=read_execution(fields, has_steps=not is_wrapped and not is_pipeline),
        pipeline=read_pipeline(fields) if is_pipeline else None,
        description=(description.text() if description else None) or "",
        parameters=read_parameters(parameters) if parameters else (),
        matching=read_matching(fields.get("worker"), fields.get("slots")),
        retry=read_retry(retry) if retry else RetryPolicy(),
        policies=read_policies(fields),
        priority=(priority.whole("a whole number from -100 to 100") if priority else None) or 0,
        lost_after_seconds=usual_loss if lost_after is None else lost_after,
        expire_after_seconds=_UNREAD.expire_after_seconds if expire_after is None else expire_after,
        wrapped=is_wrapped,
    )


_UNREAD = JobSpecification(execution=Execution(steps=STAND_IN))
