"""The runs that a pipeline makes: of which versions of which jobs, with what, and what of an earlier one is kept."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, select

from orchestra.clock import Instant
from orchestra.definition.parameters import validate_parameters
from orchestra.elements import Element
from orchestra.errors import InvalidFields, OrchestraError
from orchestra.formatter import BadTemplate, UnknownValue
from orchestra.identifiers import JobId, JobVersionId, ProjectId, RunId
from orchestra.limits import NESTING_MAX
from orchestra.matching import NAME_PROPERTY
from orchestra.pipeline.actions import ElementRows, Start
from orchestra.pipeline.graph import Graph
from orchestra.pipeline.states import ElementState, counted_as, is_allowed
from orchestra.specification import JobSpecification, Matching, Operator, ParameterType, Requirement
from orchestra.storage.admission import Admission, Ruling, admit
from orchestra.storage.element_rows import (
    NewElement,
    job_version_of,
    job_versions_of,
    read_elements,
    worker_of_element,
)
from orchestra.storage.jobs import JobRecord, job_of
from orchestra.storage.new_runs import run_of
from orchestra.storage.pipeline_versions import specification_of_version
from orchestra.storage.prepared import PreparedQuery
from orchestra.storage.tables import job_versions, jobs, projects, runs

ALL, FAILED, FROM = "all", "failed", "from "
"""What a retry does again: everything, the failed part, or one element and all that comes after it (`from build`)."""


class ChildRefused(OrchestraError):
    """The element's run cannot be made."""

    def __init__(self, cause: str, *, state: ElementState = ElementState.EXCEPTION) -> None:
        super().__init__(cause, state)
        self.cause = cause
        self.state = state
        """What becomes of the element by it."""

    def __str__(self) -> str:
        return self.cause


class PipelineRun(NamedTuple):
    """The row of a pipeline's run."""

    id: RunId
    state: str
    project_id: ProjectId
    job_version_id: JobVersionId
    parameters: str
    sealed_secrets: str | None
    priority: int
    retry_of: RunId | None
    retry_scope: str | None
    parent_id: RunId | None
    stop_requested_at: Instant | None
    stop_requested_by: str | None
    stop_reason: str | None


