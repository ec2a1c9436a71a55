"""Reads what a worker executes: steps, environment, bounds."""

from typing import TypeVar

from msgspec.structs import replace

from orchestra.definition.values import Fields, Value
from orchestra.specification import Execution, Step

T = TypeVar("T")

EXECUTION_KEYS = (
    "run",
    "command",
    "steps",
    "setup",
    "teardown",
    "environment",
    "directory",
    "timeout",
    "silence",
    "grace",
    "disconnect",
)
STAND_IN = (Step(name="unread", run=":"),)
"""Takes the place of work that could not be read, so that the other checks go on without a second complaint."""
_STEP_KEYS = ("name", "run", "command", "timeout")
_STEP_HINTS = {"silence": "it belongs to the job, and holds for each of its steps"}
_WORK_KEYS = ("run", "command", "steps")
_COMMAND_REMEDY = "write `command: [ls, -l]`, or `run:` for a text that a shell shall read"


def read_execution(fields: Fields, *, has_steps: bool = True) -> Execution:
    """What a job executes; one that is wrapped, or a pipeline, executes nothing itself."""
    timeout, silence, grace = fields.get("timeout"), fields.get("silence"), fields.get("grace")
    directory, environment, disconnect = fields.get("directory"), fields.get("environment"), fields.get("disconnect")
    return Execution(
        steps=_work(fields) if has_steps or _given_work(fields) else (),
        setup=_steps(fields.get("setup"), "setup"),
        teardown=_steps(fields.get("teardown"), "teardown"),
        environment=_environment(environment) if environment else {},
        directory=directory.text() if directory else None,
        timeout_seconds=timeout.duration() if timeout else None,
        silence_seconds=silence.duration() if silence else None,
        grace_seconds=_or(grace.duration() if grace else None, 10.0),
        disconnect_stop_seconds=_disconnect(disconnect) if disconnect else None,
    )


def _given_work(fields: Fields) -> list[str]:
    return [key for key in _WORK_KEYS if key in fields.values]


def _work(fields: Fields) -> tuple[Step, ...]:
    given = _given_work(fields)
    if not given:
        fields.owner.findings.add(
            fields.owner.path, "says nothing to execute", "add `run: ./script.sh`, `command: [...]` or `steps: [...]`"
        )
        return STAND_IN
    for surplus in given[1:]:
        fields.values[surplus].refuse(f"stands beside `{given[0]}`", "keep one of run, command and steps")
    work = fields.get(given[0])
    if work is None:
        return STAND_IN
    if given[0] == "steps":
        return _steps(work, "step")
    # A later check knows this work as the first of the steps.
    step = _step_of(work, given[0], name=given[0])
    places = work.findings.places
    for tail in ((), *((str(index),) for index in range(len(step.command or ())))):
        if (*work.path, *tail) in places:
            places[(*fields.owner.path, "steps", "0", given[0], *tail)] = places[(*work.path, *tail)]
    return (step,)


def _steps(value: Value | None, word: str) -> tuple[Step, ...]:
    if value is None:
        return ()
    items = value.items("a list of steps")
    if items is None:
        return STAND_IN
    if not items:
        value.refuse("is empty", "add a step such as `{ name: Build, run: make }`, or remove the key")
        return STAND_IN
    return tuple(_step(item, name=f"{word} {number}") for number, item in enumerate(items, 1))


def _step(value: Value, *, name: str) -> Step:
    if value.scalar is not None:
        return _step_of(value, "run", name=name)
    fields = value.fields(_STEP_KEYS, later=("if", "working-directory", "directory"), hints=_STEP_HINTS)
    if fields is None:
        return STAND_IN[0]
    named = fields.get("name")
    name = _or(named.text() if named else None, name)
    given = [key for key in ("run", "command") if key in fields.values]
    if len(given) != 1:
        value.refuse(
            "needs either `run` or `command`" if not given else "has both `run` and `command`",
            "write `run: make` for a shell text, or `command: [make, all]`",
        )
        return STAND_IN[0]
    work, timeout = fields.get(given[0]), fields.get("timeout")
    step = _step_of(work, given[0], name=name) if work else STAND_IN[0]
    return replace(step, timeout_seconds=timeout.duration()) if timeout else step


def _step_of(work: Value, key: str, *, name: str) -> Step:
    if key == "run":
        text = work.text("the text of a shell script")
        return STAND_IN[0] if text is None else Step(name=name, run=text)
    if work.scalar is not None:
        work.refuse("must be a list of arguments, got a text", _COMMAND_REMEDY)
        return STAND_IN[0]
    items = work.items("a list of arguments")
    if items is None:
        return STAND_IN[0]
    return Step(name=name, command=tuple(_or(item.text(), "unread") for item in items))


def _environment(value: Value) -> dict[str, str]:
    named = value.named("a mapping of names to texts") or {}
    return {name: _or(item.text(), "") for name, item in named.items()}


def _disconnect(value: Value) -> float | None:
    remedy = "write `disconnect: keep`, or `disconnect: stop 5m`"
    if value.scalar is None:
        fields = value.fields(("stop",))
        stop = fields.get("stop") if fields else None
        return stop.duration() if stop else None
    verb, _, time = value.scalar.written.strip().partition(" ")
    if verb == "keep" and not time:
        return None
    if verb == "stop" and time:
        return Value(type(value.scalar)(time, time, value.scalar.place), value.path, value.findings).duration()
    value.refuse(f'must be keep, or stop with a duration, got "{value.scalar.written}"', remedy)
    return None


def _or(value: T | None, default: T) -> T:
    return default if value is None else value
