"""What `orchestra up --demo` does once everything is up: the demo definition is applied and triggered through the
API."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

import msgspec

from orchestra.clock import Clock
from orchestra.definition.reader import read_definition
from orchestra.errors import OrchestraError
from orchestra.lifecycle import TERMINAL_STATES
from orchestra.limits import DEMO_SECONDS_MAX
from orchestra.network.client import API, ApiClient

PROJECT = "demo"
_TRIGGERED = {
    "build": ({},),
    "greet": ({"name": "Ada", "times": 3}, {"name": "Grace", "loud": True}),
    "south-only": ({},),
    "release": ({},),
}
_LOOK_SECONDS = 0.2


class DemoUnfinished(OrchestraError):
    """Some of the demo's runs are not over in time."""

    def __init__(self, runs: tuple[int, ...]) -> None:
        super().__init__(runs)
        self.runs = runs

    def __str__(self) -> str:
        numbers = ", ".join(f"#{run}" for run in self.runs)
        return f"{numbers} did not end within {DEMO_SECONDS_MAX:.0f} s: see 'orchestra run show {self.runs[0]} --why'"


class DemoRun(msgspec.Struct, frozen=True):
    """What the demo looks at of a run."""

    id: int
    job: str
    state: str
    reason: str
    worker: str | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    log_length: int


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The demo over one server; blocks, so call it in a thread."""

    client: ApiClient
    clock: Clock
    pause: Callable[[float], None]
    """Waits so many seconds, or less if everything ends."""

    def begin(self) -> list[int]:
        """Applies the definition and triggers its jobs; returns the runs' numbers."""
        text = files("orchestra.cli").joinpath("examples", "demo.yaml").read_text()
        definition = read_definition(text, "demo.yaml")
        self.client.put(f"{API}/projects/{PROJECT}/definition", definition, {"source": "demo.yaml"})
        return [
            self.client.post(f"{API}/projects/{PROJECT}/jobs/{job}/runs", {"parameters": parameters}).read(DemoRun).id
            for job, every in _TRIGGERED.items()
            for parameters in every
        ]

    def wait(self, numbers: list[int]) -> list[DemoRun]:
        """The runs once they are all over; raises DemoUnfinished."""
        deadline = self.clock.monotonic() + DEMO_SECONDS_MAX
        while True:
            runs = [self.client.get(f"{API}/runs/{number}").read(DemoRun) for number in numbers]
            unfinished = tuple(run.id for run in runs if run.state not in TERMINAL_STATES)
            if not unfinished:
                return runs
            if self.clock.monotonic() > deadline:
                raise DemoUnfinished(unfinished)
            self.pause(_LOOK_SECONDS)


def table(runs: list[DemoRun]) -> str:
    """The runs as a table for a terminal."""
    rows = [("RUN", "JOB", "STATE", "WORKER", "LOG", "REASON")]
    rows += [(f"#{run.id}", run.job, run.state, run.worker or "-", f"{run.log_length} B", run.reason) for run in runs]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
