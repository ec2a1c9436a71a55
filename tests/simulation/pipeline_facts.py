"""What is stored of the pipelines of a world, read once, for those who judge it."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection, Row, select

from orchestra.elements import Element, Pipeline
from orchestra.specification import JobSpecification
from orchestra.storage.tables import job_versions, pipeline_elements, run_results, runs
from tests.simulation.pipeline_witness import Note, pipeline_notes

OPEN = frozenset({"blocked", "waiting", "running"})
BAD = frozenset({"failed", "exception"})
Stored = Row[tuple[object, ...]]


@dataclass(kw_only=True)
class StoredPipeline:
    """One pipeline as its rows have it."""

    run: Stored
    pipeline: Pipeline
    heads: dict[str, Stored] = field(default_factory=dict)
    many: dict[str, list[Stored]] = field(default_factory=lambda: defaultdict(list))
    """The runs of a matrix or list."""

    def elements(self) -> tuple[Element, ...]:
        """All of them."""
        return (*self.pipeline.elements, *self.pipeline.closing)

    def rows_of(self, element: str) -> list[Stored]:
        """Those that may have runs."""
        return self.many[element] or [self.heads[element]]

    def is_closing(self, element: Element) -> bool:
        """Whether it waits for all the others."""
        return element in self.pipeline.closing

    def ancestors(self, element: Element) -> set[str]:
        """Whoever must be over before it."""
        by_name = {each.name: each for each in self.elements()}
        found: set[str] = set()
        todo = [*element.after, *([each.name for each in self.pipeline.elements] if self.is_closing(element) else ())]
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += by_name[name].after
        return found


class PipelineFacts:
    """Everything of all pipelines."""

    def __init__(self, connection: Connection) -> None:
        versions = {row.id: row.specification for row in connection.execute(select(job_versions))}
        self.runs: dict[int, Stored] = {row.id: row for row in connection.execute(select(runs).order_by(runs.c.id))}
        self.pipelines: dict[int, StoredPipeline] = {}
        for run in self.runs.values():
            if run.signature == "pipeline":
                pipeline = msgspec.json.decode(versions[run.job_version_id], type=JobSpecification).pipeline
                assert pipeline is not None
                self.pipelines[run.id] = StoredPipeline(run=run, pipeline=pipeline)
        for row in connection.execute(select(pipeline_elements).order_by(pipeline_elements.c.position)):
            stored = self.pipelines[row.run_id]
            if row.key:
                stored.many[row.element].append(row)
            else:
                stored.heads[row.element] = row
        self.notes: list[Note] = pipeline_notes(connection)
        self._results = {
            (row.run_id, row.name): msgspec.json.decode(row.value) for row in connection.execute(select(run_results))
        }

    def children(self) -> Iterator[Stored]:
        """Every run that a pipeline has made."""
        return (run for run in self.runs.values() if run.parent_id is not None)

    def final(self, row: Stored) -> str:
        """What an element, or one run of it, has come to: what its run has, if it has one."""
        if row.state == "running" and row.child_id is not None and self.runs[row.child_id].ended_at is not None:
            return str(self.runs[row.child_id].state)
        return str(row.state)

    def counted(self, element: Element, row: Stored) -> str:
        """What that counts as."""
        state = self.final(row)
        exit_code = None if row.child_id is None else self.runs[row.child_id].exit_code
        is_allowed = element.allow_failure or (state == "failed" and exit_code in element.allowed_exit_codes)
        return "succeeded" if state in BAD and is_allowed else state

    def counted_together(self, pipeline: StoredPipeline, element: Element) -> str:
        """What the element counts as for those after it."""
        many = pipeline.many[element.name]
        if not many:
            return self.counted(element, pipeline.heads[element.name])
        return worst([self.counted(element, row) for row in many])

    def result(self, run: int | None, name: str) -> object:
        """What a run has found out."""
        return None if run is None else self._results.get((run, name))


def worst(states: list[str]) -> str:
    """What many are as one."""
    for state in ("exception", "failed", "aborted", "cancelled", "succeeded"):
        if state in states:
            return state
    return "skipped"
