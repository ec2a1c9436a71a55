"""JSON Schemas of what the API takes and gives, made from the types themselves."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import get_origin, get_type_hints

import msgspec

PLACE = "#/components/schemas/{name}"
Schema = dict[str, object]


def schemas_of(types: Sequence[object]) -> tuple[tuple[Schema, ...], dict[str, Schema]]:
    """The schema of each type, and the named ones to which they refer."""
    schemas, named = msgspec.json.schema_components(types, ref_template=PLACE)
    known = {kind.__name__: kind for kind in _structs(types)}
    for schema in named.values():
        # A generic one is named after its argument: Page[RunView].
        kind = known.get(str(schema.get("title")).partition("[")[0])
        if kind is not None:
            _tell_fields(schema, kind)
        if isinstance(text := schema.get("description"), str):
            schema["description"] = inspect.cleandoc(text)
    return schemas, named


def _tell_fields(schema: Schema, kind: type) -> None:
    """Adds what msgspec does not know: which texts are instants, and the docstrings below the fields."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return
    hints, words = get_type_hints(kind), _words_of_fields(kind)
    for name, field in properties.items():
        if hints.get(name) is datetime:
            field["format"] = "date-time"
        elif hints.get(name) == datetime | None:
            field["anyOf"][0]["format"] = "date-time"
        if name in words:
            field["description"] = words[name]


def _words_of_fields(kind: type) -> Mapping[str, str]:
    words: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if not issubclass(each, msgspec.Struct) or each is msgspec.Struct:
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0]
        assert isinstance(tree, ast.ClassDef)
        name = ""
        for statement in tree.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                name = statement.target.id
            elif name and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                words[name] = " ".join(str(statement.value.value).split())
    return words


def _structs(types: Sequence[object]) -> set[type]:
    return {
        get_origin(each.cls) or each.cls
        for each in _walk(msgspec.inspect.multi_type_info(types), set())
        if isinstance(each, msgspec.inspect.StructType)
    }


def _walk(value: object, seen: set[int]) -> Iterator[msgspec.inspect.Type]:
    if isinstance(value, tuple | list):
        for each in value:
            yield from _walk(each, seen)
    elif isinstance(value, msgspec.inspect.Type | msgspec.inspect.Field) and id(value) not in seen:
        seen.add(id(value))
        if isinstance(value, msgspec.inspect.Type):
            yield value
        for name in value.__struct_fields__:
            yield from _walk(getattr(value, name), seen)
