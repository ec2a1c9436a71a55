"""The audit for those who may read it: newest first, filtered by who, what, on which object and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, and_, select

from orchestra.clock import Instant, after, from_datetime
from orchestra.errors import InvalidFields
from orchestra.limits import PAGE_ROWS_DEFAULT
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import moment
from orchestra.storage.paging import Page, count_capped, cursor_of, key_of, rows_of_page
from orchestra.storage.tables import audit_entries

FILTERS = ("actor", "action", "object", "outcome", "since", "until")
_TEXTS = {
    "actor": audit_entries.c.actor,
    "action": audit_entries.c.action,
    "object": audit_entries.c.object,
    "outcome": audit_entries.c.outcome,
}
_SLACK_SECONDS = 3600.0
"""Entries are found by their number, which follows the time but for the differences between the clocks of processes."""


class AuditChange(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between before and after."""

    before: dict[str, msgspec.Raw]
    after: dict[str, msgspec.Raw]


class AuditView(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: who did what, when, from where, and what came of it."""

    id: int
    at: datetime
    actor: str
    action: str
    object: str
    detail: str
    outcome: str
    token_id: int | None
    session_id: int | None
    address: str
    change: AuditChange | None
    request: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditFilter:
    """Which entries somebody wants; each filter has one value, and all hold together."""

    texts: tuple[tuple[str, str], ...] = ()
    """Of `actor`, `action`, `object`, `outcome`: equal to the whole text."""
    since: Instant | None = None
    until: Instant | None = None
    limit: int = PAGE_ROWS_DEFAULT
    behind: int | None = None


def read_audit_filter(asked: Sequence[tuple[str, str]], *, zone: ZoneInfo | None = None) -> AuditFilter:
    """The filter that these name-value pairs mean; raises InvalidFields with all that is wrong.

    An instant without a zone is one of the given zone; without that it is refused.
    """
    problems: list[tuple[str, str]] = []
    found: dict[str, str] = {}
    for name, value in asked:
        if name not in (*FILTERS, "limit", "cursor"):
            problems.append((f"/{name}", f"is no filter here: use {', '.join(FILTERS)}"))
        elif name in found:
            problems.append((f"/{name}", "may be given once"))
        found[name] = value
    instants = {name: _instant(name, found.get(name), zone, problems) for name in ("since", "until")}
    limit, behind = PAGE_ROWS_DEFAULT, None
    try:
        limit = rows_of_page(found.get("limit"))
        behind = key_of(found["cursor"]) if "cursor" in found else None
    except InvalidFields as error:
        problems.extend(error.problems)
    if problems:
        raise InvalidFields(problems)
    return AuditFilter(
        texts=tuple((name, found[name].replace("\0", "")) for name in _TEXTS if name in found),
        since=instants["since"],
        until=instants["until"],
        limit=limit,
        behind=behind,
    )


def list_audit(connection: Connection, who: Principal, wanted: AuditFilter) -> Page[AuditView]:
    """A page of entries, newest first; raises NotAllowed."""
    who.require(Permission.READ_AUDIT)
    return _page(connection, wanted, [])


def list_own_actions(connection: Connection, who: Principal, wanted: AuditFilter) -> Page[AuditView]:
    """What this person did, for everybody who asks about themselves."""
    return _page(connection, wanted, [audit_entries.c.actor == who.actor])


def actions_known(connection: Connection, who: Principal) -> Sequence[str]:
    """The words of all actions that there are, for a list to choose from; each is found by one look at the index."""
    who.require(Permission.READ_AUDIT)
    column, words = audit_entries.c.action, []
    found = connection.execute(select(column).order_by(column).limit(1)).scalar_one_or_none()
    while found is not None:
        words.append(found)
        found = connection.execute(select(column).where(column > found).order_by(column).limit(1)).scalar_one_or_none()
    return words


def _page(connection: Connection, wanted: AuditFilter, conditions: list[ColumnElement[bool]]) -> Page[AuditView]:
    number = audit_entries.c.id
    where = [*conditions, *(_TEXTS[name] == text for name, text in wanted.texts), *_times(connection, wanted)]
    query = select(audit_entries).where(and_(True, *where))
    beyond = query if wanted.behind is None else query.where(number < wanted.behind)
    rows = connection.execute(beyond.order_by(number.desc()).limit(wanted.limit + 1)).all()
    page = rows[: wanted.limit]
    return Page(
        items=tuple(_view(row) for row in page),
        next=cursor_of(page[-1].id) if len(rows) > wanted.limit else None,
        total=count_capped(connection, select(number).where(and_(True, *where))),
    )


def _times(connection: Connection, wanted: AuditFilter) -> list[ColumnElement[bool]]:
    """Both bounds, and beside each the number at which to begin, so that a long trail is not read from its end."""
    at, number, found = audit_entries.c.at, audit_entries.c.id, []
    if wanted.since is not None:
        first = select(number).where(at <= after(wanted.since, -_SLACK_SECONDS)).order_by(at.desc()).limit(1)
        found += [at >= wanted.since, number > (connection.execute(first).scalar_one_or_none() or 0)]
    if wanted.until is not None:
        found.append(at < wanted.until)
        last = select(number).where(at >= after(wanted.until, _SLACK_SECONDS)).order_by(at).limit(1)
        if (end := connection.execute(last).scalar_one_or_none()) is not None:
            found.append(number < end)
    return found


def _view(row: Row[tuple[object, ...]]) -> AuditView:
    return AuditView(
        id=row.id,
        at=moment(row.at),
        actor=row.actor,
        action=row.action,
        object=row.object,
        detail=row.detail,
        outcome=row.outcome,
        token_id=row.token_id,
        session_id=row.session_id,
        address=row.address,
        change=None if row.change is None else msgspec.json.decode(row.change, type=AuditChange),
        request=row.request,
    )


def _instant(name: str, text: str | None, zone: ZoneInfo | None, problems: list[tuple[str, str]]) -> Instant | None:
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
        return from_datetime(read.replace(tzinfo=zone) if read.tzinfo is None and zone is not None else read)
    except (ValueError, OverflowError):
        problems.append((f"/{name}", "must be an instant with its zone, such as 2026-11-21T08:00:00Z"))
        return None
