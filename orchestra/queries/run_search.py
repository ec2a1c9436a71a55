"""Finds the runs of a page in bounded time, however long the history is and however rare what is asked for.

One filter leads: an index gives its runs in the order of the list. The others are looked at run by run, among the
first `SCAN_ROWS_MAX` that the leading one gives; a page that found too few in them says how far it has looked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, Text, and_, cast, func, or_, select, union_all

from orchestra.clock import MICROSECONDS_PER_SECOND, Instant
from orchestra.identifiers import ProjectId
from orchestra.lifecycle import TERMINAL_STATES, RunState
from orchestra.limits import COUNT_ROWS_MAX, CREATED_SLACK_ROWS, LEADING_VALUES_MAX, SCAN_ROWS_MAX
from orchestra.policy import Scope
from orchestra.queries.run_filters import RunFilter
from orchestra.storage.paging import KEY_MAX, Count
from orchestra.storage.tables import jobs, projects, run_results, runs, workers

TOGETHER: frozenset[tuple[str, str]] = frozenset()
"""Pairs of filters that one index serves in the list's order, `(first, second, id)`: add a row with such an index."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundRuns:
    """The numbers of the runs of a page, in the list's order."""

    runs: tuple[int, ...]
    has_more: bool
    """There may be more behind them, in the direction that was asked for."""
    searched_to: int | None
    """The last run that was looked at, if the search ended before the end of the list."""
    total: Count


@dataclass(frozen=True, kw_only=True, slots=True)
class _Facet:
    """A filter that an index serves: a column with the values that it may have."""

    name: str
    column: ColumnElement[object]
    values: Sequence[object]
    rank: int
    """The lower, the fewer runs it is likely to leave."""

    def equal_to(self, value: object) -> ColumnElement[bool]:
        return self.column == value

    @property
    def looked_at(self) -> ColumnElement[bool]:
        """The filter as a condition that no index is used for: it would leave the order, and the bound with it."""
        plain = self.column.concat("") if self.name == "status" else self.column + 0
        return plain.in_(self.values)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lead:
    """What gives the runs in order: for each alternative a range of one index."""

    id: ColumnElement[int]
    alternatives: tuple[tuple[ColumnElement[bool], ...], ...]
    is_result: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Search:
    """One question to the database: the lead, what is looked at besides, and between which numbers."""

    lead: _Lead
    besides: tuple[ColumnElement[bool], ...]
    above: int
    below: int
    ascending: bool

    def numbers(self, rows: int, *, besides: bool = True, to: int | None = None) -> Select[int]:
        """At most so many runs in order; `to` is the last one that is looked at."""
        pieces = [self._piece(alternative, rows, besides, to) for alternative in self.lead.alternatives]
        if len(pieces) == 1:
            return pieces[0]
        # A LIMIT within a UNION needs a subquery of its own.
        merged = union_all(*(select(piece.subquery().c.id) for piece in pieces)).subquery()
        return select(merged.c.id).order_by(self._ordered(merged.c.id)).limit(rows)

    def _piece(
        self, alternative: Sequence[ColumnElement[bool]], rows: int, besides: bool, to: int | None
    ) -> Select[int]:
        number = self.lead.id
        query = select(number.label("id")).where(*alternative).order_by(self._ordered(number)).limit(rows)
        above = self.above if to is None or self.ascending else max(self.above, to - 1)
        below = self.below if to is None or not self.ascending else min(self.below, to + 1)
        if above > 0:
            query = query.where(number > above)
        if below < KEY_MAX:
            query = query.where(number < below)
        if besides and self.besides:
            if self.lead.is_result:
                query = query.join(runs, runs.c.id == number)
            query = query.where(*self.besides)
        return query

    def _ordered(self, number: ColumnElement[int]) -> ColumnElement[int]:
        return number.asc() if self.ascending else number.desc()


