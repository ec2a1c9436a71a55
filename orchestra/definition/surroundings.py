"""What an element may refer to: the jobs of its project, the pipeline's parameters, and the elements before it."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from orchestra.elements import Element, Pipeline
from orchestra.pipeline.graph import Graph, circle_in
from orchestra.specification import JobSpecification, Parameter


class Surroundings:
    """One pipeline as its elements see it; it may be wrong in every way."""

    def __init__(
        self,
        *,
        project: str,
        jobs: Mapping[str, JobSpecification],
        parameters: Sequence[Parameter],
        pipeline: Pipeline,
    ) -> None:
        self.project = project
        self.jobs = jobs
        self.parameters = {parameter.name: parameter for parameter in parameters}
        self.elements = {element.name: element for element in (*pipeline.elements, *pipeline.closing)}
        self.closing = frozenset(element.name for element in pipeline.closing)
        self.circle = circle_in((*pipeline.elements, *pipeline.closing))
        """The path of a circle, each waiting for the next."""
        self._pipeline = pipeline

    def job_of(self, element: Element) -> JobSpecification | None:
        """The job that it runs, if that is one of the same definition."""
        name = local_name(element.job, self.project)
        return None if name is None else self.jobs.get(name)

    def is_before(self, name: str, element: Element) -> bool:
        """Whether the element of this name is over, however it ended, before the other begins."""
        if name not in self.elements or name == element.name:
            return False
        # Of elements in a circle nothing more can be said.
        return bool(self.circle) or bool(self._before[element.name] >> self._numbers[name] & 1)

    def before(self, element: Element) -> list[str]:
        """The names of all elements before this one, in the order of the file."""
        return [name for name in self.elements if self.is_before(name, element)]

    def element_in(self, path: str) -> str | None:
        """`plan` of `plan.targets`; None if it begins with no element. Names may hold points."""
        parts = path.split(".")
        starts = (".".join(parts[:length]) for length in range(len(parts) - 1, 0, -1))
        return next((start for start in starts if start in self.elements and path != f"{start}."), None)

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate(self.elements)}

    @cached_property
    def _before(self) -> Mapping[str, int]:
        """A bit for each element before: 5,000 elements take 3 MiB and no time, sets would take 2 GiB."""
        ordinary = sum(1 << number for name, number in self._numbers.items() if name not in self.closing)
        found: dict[str, int] = {}
        for element in Graph(self._pipeline).elements:
            bits = ordinary if element.name in self.closing else 0
            for name in element.after:
                if name in self._numbers:
                    bits |= found[name] | 1 << self._numbers[name]
            found[element.name] = bits
        return found


def local_name(job: str, project: str) -> str | None:
    """The name of a job of this project, or None if it is one of another: `build` and `shop/build` in `shop`."""
    owner, slash, name = job.partition("/")
    if not slash:
        return job
    return name if owner == project else None
