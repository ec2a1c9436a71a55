"""A pipeline that is played without a database: what the resolver decides is done, and a test says how runs end."""

from collections.abc import Mapping, Sequence

from orchestra.elements import Element, MatrixValue, Pipeline
from orchestra.identifiers import RunId
from orchestra.lifecycle import RunState
from orchestra.pipeline.actions import Action, Ask, ElementRows, End, Finish, PipelineFacts, Row, Start, Stop
from orchestra.pipeline.expansion import ONLY
from orchestra.pipeline.graph import Graph
from orchestra.pipeline.resolver import resolve
from orchestra.pipeline.states import OPEN_STATES, ElementState

NUMBER = RunId(500)


class Played:
    """Elements with their rows; `started` are the parameters of all runs that were made, in their order."""

    def __init__(
        self,
        *elements: Element,
        closing: Sequence[Element] = (),
        parameters: Mapping[str, MatrixValue] | None = None,
        max_parallel: int | None = None,
        fail_fast: bool = False,
    ) -> None:
        pipeline = Pipeline(elements=elements, closing=tuple(closing), max_parallel=max_parallel, fail_fast=fail_fast)
        self.graph = Graph(pipeline)
        self.parameters = parameters or {}
        self.rows = {
            name: ElementRows(head=Row(instance=ONLY, state=ElementState.BLOCKED), instances=[])
            for name in self.graph.by_name
        }
        self.results: dict[RunId, dict[str, object]] = {}
        self.started: dict[str, Mapping[str, MatrixValue]] = {}
        self.workers: dict[str, Mapping[str, MatrixValue]] = {}
        self.reasons: dict[str, str] = {}
        self.asked: dict[str, str] = {}
        self.stopped: list[RunId] = []
        self.finish: Finish | None = None
        self.is_stopped = False
        self._runs = 500
        self.step()

    def step(self) -> list[Action]:
        """One decision, done; a second look must find nothing more to do."""
        actions = self._resolve()
        for action in actions:
            match action:
                case Start():
                    self._runs += 1
                    self._row(action.element, action.key).run = RunId(self._runs)
                    self.started[_name(action.element, action.key)] = action.parameters
                    self.workers[_name(action.element, action.key)] = action.worker
                case End():
                    self.reasons[_name(action.element, action.key)] = action.reason
                case Ask():
                    self.asked[action.element] = action.message
                case Stop():
                    self.stopped.append(action.run)
                case Finish():
                    self.finish = action
        again = self._resolve()
        assert again == ([self.finish] if self.finish else []), "a second look decides the same"
        return actions

    def end(
        self,
        name: str,
        state: str = "succeeded",
        *,
        key: str = "",
        exit_code: int = 0,
        results: Mapping[str, object] | None = None,
    ) -> None:
        """A run is over, or a person has spoken; then the next decision."""
        row = self._row(name, key)
        assert row.state in OPEN_STATES - {ElementState.BLOCKED}, f"{name} {key} is {row.state}"
        row.state, row.exit_code = ElementState(state), exit_code
        if row.run is not None:
            self.results[row.run] = dict(results or {})
        self.step()

    def stop(self) -> None:
        """Somebody asks for its end."""
        self.is_stopped = True
        self.step()

    @property
    def states(self) -> dict[str, str]:
        """Of all elements, and of the runs of those that have several."""
        found = {name: str(rows.head.state) for name, rows in self.rows.items()}
        for name, rows in self.rows.items():
            found |= {_name(name, row.instance.key): str(row.state) for row in rows.instances}
        return found

    @property
    def outcome(self) -> RunState | None:
        """What the pipeline has come to."""
        return self.finish.state if self.finish else None

    @property
    def running(self) -> list[str]:
        """What has a run that is not over."""
        return [name for name, state in self.states.items() if state == "running" and name in self.started]

    def _resolve(self) -> list[Action]:
        facts = PipelineFacts(
            number=NUMBER,
            parameters=self.parameters,
            rows=self.rows,
            results=lambda runs: {run: self.results.get(run, {}) for run in runs},
            is_stopped=self.is_stopped,
        )
        return resolve(self.graph, facts)

    def _row(self, name: str, key: str) -> Row:
        rows = self.rows[name]
        return next((row for row in rows.instances if row.instance.key == key), rows.head)


def _name(element: str, key: str) -> str:
    return f"{element}[{key}]" if key else element
