"""Errors as RFC 9457 problems: one table from the error tree to status codes."""

from collections.abc import Mapping

import msgspec

from orchestra.commands.triggers import KeyReused
from orchestra.errors import (
    BadName,
    ChangedSincePlan,
    Conflict,
    ImpossibleTransition,
    InvalidFields,
    NotAllowed,
    NotFound,
    NotSignedIn,
    OrchestraError,
    Overloaded,
    StorageError,
)
from orchestra_service.errors import (
    BadQuery,
    BadRequest,
    BodyTooLarge,
    CrossSite,
    NoSuchPath,
    RangeBeyondEnd,
    SecretInAddress,
    WrongMethod,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2


class FieldProblem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with one field."""

    pointer: str
    """A JSON pointer into the body, or /NAME for a query parameter."""
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that is not a success."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    """The request's id, as in X-Request-Id."""
    errors: tuple[FieldProblem, ...] = ()
    retryable: bool = False


# The first class that fits decides, so the finer ones come first.
STATUS_OF: tuple[tuple[type[OrchestraError], int, str], ...] = (
    (BadQuery, 400, "bad-query"),
    (BadRequest, 400, "bad-request"),
    (SecretInAddress, 400, "token-in-url"),
    (NotSignedIn, 401, "not-signed-in"),
    (NotAllowed, 403, "not-allowed"),
    (CrossSite, 403, "cross-site"),
    (NotFound, 404, "not-found"),
    (NoSuchPath, 404, "no-such-path"),
    (WrongMethod, 405, "wrong-method"),
    (ChangedSincePlan, 412, "changed-since-plan"),
    (Conflict, 409, "conflict"),
    (ImpossibleTransition, 409, "conflict"),
    (BodyTooLarge, 413, "body-too-large"),
    (RangeBeyondEnd, 416, "range-beyond-end"),
    (InvalidFields, 422, "invalid-fields"),
    (BadName, 422, "invalid-fields"),
    (KeyReused, 422, "key-reused"),
    (Overloaded, 429, "overloaded"),
    (StorageError, 503, "storage"),
)
RETRYABLE_STATUSES = frozenset({429, 503})


def problem_of(error: OrchestraError, request_id: str) -> tuple[Problem, Mapping[str, str]]:
    """The problem that tells of the error, and the headers that belong to it."""
    status, code = _status_of(error)
    errors: tuple[FieldProblem, ...] = ()
    if isinstance(error, InvalidFields):
        errors = tuple(FieldProblem(pointer=pointer, message=sentence) for pointer, sentence in error.problems)
    problem = Problem(
        type=f"urn:orchestra:problem:{code}",
        title=code.replace("-", " "),
        status=status,
        detail=str(error),
        instance=request_id,
        errors=errors,
        retryable=status in RETRYABLE_STATUSES,
    )
    return problem, _headers_of(error, status)


def unexpected_problem(request_id: str) -> Problem:
    """What is said of our own mistakes: nothing but where to look."""
    return Problem(
        type="urn:orchestra:problem:unexpected",
        title="unexpected",
        status=500,
        detail="something went wrong on our side: the log of the service tells more under this request's id",
        instance=request_id,
    )


def _status_of(error: OrchestraError) -> tuple[int, str]:
    for kind, status, code in STATUS_OF:
        if isinstance(error, kind):
            return status, code
    return 422, "refused"


def _headers_of(error: OrchestraError, status: int) -> Mapping[str, str]:
    match error:
        case NotSignedIn():
            return {"www-authenticate": "Bearer"}
        case WrongMethod():
            return {"allow": ", ".join(error.allowed)}
        case Overloaded():
            return {"retry-after": str(error.retry_after_seconds)}
        case RangeBeyondEnd():
            return {"content-range": f"bytes */{error.length}"}
        case _:
            return {"retry-after": str(RETRY_AFTER_SECONDS)} if status in RETRYABLE_STATUSES else {}
