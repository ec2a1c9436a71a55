"""The document of the API (OpenAPI 3.1), made from the rows of handlers and policy: it cannot differ from them."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version

from orchestra.errors import OrchestraError
from orchestra.policy import Permission
from orchestra.web.endpoint import Handlers
from orchestra.web.needs import Need, Open, Policy
from orchestra_service.operation import EVENTS, JSON, Field, Operation
from orchestra_service.problems import MEDIA_TYPE, Problem
from orchestra_service.schemas import PLACE, Schema, schemas_of

_ABOUT = (
    "JSON in and out, `snake_case`, instants as RFC 3339 in UTC, durations in seconds, `null` explicit, enumerations "
    "as words. Unknown request fields and query parameters are refused. Lists are pages: `next` is the `cursor` of the "
    "following one. Readings carry an `ETag`; with `If-None-Match` an unchanged one is 304. Every answer carries "
    "`X-Request-Id`; where an installation has set limits, `RateLimit-Policy` and `RateLimit` say what is left."
)
_PATH_PARAMETER = re.compile(r"\{(\w+)\}")
_NUMBERS = frozenset({"run", "attempt", "token", "session"})
_NUMBER: Schema = {"type": "integer", "minimum": 1, "maximum": (1 << 53) - 1}
_NAME: Schema = {"type": "string", "minLength": 1}
_REFUSAL_HEADERS = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    429: ("Retry-After", "RateLimit-Policy", "RateLimit"),
    503: ("Retry-After",),
}


class RouteWithoutPromise(OrchestraError):
    """Handlers whose rows do not say what they promise, so that no document can be made."""

    def __init__(self, rows: Sequence[tuple[str, str]]) -> None:
        self.rows = tuple(rows)
        super().__init__(self.rows)

    def __str__(self) -> str:
        named = ", ".join(f"{method} {path}" for method, path in self.rows)
        return f"these routes have no Operation in their row of `handlers`: {named}"


def document_of(handlers: Handlers, policy: Policy) -> Schema:
    """The whole document; raises RouteWithoutPromise."""
    rows = {row: handler for row, handler in handlers.items() if isinstance(handler, Operation)}
    if silent := sorted(handlers.keys() - rows.keys()):
        raise RouteWithoutPromise(silent)
    types = [kind for each in rows.values() for kind in (each.answers, each.takes) if kind is not None]
    schemas, named = schemas_of([*types, Problem])
    schema_of = {repr(kind): schema for kind, schema in zip(types, schemas, strict=False)}
    paths: dict[str, Schema] = {}
    statuses: set[int] = set()
    for (method, path), operation in sorted(rows.items(), key=lambda row: (row[0][1], row[0][0])):
        described = _described(operation, path, method, policy[method, path], schema_of)
        paths.setdefault(path, {})[method.lower()] = described
        statuses |= set(_refusals(operation, path, policy[method, path]))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Job Orchestra", "version": version("job-orchestra"), "description": _ABOUT},
        "security": [{"token": []}, {"session": []}],
        "tags": [{"name": name} for name in sorted({each.group for each in rows.values()})],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(named.items())),
            "responses": {f"Problem{status}": _problem(status) for status in sorted(statuses)},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`orc_u_…`, made by `POST /tokens`."},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "orchestra",
                    "description": "Of a browser; `__Host-orchestra` behind TLS.",
                },
            },
        },
    }


def _described(operation: Operation, path: str, method: str, need: Need, schema_of: Mapping[str, Schema]) -> Schema:
    summary, more = operation.text
    needs = f"Needs the permission to {need.value}." if isinstance(need, Permission) else ""
    described: Schema = {
        "operationId": operation.name,
        "tags": [operation.group],
        "summary": summary,
        "description": "\n\n".join(part for part in (more, needs) if part),
        "parameters": [
            *(_parameter("path", Field(name, "", _path_schema(name))) for name in _PATH_PARAMETER.findall(path)),
            *(_parameter("query", field) for field in operation.query),
            *(_parameter("header", field) for field in operation.headers),
        ],
        "responses": _responses(operation, path, method, need, schema_of),
    }
    if operation.takes is not None:
        described["requestBody"] = {"content": {JSON: {"schema": schema_of[repr(operation.takes)]}}}
    if need is Open.TO_ALL:
        described["security"] = []
    return described


def _parameter(place: str, field: Field) -> Schema:
    described: Schema = {"name": field.name, "in": place, "required": place == "path"}
    if field.meaning:
        described["description"] = field.meaning
    return {**described, "schema": dict(field.schema or {"type": "string"})}


def _path_schema(name: str) -> Schema:
    return dict(_NUMBER if name in _NUMBERS else _NAME)


def _responses(
    operation: Operation, path: str, method: str, need: Need, schema_of: Mapping[str, Schema]
) -> dict[str, Schema]:
    success: Schema = {"description": HTTPStatus(operation.status).phrase}
    if operation.status != HTTPStatus.NO_CONTENT:
        body = _untyped(operation.kind) if operation.answers is None else schema_of[repr(operation.answers)]
        others = {kind: {"schema": _untyped(kind)} for kind in operation.or_kinds}
        success["content"] = {operation.kind: {"schema": body}, **others}
    responses = {str(operation.status): success}
    if method == "GET" and operation.kind == JSON:
        responses["304"] = {"description": "The asker has it already."}
    for status in operation.also:
        if status < HTTPStatus.BAD_REQUEST:
            responses[str(status)] = {**success, "description": HTTPStatus(status).phrase}
    for status in _refusals(operation, path, need):
        responses[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    return responses


def _untyped(kind: str) -> Schema:
    """What an answer is that is no JSON: text, or events one after the other."""
    if kind != EVENTS:
        return {"type": "string"}
    fields = {name: {"type": "string"} for name in ("id", "event", "data")}
    return {"type": "object", "description": "Each event; its data are JSON.", "properties": fields}


def _refusals(operation: Operation, path: str, need: Need) -> list[int]:
    """What every route of this shape may say, and what this one says beside it."""
    found = {400, 413, 429, 503}
    if need is not Open.TO_ALL:
        found |= {401, 403}
    if "{" in path:
        found.add(404)
    if operation.takes is not None:
        found.add(422)
    return sorted(found | {status for status in operation.also if status >= HTTPStatus.BAD_REQUEST})


def _problem(status: int) -> Schema:
    described: Schema = {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": {"$ref": PLACE.format(name="Problem")}}},
    }
    if status in _REFUSAL_HEADERS:
        described["headers"] = {name: {"schema": {"type": "string"}} for name in _REFUSAL_HEADERS[status]}
    return described
