"""What a route promises, said in its row beside the handler: the document of the API is made from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import getdoc

from starlette.responses import Response

from orchestra.limits import PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handler

JSON = "application/json"
EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Field:
    """A query parameter or a header, given as text."""

    name: str
    meaning: str
    schema: Mapping[str, object] | None = None
    """JSON Schema; None is any text."""


LIMIT = Field(
    "limit",
    f"Rows of a page: {PAGE_ROWS_DEFAULT}, at most {PAGE_ROWS_MAX}.",
    {"type": "integer", "minimum": 1, "maximum": PAGE_ROWS_MAX},
)
CURSOR = Field("cursor", "The `next` of the page before.")
PAGE = (LIMIT, CURSOR)
IDEMPOTENCY_KEY = Field(
    "Idempotency-Key",
    "The same key with the same request gets the same answer again, for 24 hours.",
    {"type": "string", "minLength": 1, "maxLength": 255},
)


class Operation:
    """A handler with its promise. It is called like the handler itself, so that a row needs nothing else."""

    def __init__(
        self,
        handler: Handler,
        *,
        answers: object = None,
        status: int = 200,
        takes: object = None,
        query: tuple[Field, ...] = (),
        headers: tuple[Field, ...] = (),
        kind: str = JSON,
        or_kinds: tuple[str, ...] = (),
        also: tuple[int, ...] = (),
    ) -> None:
        self.handler = handler
        self.answers = answers
        """The type of a JSON answer."""
        self.status = status
        self.takes = takes
        """The type of the body, None for none."""
        self.query = query
        self.headers = headers
        self.kind = kind
        """The media type of the answer."""
        self.or_kinds = or_kinds
        """Those of other forms of it that can be asked for, as text."""
        self.also = also
        """Statuses beside those that every route of its shape has."""

    async def __call__(self, asking: Asking) -> Response:
        return await self.handler(asking)

    @property
    def name(self) -> str:
        """Unique in the document: `run_trigger` for `RunRoutes.trigger`."""
        group, _, verb = getattr(self.handler, "__qualname__", "").rpartition(".")
        return f"{group.removesuffix('Routes').lower()}_{verb}"

    @property
    def group(self) -> str:
        """What belongs together in the document: `run` for `RunRoutes`."""
        return self.name.partition("_")[0]

    @property
    def text(self) -> tuple[str, str]:
        """The handler's docstring: its first paragraph, and the rest."""
        summary, _, more = (getdoc(self.handler) or "").partition("\n\n")
        return " ".join(summary.split()), more.strip()
