"""The pieces of which the JSON Schema of `orchestra.yaml` is made."""

from orchestra.definition.bounds import Bound

Schema = dict[str, object]

NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
DURATION: Schema = {
    "type": "string",
    "pattern": r"^\s*(\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*)+$",
    "description": "A duration such as 45m or 1h30m.",
}
PLAIN: Schema = {"type": ["string", "number", "boolean"]}
TEXT: Schema = {"type": "string"}


def several(each: Schema) -> Schema:
    """One of these, or a list of them."""
    return {"anyOf": [each, {"type": "array", "items": each, "minItems": 1}]}


def mapping(properties: Schema, *, required: list[str] | None = None) -> Schema:
    """A mapping with these keys and no others."""
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def said(words: str) -> Schema:
    """A text, with a sentence for whoever points at it."""
    return {"type": "string", "description": words}


def lasting(words: str) -> Schema:
    """A duration, with such a sentence."""
    return {**DURATION, "description": words}


def integer(bound: Bound) -> Schema:
    """A whole number within a bound."""
    return {"type": "integer", "minimum": int(bound.low), "maximum": int(bound.high)}


def worker_property() -> Schema:
    """What may be asked of one property of a worker."""
    return {"anyOf": [several(PLAIN), mapping({"not": several(PLAIN)}, required=["not"])]}
