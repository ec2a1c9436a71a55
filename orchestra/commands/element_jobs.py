"""Elements that run jobs of other projects: whether these exist, take what they are given, and may be run."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

from sqlalchemy import Connection

from orchestra.commands.refusals import RefusedByOthers
from orchestra.definition.checks import fields_of
from orchestra.definition.faults import Fault
from orchestra.definition.given_checks import value_faults
from orchestra.definition.pipeline_checks import element_places
from orchestra.definition.problems import Path
from orchestra.elements import Element
from orchestra.errors import NotFound
from orchestra.identifiers import split_job
from orchestra.pipeline.graph import circle_in
from orchestra.policy import Permission, Principal
from orchestra.specification import JobSpecification, ProjectDefinition
from orchestra.storage.jobs import JobRecord, find_job


class ElementJobsRefused(RefusedByOthers):
    """Elements name jobs of other projects that are not there, or not as they are used; a later try may succeed."""


def require_element_jobs(connection: Connection, definition: ProjectDefinition, who: Principal | None) -> None:
    """Raises ElementJobsRefused; `who` is None for a file that was given to the master, which may run every job."""
    foreign = _ForeignJobs(connection, definition, who)
    problems = fields_of(foreign.faults())
    if problems:
        raise ElementJobsRefused(problems)


class _ForeignJobs:
    """The jobs of other projects that one definition runs, each looked up once."""

    def __init__(self, connection: Connection, definition: ProjectDefinition, who: Principal | None) -> None:
        self._connection = connection
        self._definition = definition
        self._who = who
        self._found: dict[str, JobRecord | None] = {}

    def faults(self) -> Iterator[Fault]:
        """Everything that is wrong with them."""
        uses = list(self._uses())
        for specification, element, path in uses:
            yield from self._faults_of(specification, element, path)
        if uses:
            yield from self._circle()

    def _uses(self) -> Iterator[tuple[JobSpecification, Element, Path]]:
        for job in self._definition.jobs:
            if job.specification.pipeline is None:
                continue
            for element, path in element_places(job.specification.pipeline, ("jobs", job.name)):
                if "/" in element.job and split_job(element.job)[0] != self._definition.name:
                    yield job.specification, element, path

    def _faults_of(self, specification: JobSpecification, element: Element, path: Path) -> Iterator[Fault]:
        place = (*path, "job")
        record = self._find(element.job)
        if record is None or not self._may(Permission.READ, record):
            yield Fault(place, f"names the unknown job `{element.job}`", "apply the definition that has it first")
        elif record.retired_at is not None:
            yield Fault(place, f"names the job `{element.job}`, which no definition has any more", "name another one")
        elif not self._may(Permission.RUN, record):
            yield Fault(place, f"names the job `{element.job}`, which you may not run", "ask for a role in its project")
        elif record.specification.wrapped:
            sentence = f"names the job `{element.job}`, which only something else can start (`wrapped`)"
            yield Fault(place, sentence, "name another")
        else:
            own = {parameter.name: parameter for parameter in specification.parameters}
            yield from value_faults(element.parameters, element, record.specification, own, path)

    def _may(self, permission: Permission, record: JobRecord) -> bool:
        return self._who is None or self._who.scope(permission).covers(record.project_id)

    def _find(self, job: str) -> JobRecord | None:
        if job not in self._found:
            try:
                self._found[job] = find_job(self._connection, *split_job(job))
            except NotFound:
                self._found[job] = None
        return self._found[job]

    def _circle(self) -> Iterator[Fault]:
        """A pipeline that comes back to itself by way of another project."""
        circle = circle_in([Element(name=name, after=dict.fromkeys(after, ())) for name, after in self._contained()])
        own = f"{self._definition.name}/"
        shown = " → ".join(circle)
        for name, following in pairwise(circle):
            if name.startswith(own):
                path = ("jobs", name.removeprefix(own))
                yield Fault(path, f"makes the pipeline contain itself, by `{following}`: {shown}", "break the circle")
                return

    def _contained(self) -> Iterator[tuple[str, list[str]]]:
        """Each pipeline that can be reached from this definition, and the jobs that it runs, by their full names."""
        own: Mapping[str, JobSpecification] = {
            f"{self._definition.name}/{job.name}": job.specification for job in self._definition.jobs
        }
        open_names = list(own)
        seen = set(open_names)
        for name in open_names:
            project = name.partition("/")[0]
            specification = own.get(name)
            if specification is None and project != self._definition.name:
                record = self._find(name)
                specification = record.specification if record else None
            if specification is None or specification.pipeline is None:
                continue
            jobs = [element.job for element, _ in element_places(specification.pipeline, ()) if element.job]
            contained = [job if "/" in job else f"{project}/{job}" for job in dict.fromkeys(jobs)]
            yield name, contained
            open_names += [job for job in contained if job not in seen]
            seen.update(contained)
