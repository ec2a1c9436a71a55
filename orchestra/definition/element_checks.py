"""What one element of a pipeline must hold: what it runs or whom it asks, and how often."""

import re
from collections.abc import Iterator

from orchestra.definition import bounds
from orchestra.definition.condition_checks import condition_faults
from orchestra.definition.element_templates import list_faults, template_faults_of
from orchestra.definition.faults import Fault
from orchestra.definition.given_checks import given_faults
from orchestra.definition.matrix_checks import matrix_faults
from orchestra.definition.problems import Path
from orchestra.definition.surroundings import Surroundings, local_name
from orchestra.definition.values import did_you_mean
from orchestra.durations import format_duration
from orchestra.elements import Approval, Element, Verdict
from orchestra.errors import BadName
from orchestra.identifiers import checked_name, split_job
from orchestra.matching import NAME_PROPERTY, describe, is_fulfilled
from orchestra.specification import Matching, Operator, Requirement

_PROPERTY = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
_COMPARISONS = (">", "<", "=", "!=")


def element_faults(element: Element, around: Surroundings, path: Path) -> Iterator[Fault]:
    """Everything that forbids to use the element at this path, but for its rules."""
    if element.approval is not None:
        yield from _approval_faults(element, element.approval, around, path)
    else:
        yield from _job_faults(element, around, path)
        yield from _several_faults(element, around, path)
        yield from _worker_faults(element, around, path)
        yield from given_faults(element, around, path)
        for index, code in enumerate(element.allowed_exit_codes):
            if code not in bounds.EXIT_CODE:
                sentence = f"must be {bounds.EXIT_CODE}, got {code}"
                yield Fault(
                    (*path, "allow-failure", "exit", str(index)), sentence, "write `allow-failure: { exit: [75] }`"
                )
    if element.condition:
        yield from condition_faults(element, around, (*path, "if"))


def count_faults(count: int | None, path: Path) -> Iterator[Fault]:
    """Of `max-parallel`."""
    if count is not None and count not in bounds.MAX_PARALLEL:
        nearest = min(max(count, int(bounds.MAX_PARALLEL.low)), int(bounds.MAX_PARALLEL.high))
        yield Fault(path, f"must be {bounds.MAX_PARALLEL}, got {count}", f"write `max-parallel: {nearest}`")


def _job_faults(element: Element, around: Surroundings, path: Path) -> Iterator[Fault]:
    place = (*path, "job")
    try:
        split_job(element.job) if "/" in element.job else checked_name("job", element.job)
    except BadName:
        yield Fault(place, f'is no job\'s name: "{element.job[:80]}"', "write `job: build`, or `job: shop/build`")
        return
    name = local_name(element.job, around.project)
    if name is None:
        # A job of another project is looked for when the definition is applied.
        return
    job = around.jobs.get(name)
    if job is None:
        remedy = did_you_mean(name, around.jobs) or "add it to this file, or write `job: PROJECT/NAME` of another one"
        yield Fault(place, f"names the unknown job `{name}`", remedy)
    elif job.wrapped:
        yield Fault(place, f"names the job `{name}`, which only something else can start (`wrapped`)", "name another")


def _several_faults(element: Element, around: Surroundings, path: Path) -> Iterator[Fault]:
    if element.matrix is not None:
        yield from matrix_faults(element.matrix, (*path, "matrix"))
    if element.for_each:
        if element.matrix is not None:
            yield Fault((*path, "for-each"), "stands beside `matrix`", "keep one of the two")
        yield from list_faults(element, around, (*path, "for-each"))
    yield from count_faults(element.max_parallel, (*path, "max-parallel"))
    if element.matrix is None and not element.for_each:
        for key, is_given in (("max-parallel", element.max_parallel is not None), ("fail-fast", element.fail_fast)):
            if is_given:
                sentence = "means nothing for an element that has one run"
                yield Fault((*path, key), sentence, "remove it, or give the element a `matrix` or `for-each`")


