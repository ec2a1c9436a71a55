"""From one element to its runs: the combinations of a matrix, or the members of a list that was found out."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestra.elements import Matrix, MatrixValue
from orchestra.errors import OrchestraError
from orchestra.limits import EXPANSION_MAX

Member = MatrixValue | None | list["Member"] | dict[str, "Member"]
"""One member of a list that a job has found out: plain JSON."""


class BadExpansion(OrchestraError):
    """A matrix or a list of which no runs can be made."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause

    def __str__(self) -> str:
        return self.cause


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One run of an element."""

    key: str
    """Unique within the element: `os=linux, python=3.11`, or `3: web` for the fourth member; empty for the only one."""
    matrix: Mapping[str, MatrixValue]
    item: Member = None


ONLY = Instance(key="", matrix={})
"""Of an element without matrix and list."""


def combinations(matrix: Matrix) -> list[Instance]:
    """The combinations in the order of the axes as they are written; raises BadExpansion beyond 10,000."""
    if sum(1 for _ in itertools.islice(_combined(matrix), EXPANSION_MAX + 1)) > EXPANSION_MAX:
        raise BadExpansion(f"the matrix has more than {EXPANSION_MAX:,} combinations")
    found: dict[str, Instance] = {}
    for values in _combined(matrix):
        key = ", ".join(f"{name}={_text(value)}" for name, value in values.items())
        found.setdefault(key, Instance(key=key, matrix=values))
    return list(found.values())


def members(found: object) -> list[Instance]:
    """One for each member of a list; raises BadExpansion if it is none, or longer than 10,000."""
    if not isinstance(found, list):
        remedy = ": orchestra result set NAME LIST --parse keeps a list" if isinstance(found, str) else ""
        raise BadExpansion(f"its `for-each` is no list but {json.dumps(found)[:100]}{remedy}")
    if len(found) > EXPANSION_MAX:
        raise BadExpansion(f"its `for-each` has {len(found):,} members, at most {EXPANSION_MAX:,} are allowed")
    return [Instance(key=_member_key(index, item), matrix={}, item=item) for index, item in enumerate(found)]


def _combined(matrix: Matrix) -> Iterator[dict[str, MatrixValue]]:
    names = list(matrix.axes)
    if names:
        for values in itertools.product(*matrix.axes.values()):
            combination = dict(zip(names, values, strict=True))
            if not any(_has(combination, excluded) for excluded in matrix.exclude):
                yield combination
    yield from ({name: each[name] for name in (*names, *(set(each) - set(names)))} for each in _sorted(matrix.include))


def _sorted(included: Sequence[dict[str, MatrixValue]]) -> list[dict[str, MatrixValue]]:
    return [dict(sorted(each.items())) for each in included]


def _has(combination: Mapping[str, MatrixValue], some: Mapping[str, MatrixValue]) -> bool:
    # By type too: 1 and true are the same number to Python.
    return all(
        name in combination and combination[name] == value and type(combination[name]) is type(value)
        for name, value in some.items()
    )


def _text(value: MatrixValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _member_key(index: int, item: object) -> str:
    shown = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in shown).split())
    return f"{index}: {shown[:60]}"
