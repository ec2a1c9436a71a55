"""The form in which checks say what is wrong, before anybody knows where in which file it stands."""

from collections.abc import Iterator
from dataclasses import dataclass

from orchestra.definition.bounds import Bound
from orchestra.definition.problems import Path
from orchestra.durations import format_duration


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that a definition must not, or should not, say."""

    path: Path
    sentence: str
    """Follows the path: "must be from 1 to 100, got 0"."""
    remedy: str = ""
    offset: int = 0
    """Where in a text the wrong part begins, in characters."""
    length: int | None = None
    """Characters of the wrong part; None is the whole value."""
    of_length: int = 0
    """Characters of the whole text."""


def bound_fault(value: float, bound: Bound, path: Path) -> Iterator[Fault]:
    """That a number is outside of its bound, with the nearest one that is not; nothing if it is within."""
    if value in bound:
        return
    got = format_duration(value) if bound.is_duration and value >= 0 else f"{value:g}"
    nearest = bound.high if value > bound.high else bound.low
    shown = format_duration(nearest) if bound.is_duration else f"{nearest:g}"
    yield Fault(path, f"must be {bound}, got {got}", f"write `{path[-1]}: {shown}`")
