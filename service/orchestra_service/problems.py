"""Errors as RFC 9457 problems."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from orchestra.errors import InvalidFields, OrchestraError, RunInTheWay
from orchestra.identifiers import RunId
from orchestra.queries.addresses import run_address
from orchestra.web.answers import json_answer
from orchestra.web.statuses import RETRYABLE_STATUSES, headers_of, status_of

MEDIA_TYPE = "application/problem+json"


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
    run: RunId | msgspec.UnsetType = msgspec.UNSET
    """Of a run that was not made because of another one: that one."""
    run_url: str | msgspec.UnsetType = msgspec.UNSET


class Problems:
    """The service's refusals."""

    async def answer(self, error: OrchestraError, request: Request, request_id: str) -> Response:
        """The problem that tells of the error, with the headers that belong to it."""
        del request
        status, code = status_of(error)
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
        if isinstance(error, RunInTheWay):
            run = RunId(error.run)
            problem = msgspec.structs.replace(problem, run=run, run_url=run_address(run))
        headers = {**headers_of(error, status), "content-type": MEDIA_TYPE}
        return json_answer(problem, status=status, headers=headers)

    async def unexpected(self, request: Request, request_id: str) -> Response:
        """What is said of our own mistakes: nothing but where to look."""
        del request
        problem = Problem(
            type="urn:orchestra:problem:unexpected",
            title="unexpected",
            status=500,
            detail="something went wrong on our side: the log of the service tells more under this request's id",
            instance=request_id,
        )
        return json_answer(problem, status=500, headers={"content-type": MEDIA_TYPE})
