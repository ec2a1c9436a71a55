"""Lists, paged by key: cursors that survive inserts, and counts that stop."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from orchestra.errors import InvalidFields
from orchestra.limits import COUNT_ROWS_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX

T = TypeVar("T")
KEY_MAX = (1 << 63) - 1


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many there are, or (not exact) that there are more than this."""

    value: int
    exact: bool


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A piece of a list; `next` is the cursor of the following one, None at the end."""

    items: Sequence[T]
    next: str | None
    total: Count


def whole(items: Sequence[T]) -> Page[T]:
    """A list that is short by its nature, as its only page."""
    return Page(items=items, next=None, total=Count(value=len(items), exact=True))


def cursor_of(key: int) -> str:
    """The cursor behind the row with this key."""
    return base64.urlsafe_b64encode(f"k{key}".encode()).decode().rstrip("=")


def key_of(cursor: str) -> int:
    """The key that the cursor names; raises InvalidFields."""
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode("ascii")
        key = int(text[1:]) if text[:1] == "k" and text[1:].isascii() and text[1:].isdigit() else -1
    except (ValueError, binascii.Error):
        key = -1
    if not 0 <= key <= KEY_MAX:
        raise InvalidFields([("/cursor", "is no cursor of this list: take the one in `next`")])
    return key


def rows_of_page(limit: str | None) -> int:
    """How many rows a page shall have; raises InvalidFields."""
    if limit is None:
        return PAGE_ROWS_DEFAULT
    if not (limit.isascii() and limit.isdigit()) or not 1 <= int(limit[:9]) <= PAGE_ROWS_MAX or len(limit) > 9:
        raise InvalidFields([("/limit", f"must be a whole number from 1 to {PAGE_ROWS_MAX}")])
    return int(limit)


def count_capped(connection: Connection, query: Select[tuple[int]]) -> Count:
    """Counts the rows of the query, but not beyond the bound."""
    found = connection.execute(
        select(func.count()).select_from(query.order_by(None).limit(COUNT_ROWS_MAX + 1).subquery())
    ).scalar_one()
    return Count(value=min(found, COUNT_ROWS_MAX), exact=found <= COUNT_ROWS_MAX)


class PageAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Which page somebody wants."""

    limit: int = PAGE_ROWS_DEFAULT
    behind: int = 0
    """The key of the row (or the position) that the page begins behind."""


def read_page_asked(query: Mapping[str, str]) -> PageAsked:
    """From `limit` and `cursor`; raises InvalidFields."""
    behind = key_of(query["cursor"]) if "cursor" in query else 0
    return PageAsked(limit=rows_of_page(query.get("limit")), behind=behind)


def page_by_key(
    connection: Connection, query: Select[tuple[object, ...]], key: ColumnElement[int], asked: PageAsked
) -> Page[Row[tuple[object, ...]]]:
    """The rows of the query behind the asked key, in the key's order; the key is a column `id` of the query."""
    rows = connection.execute(query.where(key > asked.behind).order_by(key).limit(asked.limit + 1)).all()
    page = rows[: asked.limit]
    return Page(
        items=page,
        next=cursor_of(page[-1].id) if len(rows) > asked.limit else None,
        total=count_capped(connection, query.with_only_columns(key)),
    )


def page_by_position(items: Sequence[T], asked: PageAsked) -> Page[T]:
    """A page of a list that is short by its nature and in an order of its own."""
    end = asked.behind + asked.limit
    return Page(
        items=tuple(items[asked.behind : end]),
        next=cursor_of(end) if end < len(items) else None,
        total=Count(value=len(items), exact=True),
    )
