"""Answers: JSON by msgspec, and the headers that every answer carries."""

from collections.abc import Mapping
from hashlib import blake2b

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

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


def complete(response: Response, request_id: str, *, is_secure: bool = False) -> None:
    """Adds what every answer carries, unless the handler has set it; behind TLS, that it stays so for a year."""
    present = {name for name, _ in response.raw_headers}
    response.raw_headers.append((b"x-request-id", request_id.encode()))
    for name, value in SECURITY_HEADERS:
        if name not in present:
            response.raw_headers.append((name, value))
    if is_secure:
        response.raw_headers.append((b"strict-transport-security", b"max-age=31536000"))
    if b"cache-control" not in present:
        response.raw_headers.append((b"cache-control", b"private, no-cache"))


def not_modified(request: Request, response: Response) -> Response:
    """The answer with its ETag, or a 304 without body if the asker has it already (RFC 9110, section 13.1.2).

    Only for readings that are whole in memory and may be kept by the asker.
    """
    if request.method not in ("GET", "HEAD") or response.status_code != 200 or isinstance(response, StreamingResponse):
        return response
    if "no-store" in response.headers.get("cache-control", "") or not response.body:
        return response
    tag = response.headers.get("etag") or f'W/"{blake2b(response.body, digest_size=12).hexdigest()}"'
    response.headers["etag"] = tag
    known = [each.strip() for each in request.headers.get("if-none-match", "").split(",")]
    # The comparison is the weak one: a tag stands for the same reading, whether it says W/ or not.
    if "*" not in known and tag.removeprefix("W/") not in (each.removeprefix("W/") for each in known):
        return response
    kept = {name: value for name, value in response.headers.items() if name in ("etag", "cache-control", "vary")}
    return Response(status_code=304, headers=kept)