def find_runs(connection: Connection, scope: Scope, asked: RunFilter) -> FoundRuns:
    """The runs of the page that this scope covers."""
    facets = _facets(connection, scope, asked)
    if any(not facet.values for facet in facets):
        return FoundRuns(runs=(), has_more=False, searched_to=None, total=Count(value=0, exact=True))
    lead, others = _leading(facets, asked)
    besides = (*(facet.looked_at for facet in others), *_looked_at(connection, asked))
    above, below = _numbers_created_between(connection, asked.created_after, asked.created_before)
    whole = _Search(lead=lead, besides=besides, above=above, below=below, ascending=asked.oldest_first)
    if asked.behind is None and asked.ahead is None:
        found, searched_to = _run(connection, whole, COUNT_ROWS_MAX + 1)
        return _page(asked, found, searched_to, _count(found, searched_to))
    total = _count(*_run(connection, whole, COUNT_ROWS_MAX + 1))
    found, searched_to = _run(connection, _from_cursor(whole, asked), asked.limit + 1)
    return _page(asked, found, searched_to, total)


def _run(connection: Connection, search: _Search, rows: int) -> tuple[list[int], int | None]:
    """The numbers, and how far was looked if that is not the end of the list."""
    if not search.besides:
        return list(connection.execute(search.numbers(rows)).scalars()), None
    looked_at = search.numbers(SCAN_ROWS_MAX, besides=False).subquery()
    last = func.max(looked_at.c.id) if search.ascending else func.min(looked_at.c.id)
    count, end = connection.execute(select(func.count(), last).select_from(looked_at)).one()
    if not count:
        return [], None
    found = list(connection.execute(search.numbers(rows, to=end)).scalars())
    return found, end if count == SCAN_ROWS_MAX else None


def _from_cursor(whole: _Search, asked: RunFilter) -> _Search:
    behind = asked.ahead if asked.behind is None else asked.behind
    assert behind is not None
    ascending = asked.oldest_first if asked.ahead is None else not asked.oldest_first
    return _Search(
        lead=whole.lead,
        besides=whole.besides,
        above=max(whole.above, behind) if ascending else whole.above,
        below=whole.below if ascending else min(whole.below, behind),
        ascending=ascending,
    )


def _page(asked: RunFilter, found: list[int], searched_to: int | None, total: Count) -> FoundRuns:
    page = found[: asked.limit]
    is_full = len(found) > asked.limit
    return FoundRuns(
        runs=tuple(page if asked.ahead is None else reversed(page)),
        has_more=is_full or searched_to is not None,
        searched_to=None if is_full else searched_to,
        total=total,
    )


def _count(found: list[int], searched_to: int | None) -> Count:
    return Count(value=min(len(found), COUNT_ROWS_MAX), exact=len(found) <= COUNT_ROWS_MAX and searched_to is None)


# --- the filters as conditions ---


def _facets(connection: Connection, scope: Scope, asked: RunFilter) -> list[_Facet]:
    facets = []
    if asked.states:
        is_open = TERMINAL_STATES.isdisjoint(asked.states)
        rank = 1 if is_open else 6 if RunState.SUCCEEDED in asked.states else 4
        facets.append(_Facet(name="status", column=runs.c.state, values=sorted(set(asked.states)), rank=rank))
    if asked.jobs:
        facets.append(_Facet(name="job", column=runs.c.job_id, values=_job_ids(connection, asked.jobs), rank=2))
    if asked.workers:
        wanted = _ids(connection, workers.c.id, workers.c.name.in_(asked.workers))
        facets.append(_Facet(name="worker", column=runs.c.worker_id, values=wanted, rank=3))
    if asked.projects or not scope.everywhere:
        if asked.projects:
            named = _ids(connection, projects.c.id, projects.c.name.in_(asked.projects))
            wanted = [each for each in named if scope.covers(ProjectId(each))]
        else:
            wanted = sorted(scope.projects)
        facets.append(_Facet(name="project", column=runs.c.project_id, values=wanted, rank=5))
    return facets


