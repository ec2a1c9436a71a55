"""Reads the matrix of an element, and single values as they were written: `3.10` is not `3.1`."""

import math
import re

from orchestra.definition.values import Value, describe_node
from orchestra.elements import Matrix, MatrixValue

_DECIMAL = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_LISTS = ("exclude", "include")
_AXIS_REMEDY = "write `{name}: [linux, windows]`"


def read_matrix(value: Value) -> Matrix:
    """The axes with their values, and the combinations that are left out or added."""
    named = value.named("a mapping of axes to lists of values") or {}
    axes = {name: _axis(name, item) for name, item in named.items() if name not in _LISTS}
    exclude, include = (_combinations(named[key]) if key in named else () for key in _LISTS)
    return Matrix(axes=axes, exclude=exclude, include=include)


def written_value(value: Value) -> MatrixValue | None:
    """A single value; a number whose zeros or sign would be lost is kept as the text that was written."""
    scalar = value.scalar
    if scalar is None or scalar.value is None:
        value.refuse(
            f"must be a text, a number or a truth value, got {describe_node(value.node)}", "write one plain value"
        )
        return None
    plain = scalar.value
    if isinstance(plain, float) and not math.isfinite(plain):
        value.refuse(f"must be a text, a finite number or a truth value, got {scalar.written}", "quote it")
        return None
    is_number = isinstance(plain, int | float) and not isinstance(plain, bool)
    if is_number and str(plain) != scalar.written and _DECIMAL.fullmatch(scalar.written):
        return scalar.written
    return plain


def _axis(name: str, value: Value) -> tuple[MatrixValue, ...]:
    if not value.is_list:
        value.refuse(f"must be a list, got {describe_node(value.node)}", _AXIS_REMEDY.replace("{name}", name))
        return ("unread",)
    items = value.items() or []
    if not items:
        value.refuse("is an axis without values", f"{_AXIS_REMEDY.replace('{name}', name)}, or remove it")
        return ("unread",)
    values = [plain for item in items if (plain := written_value(item)) is not None]
    if any(type(plain) is not type(_plain(item)) for plain, item in zip(values, items, strict=False)):
        # Among 3.9, 3.10 and 3.11 all are versions if one is: a condition shall not compare numbers with texts.
        values = [item.scalar.written for item in items if item.scalar is not None]
    return tuple(values) or ("unread",)


def _plain(value: Value) -> MatrixValue | None:
    return value.scalar.value if value.scalar else None


def _combinations(value: Value) -> tuple[dict[str, MatrixValue], ...]:
    items = value.items("a list of mappings from axes to values") or []
    if value.is_list and not items:
        value.refuse("is empty", f"write `{value.path[-1]}: [{{ os: windows }}]`, or remove it")
    found = []
    for item in items:
        named = item.named("a mapping of axes to values")
        values = {name: written_value(each) for name, each in (named or {}).items()}
        combination = {name: plain for name, plain in values.items() if plain is not None}
        if named is not None and len(combination) == len(values):
            found.append(combination)
    return tuple(found)
