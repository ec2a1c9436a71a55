"""Finds pipelines that contain themselves, directly or through others: their runs would never end to be made."""

from collections.abc import Iterator, Sequence

from orchestra.definition.faults import Fault
from orchestra.definition.surroundings import local_name
from orchestra.elements import Element, Pipeline
from orchestra.pipeline.graph import circle_in
from orchestra.specification import JobDefinition, ProjectDefinition


def circle_of_pipelines(definition: ProjectDefinition) -> Iterator[Fault]:
    """The fault of one circle within the definition, if there is one."""
    # What a pipeline contains it needs, as an element needs those before it: the search is the same.
    containing = [
        Element(name=job.name, after=dict.fromkeys(contained_jobs(job, definition.name), ()))
        for job in definition.jobs
        if job.specification.pipeline is not None
    ]
    circle = circle_in(containing)
    if not circle:
        return
    first = next(job for job in definition.jobs if job.name == circle[0] and job.specification.pipeline is not None)
    assert first.specification.pipeline is not None
    key, element = _element_that_runs(first.specification.pipeline, circle[1], definition.name)
    yield Fault(
        ("jobs", first.name, key, element.name, "job"),
        f"makes the pipeline contain itself: {' → '.join(circle)}",
        "let it run another job",
    )


def contained_jobs(job: JobDefinition, project: str) -> Sequence[str]:
    """The jobs of its own project that a pipeline's elements run, each once."""
    pipeline = job.specification.pipeline
    elements = (*pipeline.elements, *pipeline.closing) if pipeline else ()
    names = (local_name(element.job, project) for element in elements if element.approval is None)
    return list(dict.fromkeys(name for name in names if name))


def _element_that_runs(pipeline: Pipeline, job: str, project: str) -> tuple[str, Element]:
    return next(
        (key, element)
        for key, elements in (("elements", pipeline.elements), ("finally", pipeline.closing))
        for element in elements
        if element.approval is None and local_name(element.job, project) == job
    )