def _leading(facets: list[_Facet], asked: RunFilter) -> tuple[_Lead, list[_Facet]]:
    """What leads, and the rest."""
    if asked.results:
        name, text = asked.results[0]
        alternative = (run_results.c.name == name, run_results.c.text == text)
        return _Lead(id=run_results.c.run_id, alternatives=(alternative,), is_result=True), facets
    able = sorted((each for each in facets if len(each.values) <= LEADING_VALUES_MAX), key=lambda each: each.rank)
    for first, second in product(able, able):
        if (first.name, second.name) in TOGETHER and len(first.values) * len(second.values) <= LEADING_VALUES_MAX:
            pairs = product(first.values, second.values)
            both = tuple((first.equal_to(one), second.equal_to(other)) for one, other in pairs)
            return _Lead(id=runs.c.id, alternatives=both), [each for each in facets if each not in (first, second)]
    if able:
        alternatives = tuple((able[0].equal_to(value),) for value in able[0].values)
        return _Lead(id=runs.c.id, alternatives=alternatives), [each for each in facets if each is not able[0]]
    return _Lead(id=runs.c.id, alternatives=((),)), facets


def _looked_at(connection: Connection, asked: RunFilter) -> list[ColumnElement[bool]]:
    """The conditions that no index serves."""
    found: list[ColumnElement[bool]] = []
    if asked.sources:
        found.append(or_(*(_has_source(text) for text in asked.sources)))
    for name, text in asked.results[1:]:
        # Of this very run, so that a common result is not collected from the whole history.
        having = select(run_results.c.run_id).where(
            run_results.c.run_id == runs.c.id, run_results.c.name == name, run_results.c.text == text
        )
        found.append(having.exists())
    for name, text in asked.parameters:
        found.append(_parameter(connection, name).in_({text, msgspec.json.encode(text).decode()}))
    if asked.took_seconds_min is not None:
        took = runs.c.ended_at - runs.c.started_at
        found.append(took >= round(asked.took_seconds_min * MICROSECONDS_PER_SECOND))
    if asked.created_after is not None:
        found.append(runs.c.created_at > asked.created_after)
    if asked.created_before is not None:
        found.append(runs.c.created_at < asked.created_before)
    return found


def _has_source(text: str) -> ColumnElement[bool]:
    return or_(runs.c.source == text, runs.c.source.startswith(f"{text} ", autoescape=True))


def _parameter(connection: Connection, name: str) -> ColumnElement[str]:
    # Both give the value as JSON text, so that 5, "5" and true are told apart in the same way.
    if connection.dialect.name == "sqlite":
        return runs.c.parameters.op("->", return_type=Text())(f'$."{name}"')
    # Not at the top: SQLite's users would have the whole other dialect in memory.
    from sqlalchemy.dialects.postgresql import JSONB

    return cast(func.jsonb_extract_path(cast(runs.c.parameters, JSONB), name), Text)


def _ids(connection: Connection, column: ColumnElement[int], condition: ColumnElement[bool]) -> list[int]:
    return list(connection.execute(select(column).where(condition)).scalars())


def _job_ids(connection: Connection, names: Iterable[str]) -> list[int]:
    wanted = []
    for name in names:
        project, slash, job = name.rpartition("/")
        wanted.append(and_(jobs.c.name == job, projects.c.name == project) if slash else jobs.c.name == job)
    query = select(jobs.c.id).join(projects, projects.c.id == jobs.c.project_id).where(or_(*wanted))
    return list(connection.execute(query).scalars())


# --- numbers and times go together ---


def _numbers_created_between(connection: Connection, after: Instant | None, before: Instant | None) -> tuple[int, int]:
    """Numbers that enclose the runs created between: numbers follow the time, but for what clocks disagree about."""
    above = 0 if after is None else _number_created_at(connection, after) - CREATED_SLACK_ROWS
    below = KEY_MAX if before is None else _number_created_at(connection, before) + CREATED_SLACK_ROWS
    return max(above, 0), below


def _number_created_at(connection: Connection, instant: Instant) -> int:
    """About the first number that was created then or later, by bisection along the primary key."""
    low, high = 0, (connection.execute(select(func.max(runs.c.id))).scalar_one() or 0) + 1
    while high - low > 1:
        middle = (low + high) // 2
        created = select(runs.c.created_at).where(runs.c.id >= middle).order_by(runs.c.id).limit(1)
        if connection.execute(created).scalar_one() < instant:
            low = middle
        else:
            high = middle
    return high
