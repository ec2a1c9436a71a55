"""The form in which checks say what is wrong, before anybody knows where in which file it stands."""

from dataclasses import dataclass

from orchestra.definition.problems import Path


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