class Children:
    """Makes the runs of one pipeline, in one transaction."""

    def __init__(self, connection: Connection, pipeline: PipelineRun) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._jobs: dict[JobVersionId, JobRecord] = {}
        self._versions: dict[str, JobVersionId | None] = {}

    def first_rows(self, graph: Graph) -> Iterator[NewElement]:
        """The elements as the pipeline begins: with the newest versions of their jobs, or, if it is a retry, with those
        of the first try."""
        first, scope = self._pipeline.retry_of, self._pipeline.retry_scope
        kept = job_versions_of(self._connection, first) if first is not None and scope is not None else {}
        # A first try that was cancelled before it began has no versions either.
        newest = {} if kept else self._newest(graph)
        for element in graph.in_written_order():
            if element.approval is not None:
                yield NewElement(element.name, None)
                continue
            version = kept.get(element.name) if kept else newest.get(element.job)
            yield NewElement(element.name, version) if version is not None else _unknown(element)

    def kept_rows(self, graph: Graph) -> Mapping[str, ElementRows]:
        """What of the pipeline that is retried is used again: elements that succeeded, and before which nothing is done
        again."""
        first, scope = self._pipeline.retry_of, self._pipeline.retry_scope
        if first is None or scope in (None, ALL):
            return {}
        before = read_elements(self._connection, first)
        assert scope is not None
        again = set(graph.closing)
        if scope.startswith(FROM):
            again |= graph.descendants(scope.removeprefix(FROM))
        for element in graph.elements:
            if again & element.after.keys() or not _has_succeeded(element, before.get(element.name)):
                again.add(element.name)
        return {name: rows for name, rows in before.items() if name in graph.by_name and name not in again}

    def start(self, element: Element, start: Start, *, now: Instant) -> Admission:
        """Makes the run, or finds the one that was made before, maybe in place of others; raises ChildRefused."""
        job = self._job_of(element)
        parent, specification = self._pipeline, job.specification
        declared = [each for each in specification.parameters if each.type is not ParameterType.SECRET]
        try:
            given = validate_parameters(declared, start.parameters, {})
        except InvalidFields as error:
            raise ChildRefused(f"the parameters do not fit job {job.project}/{job.name}: {error}") from error
        try:
            new = run_of(
                job,
                creation_key=f"pipeline {parent.id} {element.name} {start.key}",
                source=f"pipeline #{parent.id}",
                now=now,
                parameters=given.values,
                # What the job does not know by name is not given to its worker.
                sealed_secrets=parent.sealed_secrets if len(declared) < len(specification.parameters) else None,
                priority=parent.priority,
                matching=self._matching(specification, element, start),
            )
        except (UnknownValue, BadTemplate) as error:
            raise ChildRefused(str(error)) from error
        child = replace(new, parent=parent.id, element=element.name, element_key=start.key)
        admission = admit(self._connection, child)
        if admission.ruling is not Ruling.MADE:
            # A run that somebody else wanted is no part of this pipeline, whatever the job says of its own callers.
            words = admission.words
            if job.project_id != parent.project_id:
                # Who may see the pipeline may not see that run, nor the key that it has.
                words = f"job {job.project}/{job.name} has another run that is in the way of a new one"
            raise ChildRefused(words, state=ElementState.SKIPPED)
        return admission

    def _matching(self, specification: JobSpecification, element: Element, start: Start) -> Matching | None:
        """What the element asks of a worker, if that is more than its job does."""
        if specification.pipeline is not None:
            if self._depth() >= NESTING_MAX:
                raise ChildRefused(f"pipelines are nested more than {NESTING_MAX} deep")
            return None
        wanted = [*start.worker.items()]
        if element.same_worker_as:
            worker = worker_of_element(self._connection, self._pipeline.id, element.same_worker_as)
            # An element that no worker had, because it was skipped or broke before, leaves the choice open.
            wanted += [(NAME_PROPERTY, worker)] if worker is not None else []
        if not wanted:
            return None
        matching = specification.matching
        asked = [Requirement(name=name, operator=Operator.IN, values=(value,)) for name, value in wanted]
        return msgspec.structs.replace(matching, requirements=(*matching.requirements, *asked))

    def _depth(self) -> int:
        depth, parent = 1, self._pipeline.parent_id
        while parent is not None:
            depth += 1
            parent = self._connection.execute(select(runs.c.parent_id).where(runs.c.id == parent)).scalar_one()
        return depth

    def _job_of(self, element: Element) -> JobRecord:
        if element.name not in self._versions:
            self._versions[element.name] = job_version_of(self._connection, self._pipeline.id, element.name)
        version = self._versions[element.name]
        if version is None:
            raise ChildRefused(f"there is no job {element.job}")
        if version not in self._jobs:
            self._jobs[version] = _job(self._connection, version)
        return self._jobs[version]

    def _newest(self, graph: Graph) -> dict[str, JobVersionId]:
        """The newest version of each job that an element names, by that name."""
        connection, own = self._connection, self._pipeline.project_id
        found: dict[str, JobVersionId] = {}
        rows = select(jobs.c.name, jobs.c.version_id)
        for each in connection.execute(rows.where(jobs.c.project_id == own)):
            found[each.name] = JobVersionId(each.version_id)
        for name in {element.job for element in graph.elements if "/" in element.job}:
            project, _, job = name.partition("/")
            theirs = rows.join(projects, projects.c.id == jobs.c.project_id)
            row = connection.execute(theirs.where(projects.c.name == project, jobs.c.name == job)).one_or_none()
            if row is not None:
                found[name] = JobVersionId(row.version_id)
        return found


def _job(connection: Connection, version: JobVersionId) -> JobRecord:
    """The job in this version, if it may have runs now."""
    row = _JOB.first(connection, {"version": version})
    assert row is not None, "versions are never deleted"
    job = job_of(connection, JobId(row.job_id))
    if job.hindrance is not None:
        raise ChildRefused(job.hindrance)
    if job.specification.wrapped:
        raise ChildRefused(f"job {job.project}/{job.name} is started elsewhere, by 'orchestra wrap' only")
    return job.as_of(version, row.number, specification_of_version(connection, version))


def _unknown(element: Element) -> NewElement:
    return NewElement(element.name, None, ElementState.EXCEPTION, f"there is no job {element.job}")


def _has_succeeded(element: Element, rows: ElementRows | None) -> bool:
    if rows is None:
        return False
    head = rows.head
    allowed = not rows.instances and is_allowed(element, head.state, head.exit_code)
    return counted_as(head.state, is_allowed=allowed) is ElementState.SUCCEEDED


class _JobOfVersion(NamedTuple):
    job_id: int
    number: int


_JOB = PreparedQuery(
    _JobOfVersion,
    lambda _: select(job_versions.c.job_id, job_versions.c.number).where(job_versions.c.id == bindparam("version")),
)
