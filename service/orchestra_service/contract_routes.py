"""The API about itself: its document for programs, and the same as a page for people."""

from functools import cached_property

import msgspec
from starlette.responses import HTMLResponse, Response

from orchestra.queries.addresses import API
from orchestra.web.answers import encoded_answer
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.needs import Policy
from orchestra_service.openapi import document_of
from orchestra_service.operation import Operation
from orchestra_service.reference import CONTENT_POLICY, reference_page
from orchestra_service.schemas import Schema


class ContractRoutes:
    """The handlers for the API's own description, of itself as of all others."""

    def __init__(self, *, others: Handlers, policy: Policy) -> None:
        self._others = others
        self._policy = policy

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", f"{API}/openapi.json"): Operation(self.document, answers=dict[str, msgspec.Raw]),
            ("GET", "/api"): Operation(self.page, kind="text/html"),
        }

    async def document(self, asking: Asking) -> Response:
        """This document: OpenAPI 3.1."""
        asking.query()
        return encoded_answer(self._encoded)

    async def page(self, asking: Asking) -> Response:
        """The document as a page."""
        asking.query()
        return HTMLResponse(self._page, headers={"content-security-policy": CONTENT_POLICY})

    # Made when first asked for, because a service that starts has better things to do.
    @cached_property
    def _document(self) -> Schema:
        return document_of({**self._others, **self.handlers}, self._policy)

    @cached_property
    def _encoded(self) -> bytes:
        return msgspec.json.encode(self._document)

    @cached_property
    def _page(self) -> str:
        return reference_page(self._document)
