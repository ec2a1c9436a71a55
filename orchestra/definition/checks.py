"""What a definition must hold to be usable, whoever made it: a file, a program or the API."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice

import msgspec

from orchestra.definition import bounds
from orchestra.definition.expectation_checks import expectation_faults, wrapped_faults
from orchestra.definition.faults import Fault, bound_fault
from orchestra.definition.limit_checks import limit_faults, limit_hints
from orchestra.definition.parameter_checks import parameter_faults
from orchestra.definition.pipeline_checks import pipeline_faults, pipeline_hints
from orchestra.definition.pipeline_circles import circle_of_pipelines
from orchestra.definition.policy_checks import group_hints, policy_faults, policy_hints
from orchestra.definition.problems import Path
from orchestra.definition.resource_checks import resource_faults
from orchestra.definition.retry_checks import retry_faults, retry_hints
from orchestra.definition.schedule_checks import schedule_faults
from orchestra.definition.templates import template_faults
from orchestra.errors import BadName, InvalidFields
from orchestra.identifiers import checked_name
from orchestra.limits import ARGUMENT_BYTES_MAX
from orchestra.matching import quantity
from orchestra.specification import (
    Execution,
    JobDefinition,
    JobSpecification,
    Matching,
    Operator,
    ProjectDefinition,
    Requirement,
    Step,
)

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PROPERTY = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
_OWN_VARIABLES = ("ORCHESTRA_", "PARAM_")


def find_faults(definition: ProjectDefinition) -> Iterator[Fault]:
    """Everything that forbids to use the definition."""
    yield from _name_fault("project", definition.name, ("project",))
    if "\0" in definition.description:
        yield Fault(("description",), "holds a NUL character, which cannot be kept", "remove it")
    if len(definition.jobs) > bounds.JOBS_MAX:
        yield Fault(("jobs",), f"are more than {bounds.JOBS_MAX}", "split the project")
    yield from resource_faults(definition)
    for requirement in definition.reserve.requirements if definition.reserve else ():
        yield from _requirement_faults(requirement, ("slots", "reserve", "worker", requirement.name))
    jobs: Mapping[str, JobSpecification] = {job.name: job.specification for job in definition.jobs}
    seen: set[str] = set()
    for job in definition.jobs:
        path = ("jobs", job.name)
        if job.name in seen:
            yield Fault(path, "is there twice", "rename one of them")
        seen.add(job.name)
        yield from _name_fault("job", job.name, path)
        yield from _job_faults(job, path)
        yield from policy_faults(job.specification, definition.locks, path)
        # Whoever renames a job of a thousand elements needs no thousand sentences, each with a search for its remedy.
        yield from islice(
            pipeline_faults(job.specification, path, project=definition.name, jobs=jobs), bounds.PIPELINE_FAULTS_MAX
        )
    yield from circle_of_pipelines(definition)


def find_hints(definition: ProjectDefinition) -> Iterator[Fault]:
    """What is allowed, but better said explicitly."""
    for job in definition.jobs:
        specification = job.specification
        yield from pipeline_hints(specification, ("jobs", job.name))
        yield from policy_hints(specification, definition.locks, ("jobs", job.name))
        if specification.wrapped or specification.pipeline is not None:
            continue
        execution = specification.execution
        if execution.timeout_seconds is None and execution.silence_seconds is None:
            yield Fault(("jobs", job.name), "has no timeout: a run that hangs is never ended", "add `timeout: 1h`")
        yield from retry_hints(specification.retry, ("jobs", job.name, "retry"))
        yield from limit_hints(execution, ("jobs", job.name))
    yield from group_hints(definition)


def require_usable(definition: ProjectDefinition) -> None:
    """Raises InvalidFields with a JSON pointer in the file's words for each fault: for what comes from a program."""
    problems = fields_of(find_faults(definition))
    if problems:
        raise InvalidFields(problems)


def fields_of(faults: Iterable[Fault]) -> list[tuple[str, str]]:
    """Each fault as InvalidFields has it: a JSON pointer in the file's words, and a sentence with its repair."""
    return [(_pointer(fault.path), _full_sentence(fault)) for fault in faults]


def _full_sentence(fault: Fault) -> str:
    return f"{fault.sentence}: {fault.remedy}" if fault.remedy else fault.sentence


def _pointer(path: Path) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def _name_fault(kind: str, name: str, path: Path) -> Iterator[Fault]:
    try:
        checked_name(kind, name)
    except BadName:
        plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("._-")[:64] or f"my-{kind}"
        sentence = f"is no {kind} name: use 1 to 64 of a-z 0-9 . _ - with a letter or digit first"
        yield Fault(path, sentence, f"write `{plain}`")


