"""What templates and conditions of an element may name, and how its parameters are made of them."""

import json
import re
from collections.abc import Iterable, Mapping

from orchestra.elements import Element, MatrixValue
from orchestra.errors import OrchestraError
from orchestra.formatter import format_argument
from orchestra.identifiers import RunId
from orchestra.pipeline.actions import ElementRows, PipelineFacts
from orchestra.pipeline.expansion import Instance

_ALONE = re.compile(r"\{([a-z]+)(?:\.([^{}:!]+))?\}")
"""A template that is nothing but one value keeps its type."""


class UnknownResult(OrchestraError):
    """A list or a value that no element before has found out."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"nobody has found out {self.name}"


class ElementValues:
    """The values that one element may name, looked up as they are asked for."""

    def __init__(self, facts: PipelineFacts, element: Element) -> None:
        self._facts = facts
        texts = [text for text in (element.condition, element.for_each, *_texts(element)) if "results" in text]
        named = [name for name in facts.rows if any(name in text for text in texts)] if texts else []
        self._results = _results_of(facts, named)

    def condition_values(self, instance: Instance) -> Mapping[str, object]:
        """For a condition, as plain JSON values."""
        states = {name: str(rows.head.state) for name, rows in self._facts.rows.items()}
        return {
            "parameters": dict(self._facts.parameters),
            "results": self._results,
            "states": states,
            "matrix": dict(instance.matrix),
            "item": instance.item,
            "run": {"number": self._facts.number},
        }

    def member_list(self, path: str) -> object:
        """What `results.plan.targets` is; raises UnknownResult."""
        for element, values in self._results.items():
            name = path.removeprefix(f"results.{element}.")
            if name != path and name in values:
                return values[name]
        raise UnknownResult(path)

    def filled(self, values: Mapping[str, MatrixValue], instance: Instance) -> dict[str, MatrixValue]:
        """The values with their templates filled in; raises BadTemplate and UnknownValue."""
        groups = self._groups(instance)
        return {name: _filled(value, groups) for name, value in values.items()}

    def _groups(self, instance: Instance) -> Mapping[str, Mapping[str, MatrixValue]]:
        found = {f"{element}.{name}": each for element, all_ in self._results.items() for name, each in all_.items()}
        item = instance.item
        members = {name: _plain(each) for name, each in item.items()} if isinstance(item, dict) else {}
        return {
            "parameters": self._facts.parameters,
            "results": {name: _plain(value) for name, value in found.items()},
            "matrix": instance.matrix,
            "item": {"": _plain(item), **members},
            "run": {"number": self._facts.number},
        }


def _results_of(facts: PipelineFacts, names: Iterable[str]) -> dict[str, dict[str, object]]:
    rows = {name: facts.rows[name] for name in names}
    runs = {name: _runs_of(each) for name, each in rows.items()}
    wanted = [run for each in runs.values() for run in each]
    found = facts.results(wanted) if wanted else {}
    results: dict[str, dict[str, object]] = {}
    for name, each in rows.items():
        told = [found.get(run, {}) for run in runs[name]]
        if not each.instances:
            results[name] = dict(told[0]) if told else {}
        else:
            # Of a matrix or list: what each of its runs has found out, in their order.
            keys = dict.fromkeys(key for one in told for key in one)
            results[name] = {key: [one[key] for one in told if key in one] for key in keys}
    return results


def _runs_of(rows: ElementRows) -> list[RunId]:
    return [row.run for row in (rows.instances or [rows.head]) if row.run is not None]


def _texts(element: Element) -> list[str]:
    message = [element.approval.message] if element.approval else []
    given = [*element.parameters.values(), *element.worker.values(), *message]
    return [value for value in given if isinstance(value, str)]


def _filled(value: MatrixValue, groups: Mapping[str, Mapping[str, MatrixValue]]) -> MatrixValue:
    if not isinstance(value, str):
        return value
    alone = _ALONE.fullmatch(value)
    if alone is not None:
        group, name = alone.group(1), alone.group(2) or ""
        if name in groups.get(group, {}):
            return groups[group][name]
    return format_argument(value, groups)


def _plain(value: object) -> MatrixValue:
    """A list or a mapping becomes its JSON."""
    if isinstance(value, str | int | float | bool):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
