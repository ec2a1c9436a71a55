"""Help: what the states mean and what may follow, the commands, the API; read from the code that decides."""

import ast
import inspect
from dataclasses import dataclass
from enum import StrEnum

from starlette.responses import Response

from orchestra.cli.program import WORDS
from orchestra.lifecycle import NEXT_RUN_STATE, TERMINAL_STATES, RunState, WorkerState
from orchestra.pipeline.states import OPEN_STATES, ElementState
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra_website.renderer import Renderer


@dataclass(frozen=True, kw_only=True, slots=True)
class StateLine:
    """A state, what it means, and what may come after it."""

    name: str
    meaning: str
    after: tuple[str, ...]
    is_last: bool


class HelpPages:
    """The handler of the help page."""

    def __init__(self, *, renderer: Renderer) -> None:
        self._renderer = renderer
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, word in WORDS.items():
            sections.setdefault(word.section, []).append((name, word.sentence))
        self._values = {
            "states": _run_states(),
            "element_states": [
                (str(state), text) for state, text in meanings_of(ElementState).items() if state in OPEN_STATES
            ],
            "worker_states": [(str(state), text) for state, text in meanings_of(WorkerState).items()],
            "sections": sections,
        }

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {("GET", "/help"): self.show}

    async def show(self, asking: Asking) -> Response:
        """The page."""
        asking.query()
        return await self._renderer.page(asking, "help.html", self._values)


def meanings_of(states: type[StrEnum]) -> dict[StrEnum, str]:
    """The sentence below each member in the source, empty where the name says it all.

    Python keeps no docstrings of members, so they are read from the text of the class.
    """
    found: dict[StrEnum, str] = dict.fromkeys(states, "")
    definition = ast.parse(inspect.getsource(states)).body[0]
    assert isinstance(definition, ast.ClassDef)
    name = ""
    for line in definition.body:
        match line:
            case ast.Assign(targets=[ast.Name(id=name)]):
                pass
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                found[states[name]] = " ".join(text.split())
    return found


def _run_states() -> list[StateLine]:
    meanings = meanings_of(RunState)
    return [
        StateLine(
            name=state,
            meaning=meanings[state],
            after=tuple(dict.fromkeys(after for (before, _), after in NEXT_RUN_STATE.items() if before is state)),
            is_last=state in TERMINAL_STATES,
        )
        for state in RunState
    ]
