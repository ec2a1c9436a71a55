"""What a matrix must hold, and how many runs it makes."""

import json
import math
import re
from collections.abc import Iterator, Mapping

from orchestra.definition import bounds
from orchestra.definition.faults import Fault
from orchestra.definition.problems import Path
from orchestra.definition.values import did_you_mean
from orchestra.elements import Matrix, MatrixValue
from orchestra.limits import EXPANSION_MAX
from orchestra.pipeline.expansion import BadExpansion, combinations

_AXIS = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def matrix_faults(matrix: Matrix, path: Path) -> Iterator[Fault]:
    """Everything that forbids to use the matrix at this path."""
    if not matrix.axes:
        yield Fault(path, "has no axis", "write `matrix: { os: [linux, windows] }`")
        return
    faults = [*_axis_faults(matrix, path), *_listed_faults(matrix, path)]
    yield from faults
    if not faults:
        yield from _size_faults(matrix, path)


def matrix_hints(matrix: Matrix, path: Path) -> Iterator[Fault]:
    """An exclusion that excludes nothing is mostly a slip of the keyboard."""
    for index, excluded in enumerate(matrix.exclude):
        for name, value in excluded.items():
            values = matrix.axes.get(name, ())
            if not any(_is_same(value, each) for each in values):
                sentence = f"excludes nothing: {name} is never {_text(value)}"
                yield Fault((*path, "exclude", str(index)), sentence, f"its values are {_shown(values)}")
                break


def _axis_faults(matrix: Matrix, path: Path) -> Iterator[Fault]:
    for name, values in matrix.axes.items():
        place = (*path, name)
        if not _AXIS.fullmatch(name):
            yield Fault(place, "is no axis name: use 1 to 64 of a-z 0-9 _ - with a letter first", "rename it")
        if not values:
            yield Fault(place, "is an axis without values", f"write `{name}: [linux, windows]`, or remove it")
        seen: set[str] = set()
        for index, value in enumerate(values):
            if _text(value) in seen:
                yield Fault((*place, str(index)), f"has the value {_text(value)} twice", "remove one of the two")
            seen.add(_text(value))


def _listed_faults(matrix: Matrix, path: Path) -> Iterator[Fault]:
    for key, listed in (("exclude", matrix.exclude), ("include", matrix.include)):
        if len(listed) > bounds.COMBINATIONS_LISTED_MAX:
            sentence = f"lists more than {bounds.COMBINATIONS_LISTED_MAX} combinations"
            yield Fault((*path, key), sentence, "change the axes instead")
        for index, each in enumerate(listed):
            place = (*path, key, str(index))
            yield from _combination_faults(each, matrix, place, is_whole=key == "include")


def _combination_faults(
    each: Mapping[str, MatrixValue], matrix: Matrix, path: Path, *, is_whole: bool
) -> Iterator[Fault]:
    for name in each:
        if name not in matrix.axes:
            remedy = did_you_mean(name, matrix.axes) or f"its axes are {', '.join(matrix.axes)}"
            yield Fault((*path, name), "is no axis of the matrix", remedy)
    missing = [name for name in matrix.axes if name not in each]
    if not each:
        yield Fault(path, "says nothing", f"write `{{ {', '.join(f'{name}: …' for name in matrix.axes)} }}`")
    elif is_whole and missing:
        yield Fault(path, f"gives no value for {', '.join(missing)}", f"add `{missing[0]}: …`")


def _size_faults(matrix: Matrix, path: Path) -> Iterator[Fault]:
    before = math.prod(len(values) for values in matrix.axes.values())
    if before > bounds.COMBINATIONS_BEFORE_EXCLUDE_MAX:
        # They are not even counted: a few axes have more combinations than there is time.
        limit = f"{EXPANSION_MAX:,} combinations"
        yield Fault(path, f"has {before:,} combinations before `exclude`; at most {limit} are allowed", "remove values")
        return
    try:
        found = combinations(matrix)
    except BadExpansion as bad:
        yield Fault(path, str(bad).removeprefix("the matrix "), "remove values, or split the element")
        return
    if not found:
        yield Fault((*path, "exclude"), "leaves no combination", "remove the element, or some of these")


def _is_same(value: MatrixValue, other: MatrixValue) -> bool:
    return type(value) is type(other) and value == other


def _shown(values: tuple[MatrixValue, ...]) -> str:
    shown = ", ".join(_text(value) for value in values[:10])
    return f"{shown}, …" if len(values) > 10 else shown or "none"


def _text(value: MatrixValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)
