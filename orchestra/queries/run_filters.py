"""Which runs a list shall have: read from what was asked, every unknown or malformed filter refused."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, Text, and_, cast, false, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB

from orchestra.clock import Instant, from_datetime
from orchestra.errors import InvalidFields
from orchestra.lifecycle import RunState
from orchestra.storage.paging import key_of, rows_of_page
from orchestra.storage.tables import jobs, projects, run_results, runs, workers

_PARAMETER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SORTS = {"-id": False, "id": True}
_SINGLE = frozenset({"sort", "limit", "cursor", "created_after", "created_before"})
FILTERS = ("status", "project", "job", "worker", "source", *sorted(_SINGLE))


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
    oldest_first: bool = False
    limit: int = 50
    behind: int | None = None
    """The number of the run that the page begins behind."""


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
    limit = _checked(rows_of_page, once.get("limit"), problems)
    behind = _checked(key_of, once["cursor"], problems) if "cursor" in once else None
    if problems:
        raise InvalidFields(problems)
    assert limit is not None
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
        oldest_first=_SORTS[once.get("sort", "-id")],
        limit=limit,
        behind=behind,
    )


def conditions(connection: Connection, asked: RunFilter) -> list[ColumnElement[bool]]:
    """The filter as conditions on `runs`. Names become ids first, so that an index can give the rows in order."""
    found: list[ColumnElement[bool]] = []
    if asked.states:
        found.append(_is_one_of(runs.c.state, asked.states))
    if asked.projects:
        wanted = _ids(connection, projects.c.id, projects.c.name.in_(asked.projects))
        found.append(_is_one_of(runs.c.project_id, wanted))
    if asked.jobs:
        found.append(_is_one_of(runs.c.job_id, _job_ids(connection, asked.jobs)))
    if asked.workers:
        wanted = _ids(connection, workers.c.id, workers.c.name.in_(asked.workers))
        found.append(_is_one_of(runs.c.worker_id, wanted))
    if asked.sources:
        found.append(or_(*(_has_source(text) for text in asked.sources)))
    for name, text in asked.results:
        having = select(run_results.c.run_id).where(run_results.c.name == name, run_results.c.text == text)
        found.append(runs.c.id.in_(having))
    for name, text in asked.parameters:
        found.append(_parameter(connection, name).in_({text, msgspec.json.encode(text).decode()}))
    if asked.created_after is not None:
        found.append(runs.c.created_at > asked.created_after)
    if asked.created_before is not None:
        found.append(runs.c.created_at < asked.created_before)
    return found


def _has_source(text: str) -> ColumnElement[bool]:
    return or_(runs.c.source == text, runs.c.source.startswith(f"{text} ", autoescape=True))


def _is_state(word: str) -> bool:
    return word in RunState.__members__.values()


def _instant(name: str, text: str, problems: list[tuple[str, str]]) -> Instant | None:
    try:
        return from_datetime(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        problems.append((f"/{name}", "must be an instant with its zone, such as 2026-11-21T08:00:00Z"))
        return None


def _checked(read: object, text: str | None, problems: list[tuple[str, str]]) -> int | None:
    assert callable(read)
    try:
        value = read(text)
    except InvalidFields as error:
        problems.extend(error.problems)
        return None
    assert isinstance(value, int)
    return value


def _ids(connection: Connection, column: ColumnElement[int], condition: ColumnElement[bool]) -> list[int]:
    return list(connection.execute(select(column).where(condition)).scalars())


def _job_ids(connection: Connection, names: Iterable[str]) -> list[int]:
    wanted = []
    for name in names:
        project, slash, job = name.rpartition("/")
        wanted.append(and_(jobs.c.name == job, projects.c.name == project) if slash else jobs.c.name == job)
    query = select(jobs.c.id).join(projects, projects.c.id == jobs.c.project_id).where(or_(*wanted))
    return list(connection.execute(query).scalars())


def _is_one_of(column: ColumnElement[object], values: Sequence[object]) -> ColumnElement[bool]:
    # A single value is compared by "=": only then does an index on (column, id) give the rows in order.
    if not values:
        return false()
    return column == values[0] if len(values) == 1 else column.in_(values)


def _parameter(connection: Connection, name: str) -> ColumnElement[str]:
    # Both give the value as JSON text, so that 5, "5" and true are told apart in the same way.
    if connection.dialect.name == "sqlite":
        return runs.c.parameters.op("->", return_type=Text())(f'$."{name}"')
    return cast(func.jsonb_extract_path(cast(runs.c.parameters, JSONB), name), Text)
