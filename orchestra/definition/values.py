"""A value of a definition together with its path and its place: it converts itself, or says what is wrong with it."""

import difflib
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from orchestra.definition.document import Entry, Node, Place, Scalar, Sequence
from orchestra.definition.document import Mapping as MappingNode
from orchestra.definition.faults import Fault
from orchestra.definition.problems import Path, Problem
from orchestra.durations import BadDuration, parse_duration

_SHOWN_CHARACTERS_MAX = 40


@dataclass(slots=True)
class Findings:
    """Everything that is found while one definition is read: problems, and where each path stands."""

    problems: list[Problem] = field(default_factory=list)
    places: dict[Path, Place] = field(default_factory=dict)

    def add(self, path: Path, sentence: str, remedy: str = "", place: Place | None = None) -> None:
        """Adds a problem at a place, or where the path (or the nearest thing above it) stands."""
        where = place or self.place_of(path)
        self.problems.append(
            Problem(
                line=where.line,
                column=where.column,
                length=where.length,
                path=path,
                sentence=f"{'.'.join(path)} {sentence}".lstrip(),
                help=remedy,
            )
        )

    def place_of(self, path: Path) -> Place:
        """Where the value of this path stands, else the nearest thing above it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return Place()

    def place_within(self, fault: Fault) -> Place:
        """Where the wrong part of a value stands, as far as the value is written in one line as it is."""
        place = self.place_of(fault.path)
        if fault.length is None or fault.offset + fault.length > place.length:
            return place
        # A quoted text begins one character later than its value.
        quote = 1 if place.length > fault.of_length else 0
        return Place(place.line, place.column + quote + fault.offset, fault.length)


@dataclass(frozen=True, slots=True)
class Value:
    """One value. Each conversion returns None after it has added a problem."""

    node: Node
    path: Path
    findings: Findings

    @property
    def scalar(self) -> Scalar | None:
        """The node, if it is a single value."""
        return self.node if isinstance(self.node, Scalar) else None

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.node, Sequence)

    def refuse(self, sentence: str, remedy: str = "") -> None:
        """Adds a problem at this value."""
        self.findings.add(self.path, sentence, remedy, None if isinstance(self.node, MappingNode) else self.node.place)

    def text(self, what: str = "a text") -> str | None:
        """A text; a number or truth value that was written is taken as it was written."""
        if isinstance(self.node, Scalar) and self.node.value is not None:
            return self.node.written
        self.refuse(f"must be {what}, got {describe_node(self.node)}")
        return None

    def whole(self, words: str = "a whole number") -> int | None:
        """A whole number."""
        value = self.scalar.value if self.scalar else None
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        self.refuse(f"must be {words}, got {describe_node(self.node)}", f"write `{self.path[-1]}: 3`")
        return None

    def number(self, words: str = "a number") -> float | None:
        """A finite number."""
        value = self.scalar.value if self.scalar else None
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        self.refuse(f"must be {words}, got {describe_node(self.node)}", f"write `{self.path[-1]}: 2`")
        return None

    def truth(self) -> bool | None:
        """true or false."""
        if self.scalar and isinstance(self.scalar.value, bool):
            return self.scalar.value
        self.refuse(f"must be true or false, got {describe_node(self.node)}", f"write `{self.path[-1]}: true`")
        return None

    def duration(self) -> float | None:
        """A duration in seconds."""
        written = self.scalar.written if self.scalar else ""
        try:
            return parse_duration(written)
        except BadDuration:
            unit = f"{written}s" if written.isascii() and written.isdigit() else "45m"
            self.refuse(
                f"must be a duration such as 45m or 1h30m, got {describe_node(self.node)}",
                f"write `{self.path[-1]}: {unit}`; units are ms s m h d w",
            )
            return None

    def choice(self, options: Collection[str]) -> str | None:
        """One of some words."""
        written = self.text(f"one of {', '.join(options)}")
        if written is None or written in options:
            return written
        remedy = did_you_mean(written, options) or f"write one of {', '.join(options)}"
        self.refuse(f"must be one of {', '.join(options)}, got {describe_node(self.node)}", remedy)
        return None

    def items(self, words: str = "a list") -> list["Value"] | None:
        """The values of a list."""
        if not isinstance(self.node, Sequence):
            self.refuse(f"must be {words}, got {describe_node(self.node)}", f"write `{self.path[-1]}: [...]`")
            return None
        return [self._child(str(index), item) for index, item in enumerate(self.node.items)]

    def one_or_more(self) -> list["Value"]:
        """The values of a list, or the single value itself."""
        return (self.items() or []) if isinstance(self.node, Sequence) else [self]

    def named(self, words: str = "a mapping") -> dict[str, "Value"] | None:
        """The values of a mapping whose keys are free."""
        if not isinstance(self.node, MappingNode):
            self.refuse(f"must be {words}, got {describe_node(self.node)}")
            return None
        return {entry.key: self._child(entry.key, entry.node, entry.place) for entry in self.node.entries}

    def fields(
        self, known: Collection[str], *, later: Collection[str] = (), hints: Mapping[str, str] | None = None
    ) -> "Fields | None":
        """The values of a mapping whose keys are fixed; unknown ones are problems.

        `later` are keys that a later version will know, `hints` the repair for keys that people bring from elsewhere.
        """
        if not isinstance(self.node, MappingNode):
            self.refuse(
                f"must be a mapping with keys such as {', '.join(list(known)[:3])}, got {describe_node(self.node)}"
            )
            return None
        values = {}
        for entry in self.node.entries:
            if entry.key in known:
                values[entry.key] = self._child(entry.key, entry.node, entry.place)
            else:
                self._refuse_key(entry, known, later, hints or {})
        return Fields(self, values)

    def _refuse_key(
        self, entry: Entry, known: Collection[str], later: Collection[str], hints: Mapping[str, str]
    ) -> None:
        if entry.key in later:
            sentence, remedy = f"has `{entry.key}`, which is not supported yet by this version", "remove it"
        else:
            sentence = f"has the unknown key `{entry.key}`"
            remedy = hints.get(entry.key) or did_you_mean(entry.key, known) or f"known keys are {', '.join(known)}"
        self.findings.add(self.path or ("the file",), sentence, remedy, entry.place)

    def _child(self, key: str, node: Node, key_place: Place | None = None) -> "Value":
        path = (*self.path, key)
        # A mapping may fill many lines: its key is the better place to point at.
        self.findings.places[path] = key_place if key_place and isinstance(node, MappingNode) else node.place
        return Value(node, path, self.findings)


@dataclass(frozen=True, slots=True)
class Fields:
    """The values of a mapping with fixed keys."""

    owner: Value
    values: dict[str, Value]

    def get(self, key: str) -> Value | None:
        """The value, or None if it is not there. An empty one is a problem: was it forgotten, or is it meant?"""
        value = self.values.get(key)
        if value is not None and isinstance(value.node, Scalar) and value.node.value is None:
            value.refuse("is empty", "give it a value, or remove the key")
            return None
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)


def did_you_mean(word: str, known: Collection[str]) -> str:
    """The repair for a slip of the keyboard, or an empty text."""
    close = difflib.get_close_matches(word.replace("_", "-").lower(), known, 1, 0.6)
    close = close or difflib.get_close_matches(word, known, 1, 0.6)
    return f"did you mean `{close[0]}`?" if close else ""


def describe_node(node: Node) -> str:
    """What was written, short enough for a sentence."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.value is None:
        return "nothing"
    shown = " ".join(node.written.split())
    if len(shown) > _SHOWN_CHARACTERS_MAX:
        shown = shown[: _SHOWN_CHARACTERS_MAX - 1] + "…"
    return f'"{shown}"' if isinstance(node.value, str) else shown
