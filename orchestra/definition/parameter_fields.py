"""Reads the typed parameters of a job."""

from orchestra.definition.values import Fields, Value
from orchestra.specification import Parameter, ParameterType, PropertyValue

_KEYS = ("type", "pattern", "options", "min", "max", "required", "default", "example", "help")
_LATER = ("label", "group", "only-if", "multiple", "secret-from")
_HINTS = {
    "choices": "did you mean `options`?",
    "description": "did you mean `help`?",
    "minimum": "did you mean `min`?",
    "maximum": "did you mean `max`?",
    "optional": "write `required: false`",
    "values": "did you mean `options`?",
}
_LATER_TYPES = ("date", "datetime", "size", "revision", "worker", "file", "multi-choice")
_TYPED_AS_WRITTEN = frozenset({ParameterType.INTEGER, ParameterType.NUMBER, ParameterType.BOOLEAN})


def read_parameters(value: Value) -> tuple[Parameter, ...]:
    """The parameters in the order of the file: the order of the form."""
    named = value.named("a mapping of names to parameters") or {}
    return tuple(_parameter(name, item) for name, item in named.items())


def _parameter(name: str, value: Value) -> Parameter:
    if value.scalar is not None:
        value.refuse("must be a mapping", f"write `{name}: {{ type: string, default: … }}`")
        return Parameter(name=name)
    fields = value.fields(_KEYS, later=_LATER, hints=_HINTS)
    if fields is None:
        return Parameter(name=name)
    kind = _type(fields)
    options, required = fields.get("options"), fields.get("required")
    default = fields.get("default")
    return Parameter(
        name=name,
        type=kind,
        pattern=_text(fields, "pattern"),
        options=tuple(item.text() or "" for item in (options.items() or [])) if options else (),
        minimum=_limit(fields, "min", kind),
        maximum=_limit(fields, "max", kind),
        required=bool(required.truth()) if required else False,
        default=_default(default, kind) if default else None,
        example=_text(fields, "example"),
        help=_text(fields, "help") or "",
    )


def _type(fields: Fields) -> ParameterType:
    value = fields.get("type")
    if value is None:
        return ParameterType.CHOICE if "options" in fields.values else ParameterType.STRING
    if value.scalar and value.scalar.written in _LATER_TYPES:
        value.refuse(f"is `{value.scalar.written}`, which is not supported yet by this version", "use `string`")
        return ParameterType.STRING
    return ParameterType(value.choice([str(kind) for kind in ParameterType]) or ParameterType.STRING)


def _text(fields: Fields, key: str) -> str | None:
    value = fields.get(key)
    return value.text() if value else None


def _limit(fields: Fields, key: str, kind: ParameterType) -> float | None:
    value = fields.get(key)
    if value is None:
        return None
    return value.duration() if kind is ParameterType.DURATION else value.number()


def _default(value: Value, kind: ParameterType) -> PropertyValue | None:
    if value.scalar is not None and kind in _TYPED_AS_WRITTEN:
        return value.scalar.value
    # `default: 1.10` of a string is the text that was written, not the number 1.1.
    return value.text()
