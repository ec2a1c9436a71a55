"""What can go wrong between this program and the server, as errors with the server's own words in them."""

import msgspec

from orchestra.errors import OrchestraError


class FieldProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a request that the server refused."""

    pointer: str = ""
    message: str = ""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An RFC 9457 problem as the API sends it; what is missing gets a plain default."""

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    detail: str = ""
    instance: str | None = None
    errors: list[FieldProblem] = []
    retryable: bool = False
    run: int | msgspec.UnsetType = msgspec.UNSET
    """The one because of which another was not made."""


class ServerUnreachable(OrchestraError):
    """No answer came: refused, timed out, cut off or no such host."""

    def __init__(self, server: str, cause: str) -> None:
        super().__init__(server, cause)
        self.server = server
        self.cause = cause

    def __str__(self) -> str:
        return f"the server {self.server} does not answer ({self.cause})"


class RequestRefused(OrchestraError):
    """The server answered, and its answer is no."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem.detail or self.problem.title or f"the server answered with status {self.problem.status}"


class AnswerUnreadable(OrchestraError):
    """What answered is not a Job Orchestra server, or one of another version."""

    def __init__(self, server: str, cause: str) -> None:
        super().__init__(server, cause)
        self.server = server
        self.cause = cause

    def __str__(self) -> str:
        return (
            f"{self.server} gave an answer that this program does not understand ({self.cause}): "
            "check the address and the versions"
        )


def problem_of(status: int, reason: str, content_type: str, body: bytes) -> Problem:
    """The problem in an answer of status 300 and above, whatever sent it (a proxy's HTML is not for people)."""
    if "json" in content_type:
        try:
            problem = msgspec.json.decode(body, type=Problem)
        except msgspec.DecodeError:
            pass
        else:
            return msgspec.structs.replace(problem, status=status)
    if 300 <= status < 400:
        return Problem(status=status, title=reason, detail="the server redirects elsewhere: name its final address")
    detail = f"the server answered {status} {reason}".rstrip()
    return Problem(status=status, title=reason, detail=detail, retryable=status == 503)
