"""Writes docs/lifecycle.md and its pictures from the tables of `orchestra.lifecycle`: page and code never differ."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from docs.lifecycle_drawing import drawing
from orchestra import lifecycle
from orchestra.lifecycle import (
    NEXT_ATTEMPT_STATE,
    NEXT_RUN_STATE,
    NEXT_WORKER_STATE,
    AttemptState,
    Event,
    RunState,
    State,
    WorkerState,
)

FOLDER = Path(__file__).parent

INTRODUCTION = """\
# The lives of runs, attempts and workers

Generated from the tables in [`orchestra/lifecycle.py`](../orchestra/lifecycle.py) by `make docs`: do not edit.
A pair of state and event that is not drawn here cannot happen; asking for it raises `ImpossibleTransition`.
Solid arrows lead on, dashed ones back. `●` marks an end: nothing leaves it, and triggers in both databases hold a run's
end against late news.
"""

RUN_NOTES = """\
A run begins as `scheduled` (it has a delay), `waiting` (it needs an approval) or `pending`. What a person asked for
("abort requested") is kept beside the state, so that "stop requested" is never shown as "stopped". A failed attempt
that will be retried does not make its run `failed`: the attempt is failed, the run is `scheduled` again. A retry by a
person is a new run that is linked to the old one.
"""

ATTEMPT_NOTES = """\
An attempt begins as `offered`. Once `accepted` is committed, only the worker's word or `lost-after` ends it. A
`withdrawn` offer never ran: it is neither counted nor shown, but its number is used up
([decision 2](decisions/0002-withdrawn-offers-use-up-numbers.md)).
"""

WORKER_NOTES = """\
A worker begins as `online`. Whether it is connected at this moment is no state: see its last contact.
"""


def diagram(table: Mapping[tuple[State, Event], State], states: type[State]) -> Iterator[str]:
    """The lines of a drawing: each state with the events that lead out of it, in the table's own order."""
    origins = {origin for origin, _ in table}
    state_width = max(len(state) for state in states)
    event_width = max(len(event) for _, event in table)
    for state in states:
        ways = [(event, target) for (origin, event), target in table.items() if origin == state]
        for index, (event, target) in enumerate(ways):
            name = state if index == 0 else ""
            fork = _fork(index, len(ways))
            end = "" if target in origins else " ●"
            yield f"{name:<{state_width}} {fork} {event} {'─' * (event_width - len(event) + 2)}▶ {target}{end}"
        if ways:
            yield ""


def _fork(index: int, count: int) -> str:
    if count == 1:
        return "───"
    if index == 0:
        return "─┬─"
    return " └─" if index == count - 1 else " ├─"


def meanings(states: type[StrEnum]) -> dict[str, str]:
    """What each state means, in the words that stand below it in the code; states without words are left out."""
    body = _class_body(states.__name__)
    found = {}
    for statement, following in pairwise(body):
        match statement, following:
            case ast.Assign(value=ast.Constant(value=str(state))), ast.Expr(value=ast.Constant(value=str(text))):
                found[state] = " ".join(text.split())
    return found


def _class_body(name: str) -> list[ast.stmt]:
    tree = ast.parse(inspect.getsource(lifecycle))
    return next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def section(title: str, notes: str, states: type[State], table: Mapping[tuple[State, Event], State]) -> str:
    """One life: its drawing, then what its states mean."""
    ways = "\n".join(diagram(table, states)).rstrip()
    picture = f"![The life of {title.lower()}s](lifecycle-{title.lower()}.svg)"
    rows = "\n".join(f"| `{state}` | {text} |" for state, text in meanings(states).items())
    return f"## {title}\n\n{notes}\n{picture}\n\n```\n{ways}\n```\n\n| State | Meaning |\n|---|---|\n{rows}\n"


def lifecycle_page() -> str:
    """The whole page, as it has to be in the repository."""
    return "\n".join(
        (
            INTRODUCTION,
            section("Run", RUN_NOTES, RunState, NEXT_RUN_STATE),
            section("Attempt", ATTEMPT_NOTES, AttemptState, NEXT_ATTEMPT_STATE),
            section("Worker", WORKER_NOTES, WorkerState, NEXT_WORKER_STATE),
        )
    )


def generated_files() -> dict[str, str]:
    """Every file in this folder that is made from the tables, with what it has to hold."""
    return {
        "lifecycle.md": lifecycle_page(),
        "lifecycle-run.svg": drawing(NEXT_RUN_STATE, RunState, title="The life of runs"),
        "lifecycle-attempt.svg": drawing(NEXT_ATTEMPT_STATE, AttemptState, title="The life of attempts"),
        "lifecycle-worker.svg": drawing(NEXT_WORKER_STATE, WorkerState, title="The life of workers"),
    }


if __name__ == "__main__":
    for name, content in generated_files().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
        print(f"wrote docs/{name}")
