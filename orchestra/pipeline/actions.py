"""What the resolver is given to look at, and what it wants done: plain values, nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orchestra.elements import MatrixValue
from orchestra.identifiers import RunId
from orchestra.lifecycle import RunState
from orchestra.pipeline.expansion import Instance
from orchestra.pipeline.states import ElementState

ResultsOf = Callable[[Sequence[RunId]], Mapping[RunId, Mapping[str, object]]]


@dataclass(kw_only=True, slots=True)
class Row:
    """How an element stands, or one run of its matrix or list."""

    instance: Instance
    state: ElementState
    run: RunId | None = None
    """Its run, or the one of an earlier pipeline whose outcome is used again."""
    exit_code: int | None = None
    is_stopping: bool = False
    """Its run was asked to end already."""


@dataclass(kw_only=True, slots=True)
class ElementRows:
    """An element with the runs of its matrix or list, none before they are known."""

    head: Row
    instances: list[Row]


@dataclass(frozen=True, kw_only=True)
class PipelineFacts:
    """Everything that a step depends on."""

    number: RunId
    parameters: Mapping[str, MatrixValue]
    rows: Mapping[str, ElementRows]
    results: ResultsOf
    """What runs have found out, by name; looked up only for those that a template or a condition may name."""
    is_stopped: bool
    """Somebody asked for its end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Expand:
    """The element has these runs."""

    element: str
    instances: Sequence[Instance]


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Make the run."""

    element: str
    key: str
    parameters: Mapping[str, MatrixValue]
    worker: Mapping[str, MatrixValue]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """Ask the people."""

    element: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """It is over without a run, or all of its runs are."""

    element: str
    key: str
    state: ElementState
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """Ask this run to end."""

    run: RunId
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Finish:
    """The pipeline is over."""

    state: RunState
    reason: str


Action = Expand | Start | Ask | End | Stop | Finish
