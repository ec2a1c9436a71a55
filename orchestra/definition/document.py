"""A definition as a tree that knows where each value stands, whether it was read from a text or made of values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands in its text; line 0 is "nowhere"."""

    line: int = 0
    column: int = 0
    length: int = 1


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text, number, truth value or nothing, and how it was written."""

    value: str | int | float | bool | None
    written: str
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple["Node", ...]
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping with its value."""

    key: str
    place: Place
    node: "Node"


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys with values, in the order of the text, no key twice."""

    entries: tuple[Entry, ...]
    place: Place = Place()

    def find(self, key: str) -> Entry | None:
        """The entry of this key, or None."""
        return next((entry for entry in self.entries if entry.key == key), None)


Node = Scalar | Sequence | Mapping


def document_of(value: object) -> Node:
    """A tree without places from plain Python values, so that they go through the same checks as a file."""
    if isinstance(value, dict):
        return Mapping(tuple(Entry(str(key), Place(), document_of(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return Sequence(tuple(document_of(item) for item in value))
    if value is None or isinstance(value, str | int | float | bool):
        return Scalar(value, _written(value))
    return Scalar(str(value), str(value))


def _written(value: str | int | float | bool | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
