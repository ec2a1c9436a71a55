"""The one text of a definition: equal definitions have equal texts, and so equal digests."""

import hashlib

import msgspec

from orchestra.errors import InvalidFields
from orchestra.specification import ProjectDefinition


def encode_definition(definition: ProjectDefinition) -> str:
    """Canonical JSON: sorted keys, no spaces, no defaults. The jobs keep their order, which is that of the pages."""
    return msgspec.json.encode(definition, order="sorted").decode()


def decode_definition(document: bytes | str) -> ProjectDefinition:
    """What `encode_definition` made, or what a program sent; raises InvalidFields. See `checks.require_usable` then."""
    try:
        return msgspec.json.decode(document, type=ProjectDefinition)
    except msgspec.ValidationError as error:
        sentence, _, place = str(error).partition(" - at `$")
        pointer = place.rstrip("`").replace("[", "/").replace("]", "").replace(".", "/")
        raise InvalidFields([(pointer, sentence[:1].lower() + sentence[1:])]) from None
    except msgspec.DecodeError as error:
        raise InvalidFields([("", f"the body is no JSON: {error}")]) from None


def definition_digest(definition: ProjectDefinition) -> str:
    """SHA-256 of the canonical JSON in hexadecimal: the version that `If-Match` names."""
    return hashlib.sha256(encode_definition(definition).encode()).hexdigest()