def _worker_faults(element: Element, around: Surroundings, path: Path) -> Iterator[Fault]:
    place = (*path, "worker")
    if not element.worker and not element.same_worker_as:
        return
    job = around.job_of(element)
    if job is not None and job.pipeline is not None:
        sentence = "means nothing here: a pipeline runs nothing by itself"
        yield Fault(place, sentence, f"give it to the elements of `{element.job}`")
    if len(element.worker) > bounds.REQUIREMENTS_MAX:
        yield Fault(place, f"asks for more than {bounds.REQUIREMENTS_MAX} properties", "remove some")
    for name, value in element.worker.items():
        if not _PROPERTY.fullmatch(name):
            yield Fault(
                (*place, name), "is no property's name", "begin with a letter, go on with letters, digits, . _ -"
            )
        if isinstance(value, str):
            if value.strip().startswith(_COMPARISONS):
                remedy = f"write `{name}: linux` here, and what compares into the job's own `worker`"
                yield Fault((*place, name), "must be one plain value, which the worker's is equal to", remedy)
            yield from template_faults_of(value, element, around, (*place, name))
    if element.same_worker_as:
        if NAME_PROPERTY in element.worker:
            sentence = "stands beside `same-as`, which says whose name it is"
            yield Fault((*place, NAME_PROPERTY), sentence, "keep one of the two")
        yield from _same_worker_faults(element, around, (*place, "same-as"))


def _same_worker_faults(element: Element, around: Surroundings, path: Path) -> Iterator[Fault]:
    """Of `same-as`: the other element must be over by then, and must have one worker."""
    name = element.same_worker_as
    other = around.elements.get(name)
    if other is None:
        known = around.before(element)
        sentence = f"names the unknown element `{name[:80]}`"
        yield Fault(path, sentence, did_you_mean(name, known) or f"known are {', '.join(known[:10]) or 'none'}")
        return
    job = around.job_of(other)
    if not around.is_before(name, element):
        own = "itself" if other is element else f"`{name}`, which is not over before it begins"
        remedy = f"add `after: {name}`" if other is not element and name not in around.closing else "remove it"
        yield Fault(path, f"names {own}", remedy)
    elif other.approval is not None:
        yield Fault(path, f"names `{name}`, an approval, which no worker has", "name an element that runs a job")
    elif other.matrix is not None or other.for_each:
        sentence = f"names `{name}`, which has several runs and so perhaps several workers"
        yield Fault(path, sentence, "name an element that has one run")
    elif job is not None and job.pipeline is not None:
        sentence = f"names `{name}`, which runs a pipeline, and that has no worker of its own"
        yield Fault(path, sentence, f"move this element into `{other.job}`, or name one that runs a job")
    elif (own_job := around.job_of(element)) is not None and job is not None:
        for there, here in _contradictions(job.matching, own_job.matching):
            sentence = f"can never be: `{name}` asks for {describe(there)}, and this for {describe(here)}"
            yield Fault(path, sentence, "remove it, or let both jobs ask for the same")


def _contradictions(there: Matching, here: Matching) -> Iterator[tuple[Requirement, Requirement]]:
    """Of two jobs: what no worker can have at once."""
    # Whoever meets one of these has one of its values.
    for one in (each for each in there.requirements if each.operator is Operator.IN):
        for other in (each for each in here.requirements if each.name == one.name):
            if not any(is_fulfilled(other, {one.name: value}) for value in one.values):
                yield one, other


def _approval_faults(element: Element, approval: Approval, around: Surroundings, path: Path) -> Iterator[Fault]:
    for key, is_given in (
        ("job", bool(element.job)),
        ("with", bool(element.parameters)),
        ("worker", bool(element.worker or element.same_worker_as)),
        ("matrix", element.matrix is not None),
        ("for-each", bool(element.for_each)),
        ("max-parallel", element.max_parallel is not None),
        ("fail-fast", element.fail_fast),
    ):
        if is_given:
            yield Fault((*path, key), "means nothing for an approval, which runs no job", "remove it")
    if element.allow_failure or element.allowed_exit_codes:
        sentence = "would take a rejected approval for a given one"
        yield Fault((*path, "allow-failure"), sentence, "remove it; elements after it may ask for `finished`")
    place = (*path, "approval")
    if len(approval.by) > bounds.APPROVERS_MAX:
        yield Fault((*place, "by"), f"names more than {bounds.APPROVERS_MAX}", "give them a role in the project")
    for index, name in enumerate(approval.by):
        try:
            checked_name("user", name)
        except BadName:
            sentence = f"is no user's and no role's name: \"{name[:80]}\""
            yield Fault((*place, "by", str(index)), sentence, "use 1 to 64 of a-z 0-9 . _ -")
    if approval.timeout_seconds is not None and approval.timeout_seconds not in bounds.APPROVAL_TIMEOUT:
        got = format_duration(approval.timeout_seconds)
        yield Fault((*place, "timeout"), f"must be {bounds.APPROVAL_TIMEOUT}, got {got}", "write `timeout: 2d`")
    if approval.timeout_seconds is None and approval.on_timeout is not Verdict.REJECT:
        yield Fault((*place, "on-timeout"), "stands without `timeout`", "add `timeout: 2d`, or remove it")
    yield from template_faults_of(approval.message, element, around, (*place, "message"))
