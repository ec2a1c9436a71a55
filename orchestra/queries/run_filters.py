"""Which runs a list shall have: read from what was asked, every unknown or malformed filter refused."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from orchestra.clock import Instant, from_datetime
from orchestra.durations import BadDuration, parse_duration
from orchestra.errors import InvalidFields
from orchestra.lifecycle import RunState
from orchestra.limits import PAGE_ROWS_DEFAULT
from orchestra.storage.paging import cursor_of, key_of, rows_of_page

T = TypeVar("T")

_PARAMETER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SORTS = {"-id": False, "id": True}
_SINGLE = frozenset({"sort", "limit", "cursor", "created_after", "created_before", "took_min"})
FILTERS = ("status", "project", "job", "worker", "source", *sorted(_SINGLE))


BACKWARDS = "-"
"""Before a cursor: the page ends before this run instead of beginning behind it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFilter:
    """What a list of runs is asked for; values of one filter are alternatives, filters are joined by "and"."""

    states: tuple[RunState, ...] = ()
    projects: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    """Each `backup` or `ops/backup`."""
    workers: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    """Each a whole source ("user ana"), or its first word."""
    results: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    created_after: Instant | None = None
    created_before: Instant | None = None
    took_seconds_min: float | None = None
    """Of runs that are over: from the first start to the end."""
    oldest_first: bool = False
    limit: int = 50
    behind: int | None = None
    """The number of the run that the page begins behind."""
    ahead: int | None = None
    """Or of the run that it ends before: the way back."""


def read_run_filter(asked: Sequence[tuple[str, str]]) -> RunFilter:
    """The filter that these name-value pairs mean; raises InvalidFields with all that is wrong."""
    problems: list[tuple[str, str]] = []
    many: dict[str, list[str]] = {}
    once: dict[str, str] = {}
    pairs: dict[str, list[tuple[str, str]]] = {"result": [], "param": []}
    for name, value in asked:
        kind, _, rest = name.partition(".")
        if kind in pairs and _PARAMETER_NAME.fullmatch(rest):
            pairs[kind].append((rest, value))
        elif name in _SINGLE:
            if name in once:
                problems.append((f"/{name}", "may be given once"))
            once[name] = value
        elif name in FILTERS:
            many.setdefault(name, []).extend(part for part in value.split(",") if part)
        else:
            problems.append((f"/{name}", f"is no filter here: use {', '.join(FILTERS)}, result.NAME, param.NAME"))
    states = [word for word in many.get("status", ()) if not _is_state(word)]
    if states:
        problems.append(("/status", f"{states[0]!r} is no state: use {', '.join(RunState)}"))
    if once.get("sort", "-id") not in _SORTS:
        problems.append(("/sort", "must be id or -id"))
    instants = {
        name: _instant(name, once[name], problems) for name in ("created_after", "created_before") if name in once
    }
    took = _checked(_seconds, once["took_min"], problems) if "took_min" in once else None
    limit = _checked(rows_of_page, once["limit"], problems) if "limit" in once else PAGE_ROWS_DEFAULT
    cursor = once.get("cursor", "")
    place = _checked(key_of, cursor.removeprefix(BACKWARDS), problems) if cursor else None
    if problems or limit is None:
        raise InvalidFields(problems)
    return RunFilter(
        states=tuple(RunState(word) for word in many.get("status", ())),
        projects=tuple(many.get("project", ())),
        jobs=tuple(many.get("job", ())),
        workers=tuple(many.get("worker", ())),
        sources=tuple(many.get("source", ())),
        results=tuple(pairs["result"]),
        parameters=tuple(pairs["param"]),
        created_after=instants.get("created_after"),
        created_before=instants.get("created_before"),
        took_seconds_min=took,
        oldest_first=_SORTS[once.get("sort", "-id")],
        limit=limit,
        behind=None if cursor.startswith(BACKWARDS) else place,
        ahead=place if cursor.startswith(BACKWARDS) else None,
    )


def cursor_ahead(run: int) -> str:
    """The cursor of the page that ends before this run."""
    return BACKWARDS + cursor_of(run)


def _is_state(word: str) -> bool:
    return word in RunState.__members__.values()


def _instant(name: str, text: str, problems: list[tuple[str, str]]) -> Instant | None:
    try:
        return from_datetime(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        problems.append((f"/{name}", "must be an instant with its zone, such as 2026-11-21T08:00:00Z"))
        return None


def _seconds(text: str) -> float:
    """`90` or `1m30s`; raises InvalidFields."""
    try:
        return parse_duration(f"{text}s" if text.isascii() and text.isdigit() else text)
    except BadDuration:
        raise InvalidFields([("/took_min", "must be a duration: seconds, or such as 90s, 5m, 1h30m")]) from None


def _checked(read: Callable[[str], T], text: str, problems: list[tuple[str, str]]) -> T | None:
    try:
        return read(text)
    except InvalidFields as error:
        problems.extend(error.problems)
        return None
