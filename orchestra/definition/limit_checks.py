"""How long a run and its steps may take or be silent: what must hold of these bounds, and which are never reached."""

from collections.abc import Iterator

from orchestra.definition import bounds
from orchestra.definition.faults import Fault, bound_fault
from orchestra.definition.problems import Path
from orchestra.durations import format_duration
from orchestra.limits import TEARDOWN_SECONDS_MAX
from orchestra.specification import Execution, Step


def limit_faults(execution: Execution, path: Path) -> Iterator[Fault]:
    """Everything that forbids to use the bounds of the job at this path."""
    for seconds, bound, key in (
        (execution.timeout_seconds, bounds.TIMEOUT, "timeout"),
        (execution.silence_seconds, bounds.SILENCE, "silence"),
        (execution.grace_seconds, bounds.GRACE, "grace"),
        (execution.disconnect_stop_seconds, bounds.DISCONNECT_STOP, "disconnect"),
    ):
        if seconds is not None:
            yield from bound_fault(seconds, bound, (*path, key))
    for place, step in _steps(execution, path):
        if step.timeout_seconds is not None:
            yield from bound_fault(step.timeout_seconds, bounds.TIMEOUT, (*place, "timeout"))


def limit_hints(execution: Execution, path: Path) -> Iterator[Fault]:
    """Bounds that are never reached, because a tighter one ends the run before."""
    whole = execution.timeout_seconds
    if whole is not None and execution.silence_seconds is not None and execution.silence_seconds >= whole:
        yield _never_reached((*path, "silence"), f"the run is over after its timeout of {format_duration(whole)}")
    for place, step in _steps(execution, path):
        if step.timeout_seconds is None:
            continue
        if "teardown" in place[len(path) :]:
            if step.timeout_seconds > TEARDOWN_SECONDS_MAX:
                limit = format_duration(TEARDOWN_SECONDS_MAX)
                yield _never_reached((*place, "timeout"), f"the teardown is over after {limit}")
        elif whole is not None and step.timeout_seconds > whole:
            yield _never_reached((*place, "timeout"), f"the run is over after its timeout of {format_duration(whole)}")


def _never_reached(path: Path, why: str) -> Fault:
    return Fault(path, f"is never reached: {why}", "write a shorter one, or remove it")


def _steps(execution: Execution, path: Path) -> Iterator[tuple[Path, Step]]:
    for key, steps in (("setup", execution.setup), ("steps", execution.steps), ("teardown", execution.teardown)):
        for index, step in enumerate(steps):
            yield (*path, key, str(index)), step
