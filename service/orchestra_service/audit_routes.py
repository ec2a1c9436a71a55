"""The audit over HTTP: pages of JSON, or everything that matches as CSV."""

import csv
import io
from collections.abc import AsyncIterator

import msgspec
from starlette.responses import Response, StreamingResponse

from orchestra.errors import InvalidFields
from orchestra.limits import PAGE_ROWS_MAX
from orchestra.policy import Principal
from orchestra.queries.addresses import API
from orchestra.queries.audit import FILTERS, AuditFilter, AuditView, list_audit, read_audit_filter
from orchestra.storage.paging import Page, key_of
from orchestra.web.answers import json_answer
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import BadQuery
from orchestra.web.parts import WebParts
from orchestra_service.operation import PAGE, Field, Operation

_WORDS = {
    "actor": "Who did it, such as `user ana`.",
    "action": "What was done, such as `run_triggered`.",
    "object": "To what, such as `run #482` or `job ops/backup`.",
    "outcome": "`done` or `refused`.",
    "since": "Entries from this instant on.",
    "until": "Entries before this instant.",
}
_FORMAT = Field("format", "`csv`: everything that matches, as with `Accept: text/csv`.", {"enum": ["json", "csv"]})
COLUMNS = (
    "id",
    "at",
    "actor",
    "action",
    "object",
    "detail",
    "outcome",
    "token_id",
    "session_id",
    "address",
    "change",
    "request",
)
# A spreadsheet would take a text that begins so for a formula.
_FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")


class AuditRoutes:
    """The handler for the audit."""

    def __init__(self, *, parts: WebParts) -> None:
        self._database = parts.database

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        asked = (*(Field(name, _WORDS[name]) for name in FILTERS), _FORMAT, *PAGE)
        listed = Operation(self.list, answers=Page[AuditView], query=asked, or_kinds=("text/csv",))
        return {("GET", f"{API}/audit"): listed}

    async def list(self, asking: Asking) -> Response:
        """A page of entries, newest first; or all of them as CSV."""
        pairs = asking.request.query_params.multi_items()
        form = dict(pairs).get("format", "csv" if _prefers_csv(asking) else "json")
        problems = [] if form in ("csv", "json") else [("/format", "must be json or csv")]
        try:
            wanted = read_audit_filter([(name, value) for name, value in pairs if name != "format"])
        except InvalidFields as error:
            raise BadQuery([*problems, *error.problems]) from None
        if problems:
            raise BadQuery(problems)
        if form == "json":
            return json_answer(await self._database.read(lambda connection: list_audit(connection, asking.who, wanted)))
        # The first page before the answer begins, so that a refusal is one.
        first = await self._page(asking.who, wanted)
        headers = {"content-disposition": 'attachment; filename="audit.csv"', "vary": "Accept"}
        return StreamingResponse(
            self._lines(asking.who, wanted, first), media_type="text/csv; charset=utf-8", headers=headers
        )

    async def _page(self, who: Principal, wanted: AuditFilter, behind: int | None = None) -> Page[AuditView]:
        piece = AuditFilter(
            texts=wanted.texts,
            since=wanted.since,
            until=wanted.until,
            limit=PAGE_ROWS_MAX,
            behind=wanted.behind if behind is None else behind,
        )
        return await self._database.read(lambda connection: list_audit(connection, who, piece))

    async def _lines(self, who: Principal, wanted: AuditFilter, page: Page[AuditView]) -> AsyncIterator[str]:
        yield _csv([COLUMNS])
        while True:
            yield _csv([_row(entry) for entry in page.items])
            if page.next is None:
                return
            page = await self._page(who, wanted, key_of(page.next))


def _prefers_csv(asking: Asking) -> bool:
    return asking.request.headers.get("accept", "").partition(",")[0].partition(";")[0].strip() == "text/csv"


def _csv(rows: list[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _row(entry: AuditView) -> tuple[str, ...]:
    change = "" if entry.change is None else msgspec.json.encode(entry.change).decode()
    values = {**msgspec.structs.asdict(entry), "at": entry.at.isoformat(), "change": change}
    return tuple(_cell("" if values[name] is None else str(values[name])) for name in COLUMNS)


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_BEGINNINGS) else text
