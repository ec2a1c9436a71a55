"""Answers: JSON by msgspec, and the headers that every answer carries."""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
NO_STORE = {"cache-control": "no-store"}
_encoder = msgspec.json.Encoder()


def json_answer(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The value as JSON."""
    return encoded_answer(_encoder.encode(value), status=status, headers=headers)


def encoded_answer(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A body that is JSON already."""
    return Response(body, status_code=status, headers=headers, media_type="application/json")


def empty_answer() -> Response:
    """Done, and there is nothing to say."""
    return Response(status_code=204)


def complete(response: Response, request_id: str) -> None:
    """Adds what every answer carries, unless the handler has set it."""
    present = {name for name, _ in response.raw_headers}
    response.raw_headers.append((b"x-request-id", request_id.encode()))
    for name, value in SECURITY_HEADERS:
        if name not in present:
            response.raw_headers.append((name, value))
    if b"cache-control" not in present:
        response.raw_headers.append((b"cache-control", b"private, no-cache"))
