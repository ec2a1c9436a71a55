"""Why somebody did something: one line, as lists have room for it."""

from orchestra.errors import InvalidFields
from orchestra.limits import REASON_CHARACTERS_MAX


def check_reason(reason: str) -> None:
    """Raises InvalidFields for what is no line of bounded length."""
    # PostgreSQL keeps no text with a NUL in it, which is not printable either.
    if len(reason) > REASON_CHARACTERS_MAX or not reason.isprintable():
        raise InvalidFields([("/reason", f"must be one line of at most {REASON_CHARACTERS_MAX} characters")])
