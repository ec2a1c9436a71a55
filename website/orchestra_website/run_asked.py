"""What the addresses of a run's pages may say: which attempt, which line, how often to load again."""

import re
from collections.abc import Mapping

from orchestra.web.errors import BadQuery

REFRESH_SECONDS = ("10", "30", "60", "300")
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)


def number_asked(query: Mapping[str, str], name: str, *, least: int = 1) -> int | None:
    """A whole number, or None if it is not given; raises BadQuery."""
    text = query.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text) or int(text) < least:
        raise BadQuery([(f"/{name}", f"must be a whole number from {least} on")])
    return int(text)


def refresh_asked(query: Mapping[str, str], *, is_over: bool) -> dict[str, str]:
    """The header that loads the page again, if the reader has asked for it and there is anything to wait for."""
    text = query.get("refresh")
    if text is None:
        return {}
    if text not in REFRESH_SECONDS:
        raise BadQuery([("/refresh", f"must be one of {', '.join(REFRESH_SECONDS)} (seconds)")])
    return {} if is_over else {"refresh": text}