def _job_faults(job: JobDefinition, path: Path) -> Iterator[Fault]:
    specification = job.specification
    yield from _execution_faults(specification, path)
    yield from parameter_faults(specification.parameters, path)
    yield from _matching_faults(specification.matching, path)
    yield from retry_faults(specification.retry, (*path, "retry"))
    yield from bound_fault(specification.priority, bounds.PRIORITY, (*path, "priority"))
    yield from bound_fault(specification.lost_after_seconds, bounds.LOST_AFTER, (*path, "lost-after"))
    yield from bound_fault(specification.expire_after_seconds, bounds.EXPIRE_AFTER, (*path, "expire-after"))
    if job.schedule is not None:
        yield from schedule_faults(job.schedule, specification.parameters, (*path, "schedule"))
    if job.expect is not None:
        yield from expectation_faults(job.expect, (*path, "expect"))
    if specification.wrapped:
        yield from wrapped_faults(job, path)
    size = len(msgspec.json.encode(specification))
    if specification.pipeline is not None:
        if size > bounds.PIPELINE_BYTES_MAX:
            limit = bounds.PIPELINE_BYTES_MAX >> 10
            yield Fault(path, f"is {size >> 10} KiB long, at most {limit} are allowed", "let elements run pipelines")
    elif size > bounds.SPECIFICATION_BYTES_MAX:
        limit = bounds.SPECIFICATION_BYTES_MAX >> 10
        yield Fault(path, f"is {size >> 10} KiB long, at most {limit} are allowed", "move the script into a file")


def _execution_faults(specification: JobSpecification, path: Path) -> Iterator[Fault]:
    execution = specification.execution
    names = tuple(parameter.name for parameter in specification.parameters)
    if not execution.steps and not specification.wrapped and specification.pipeline is None:
        yield Fault((*path, "steps"), "is empty", "add a step such as `{ name: Build, run: make }`")
    for key, steps in (("steps", execution.steps), ("setup", execution.setup), ("teardown", execution.teardown)):
        if len(steps) > bounds.STEPS_MAX:
            yield Fault((*path, key), f"has more than {bounds.STEPS_MAX} steps", "join some of them")
        for index, step in enumerate(steps):
            yield from _step_faults(step, (*path, key, str(index)), names)
    yield from _environment_faults(execution, path)
    if execution.directory is not None and (not execution.directory or "\0" in execution.directory):
        yield Fault((*path, "directory"), "is no directory's name", "remove the key, or name a directory")
    yield from limit_faults(execution, path)


def _step_faults(step: Step, path: Path, parameters: Collection[str]) -> Iterator[Fault]:
    if not 0 < len(step.name) <= bounds.STEP_NAME_CHARACTERS_MAX or not step.name.isprintable():
        yield Fault((*path, "name"), f"must be one line of 1 to {bounds.STEP_NAME_CHARACTERS_MAX} characters")
    if (step.run is None) == (step.command is None):
        yield Fault(path, "needs either `run` or `command`", "write `run: make`, or `command: [make, all]`")
        return
    if step.run is not None:
        if not step.run.strip():
            yield Fault((*path, "run"), "is empty", "write what the shell shall do")
        elif "\0" in step.run:
            yield Fault((*path, "run"), "holds a NUL character, which no shell reads", "remove it")
        return
    command = step.command or ()
    if not command or not command[0]:
        yield Fault((*path, "command"), "names no program", "write `command: [ls, -l]`")
    for index, argument in enumerate(command):
        place = (*path, "command", str(index))
        if "\0" in argument or len(argument.encode(errors="surrogatepass")) >= ARGUMENT_BYTES_MAX:
            yield Fault(place, f"must be shorter than {ARGUMENT_BYTES_MAX >> 10} KiB, without a NUL character")
        for sentence, remedy in template_faults(argument, parameters):
            yield Fault(place, sentence, remedy)


def _environment_faults(execution: Execution, path: Path) -> Iterator[Fault]:
    for name, value in execution.environment.items():
        place = (*path, "environment", name)
        if not _VARIABLE.fullmatch(name):
            yield Fault(place, "is no variable's name", "use letters, digits and _, no digit first")
        elif name.startswith(_OWN_VARIABLES):
            yield Fault(place, "begins as the variables that we set ourselves", "rename it")
        if "\0" in value or len(value.encode(errors="surrogatepass")) + len(name) + 2 > ARGUMENT_BYTES_MAX:
            yield Fault(place, f"must be shorter than {ARGUMENT_BYTES_MAX >> 10} KiB, without a NUL character")


def _matching_faults(matching: Matching, path: Path) -> Iterator[Fault]:
    yield from bound_fault(matching.slots, bounds.SLOTS, (*path, "slots"))
    if len(matching.requirements) + len(matching.prefer) + len(matching.avoid) > bounds.REQUIREMENTS_MAX:
        yield Fault((*path, "worker"), f"asks for more than {bounds.REQUIREMENTS_MAX} properties", "remove some")
    for requirement in matching.requirements:
        yield from _requirement_faults(requirement, (*path, "worker", requirement.name))
    for key, wishes in (("prefer", matching.prefer), ("avoid", matching.avoid)):
        for wish in wishes:
            place = (*path, "worker", key, wish.name)
            yield from _requirement_faults(wish, place)
            yield from bound_fault(wish.weight, bounds.WEIGHT, (*place, "weight"))


def _requirement_faults(requirement: Requirement, path: Path) -> Iterator[Fault]:
    if not _PROPERTY.fullmatch(requirement.name):
        yield Fault(path, "is no property's name", "begin with a letter, go on with letters, digits, . _ -")
    if requirement.operator in (Operator.IN, Operator.NOT_IN):
        if not requirement.values:
            yield Fault(path, "names no value", f"write `{requirement.name}: linux`")
    elif len(requirement.values) != 1 or quantity(requirement.values[0]) is None:
        got = ", ".join(str(value) for value in requirement.values)
        sentence = f'must compare with a number or a size such as 32GB, got "{got}"'
        yield Fault(path, sentence, f'write `{requirement.name}: "{requirement.operator} 2"`')
