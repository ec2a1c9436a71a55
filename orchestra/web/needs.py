"""What a route needs of who asks, and the answer for those who do not have it."""

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from orchestra.errors import OrchestraError
from orchestra.policy import Permission


class Open(Enum):
    """A route for everybody."""

    TO_ALL = "open to all"


Need = Permission | Open
Policy = Mapping[tuple[str, str], Need]
"""By method and path. The permission decides who gets through the door; within which projects is decided by the
commands and queries, which look at the object itself."""


class Refusals(Protocol):
    """How a part answers what went wrong: the service in JSON, the website with a page."""

    async def answer(self, error: OrchestraError, request: Request, request_id: str) -> Response:
        """The answer that tells of the error."""

    async def unexpected(self, request: Request, request_id: str) -> Response:
        """The answer to our own mistakes: nothing but where to look."""
