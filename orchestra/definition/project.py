"""The Python form of a definition: it makes the document of an `orchestra.yaml`, which goes through the same checks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestra.definition.document import document_of
from orchestra.definition.pipeline_form import PipelineForm
from orchestra.definition.problems import DefinitionErrors
from orchestra.definition.reader import FORMAT_VERSION, examine_document
from orchestra.specification import ProjectDefinition

Plain = str | int | float | bool
Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class Cron:
    """A schedule by a cron expression, in a time zone."""

    expression: str
    zone: str = "UTC"
    overlap: str = "skip"
    parameters: Mapping[str, Plain] = field(default_factory=dict)

    def document(self) -> Document:
        """As the file has it."""
        parameters: Document = {"parameters": dict(self.parameters)} if self.parameters else {}
        return {"cron": self.expression, "zone": self.zone, "overlap": self.overlap, **parameters}


@dataclass(frozen=True, slots=True)
class Every:
    """A schedule by elapsed time: `Every("15m")`."""

    duration: str
    overlap: str = "skip"
    parameters: Mapping[str, Plain] = field(default_factory=dict)

    def document(self) -> Document:
        """As the file has it."""
        parameters: Document = {"parameters": dict(self.parameters)} if self.parameters else {}
        return {"every": self.duration, "overlap": self.overlap, **parameters}


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """When a run gets another attempt by itself."""

    max_attempts: int
    wait: str = "1m"
    factor: float = 1
    on: Sequence[str] = ("exit", "timeout", "lost")
    max_wait: str | None = None
    jitter: str = "none"
    never: Sequence[str] = ()
    avoid_worker: bool = False

    def document(self) -> Document:
        """As the file has it."""
        ceiling: Document = {} if self.max_wait is None else {"max-wait": self.max_wait}
        never: Document = {"never": list(self.never)} if self.never else {}
        return {
            "max-attempts": self.max_attempts,
            "wait": self.wait,
            "factor": self.factor,
            "jitter": self.jitter,
            "on": list(self.on),
            "avoid-worker": self.avoid_worker,
            **ceiling,
            **never,
        }


class Project:
    """A project in Python: `Project("ops").job("tidy", run="./tidy.sh")`, then `definition()`."""

    def __init__(
        self,
        name: str,
        *,
        description: str = "",
        locks: Mapping[str, int] | None = None,
        slots: Mapping[str, object] | None = None,
    ) -> None:
        self._name = name
        self._description = description
        self._shared: Document = {"locks": locks and dict(locks), "slots": slots and dict(slots)}
        self._jobs: dict[str, Document] = {}

    def job(
        self,
        name: str,
        *,
        schedule: Cron | Every | str | None = None,
        retry: Retry | Mapping[str, object] | None = None,
        **keys: object,
    ) -> "Project":
        """Adds a job and returns the project. `keys` are those of the file, with `_` for `-`: `lost_after="2h"`.

        A name that is there already raises ValueError; everything else is said by `definition()`, all at once.
        """
        more: Document = (
            {} if retry is None else {"retry": retry.document() if isinstance(retry, Retry) else dict(retry)}
        )
        self._add(name, schedule, {**keys, **more})
        return self

    def pipeline(self, name: str, *, schedule: Cron | Every | str | None = None, **keys: object) -> PipelineForm:
        """Adds a job that is a pipeline and returns it, so that elements can be added to it."""
        return PipelineForm(self._add(name, schedule, {**keys, "elements": {}}))

    def _add(self, name: str, schedule: Cron | Every | str | None, keys: Mapping[str, object]) -> Document:
        if name in self._jobs:
            raise ValueError(f"the job {name!r} is already in the project {self._name!r}: rename one of them")
        document: Document = {key.replace("_", "-"): value for key, value in keys.items() if value is not None}
        if schedule is not None:
            document["schedule"] = schedule if isinstance(schedule, str) else schedule.document()
        self._jobs[name] = document
        return document

    def document(self) -> Document:
        """The project as plain values, as a YAML file has them."""
        document: Document = {"orchestra": FORMAT_VERSION, "project": self._name}
        if self._description:
            document["description"] = self._description
        document |= {key: value for key, value in self._shared.items() if value}
        return {**document, "jobs": dict(self._jobs)}

    def definition(self) -> ProjectDefinition:
        """The checked definition; raises DefinitionErrors with all problems."""
        source = f"project {self._name!r}"
        reading = examine_document(document_of(self.document()), source=source, text="")
        if reading.problems:
            raise DefinitionErrors(source, reading.problems)
        return reading.definition
