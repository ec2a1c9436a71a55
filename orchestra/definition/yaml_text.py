"""YAML 1.2 as a tree that knows where each value stands: `no` and `22:30` stay text, nothing can be said twice."""

import re
from collections.abc import Iterator

import yaml
from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from orchestra.definition.document import Entry, Mapping, Node, Place, Scalar, Sequence
from orchestra.definition.problems import DefinitionErrors, Problem

DEPTH_MAX = 32
TEXT_CHARACTERS_MAX = 1 << 20


def parse_document(text: str, source: str) -> Node:
    """The only document of a YAML text; raises DefinitionErrors."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise DefinitionErrors(
            source, [_problem(Place(1, 1), "the file is too long", "split it into several projects")]
        )
    try:
        problems = list(_refusals(text))
        root = None if problems else yaml.compose(text, Loader=_Yaml12Loader)
    except yaml.MarkedYAMLError as error:
        raise DefinitionErrors(source, [_syntax_problem(error)], text) from None
    except yaml.YAMLError as error:
        raise DefinitionErrors(
            source, [_problem(Place(1, 1), f"the file is no YAML text: {_one_line(error)}")]
        ) from None
    if problems:
        raise DefinitionErrors(source, problems, text)
    if root is None:
        raise DefinitionErrors(source, [_problem(Place(1, 1), "the file is empty", "run `orchestra init`")], text)
    builder = _Builder()
    node = builder.build(root)
    if builder.problems:
        raise DefinitionErrors(source, builder.problems, text)
    return node


class _Yaml12Loader(yaml.CSafeLoader):
    """Resolves plain scalars by the core schema of YAML 1.2 (section 10.3.2) instead of 1.1."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the library's own way to begin without the 1.1 rules


def _resolve(tag: str, pattern: str, first: str) -> None:
    _Yaml12Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern, re.ASCII), list(first))


_resolve("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_resolve("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789")
_resolve(
    "float",
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
    "-+0123456789.",
)
_Yaml12Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)


def _refusals(text: str) -> Iterator[Problem]:
    """What YAML allows and a definition does not; found in the events, before a tree (and its recursion) is made."""
    depth = 0
    documents = 0
    for event in yaml.parse(text, Loader=_Yaml12Loader):
        mark = event.start_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place()
        if isinstance(event, yaml.AliasEvent):
            yield _problem(place, "an alias (`*name`) is not allowed", "write the value out")
        elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            yield _problem(place, "an anchor (`&name`) is not allowed", "remove it, and write the values out")
        elif getattr(event, "tag", None) not in (None, "!"):
            yield _problem(place, "a tag (`!name`) is not allowed", "remove it; quote the value if it is a text")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents == 2:
                yield _problem(place, "a second document is not allowed", "one file holds one project")
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                yield _problem(place, f"values are nested more than {DEPTH_MAX} deep")
                return
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth -= 1


class _Builder:
    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def build(self, node: yaml.Node) -> Node:
        place = _place(node)
        if isinstance(node, SequenceNode):
            return Sequence(tuple(self.build(item) for item in node.value), place)
        if isinstance(node, MappingNode):
            return Mapping(tuple(self._entries(node)), place)
        assert isinstance(node, ScalarNode)
        return Scalar(_value(node), node.value, place)

    def _entries(self, node: MappingNode) -> Iterator[Entry]:
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            place = _place(key_node)
            if not isinstance(key_node, ScalarNode):
                self.problems.append(_problem(place, "a key must be a text", "quote it if it holds { or ["))
                continue
            key = key_node.value
            if key in first_lines:
                self.problems.append(
                    _problem(place, f"the key `{key}` is already in line {first_lines[key]}", "remove one of the two")
                )
                continue
            first_lines[key] = place.line
            yield Entry(key, place, self.build(value_node))


def _value(node: ScalarNode) -> str | int | float | bool | None:
    text = node.value
    match node.tag.rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return bool(text.lower() == "true")
        case "int":
            # Not base 0: in YAML 1.2 `010` is ten. A number of thousands of digits is kept as its text.
            if len(text) > 300:
                return str(text)
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        case "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        case _:
            return str(text)


def _place(node: yaml.Node) -> Place:
    start, end = node.start_mark, node.end_mark
    length = end.column - start.column if end.line == start.line else 1
    return Place(start.line + 1, start.column + 1, max(1, length))


def _problem(place: Place, sentence: str, help: str = "") -> Problem:  # noqa: A002 - the field's name
    return Problem(line=place.line, column=place.column, length=place.length, path=(), sentence=sentence, help=help)


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
    cause = ", ".join(part for part in (error.context, error.problem) if part)
    remedy = "check the indentation, and quote texts that hold `: `, `{`, `[`, `#` or begin with a special character"
    return _problem(place, f"the file is no YAML: {cause}", remedy)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
