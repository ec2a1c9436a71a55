"""One table from the error tree to HTTP status codes, and the headers that belong to them."""

from collections.abc import Mapping

from orchestra.commands.sign_in_throttle import TooManyTries
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
    RunInTheWay,
    StorageError,
)
from orchestra.web.errors import (
    BadQuery,
    BadRequest,
    BodyTooLarge,
    BodyTooSlow,
    CrossSite,
    NoSuchPath,
    RangeBeyondEnd,
    SecretInAddress,
    TooManyGuesses,
    TooManyRequests,
    TooManyStreams,
    WrongMethod,
)

RETRY_AFTER_SECONDS = 2
RETRYABLE_STATUSES = frozenset({429, 503})

# The first class that fits decides, so the finer ones come first.
STATUS_OF: tuple[tuple[type[OrchestraError], int, str], ...] = (
    (BadQuery, 400, "bad-query"),
    (BadRequest, 400, "bad-request"),
    (SecretInAddress, 400, "token-in-url"),
    (TooManyGuesses, 429, "too-many-guesses"),
    (NotSignedIn, 401, "not-signed-in"),
    (NotAllowed, 403, "not-allowed"),
    (CrossSite, 403, "cross-site"),
    (NotFound, 404, "not-found"),
    (NoSuchPath, 404, "no-such-path"),
    (WrongMethod, 405, "wrong-method"),
    (ChangedSincePlan, 412, "changed-since-plan"),
    (RunInTheWay, 409, "run-in-the-way"),
    (Conflict, 409, "conflict"),
    (ImpossibleTransition, 409, "conflict"),
    (BodyTooSlow, 408, "body-too-slow"),
    (BodyTooLarge, 413, "body-too-large"),
    (RangeBeyondEnd, 416, "range-beyond-end"),
    (InvalidFields, 422, "invalid-fields"),
    (BadName, 422, "invalid-fields"),
    (KeyReused, 422, "key-reused"),
    (TooManyTries, 429, "too-many-tries"),
    (TooManyRequests, 429, "too-many-requests"),
    (TooManyStreams, 429, "too-many-streams"),
    (Overloaded, 429, "overloaded"),
    (StorageError, 503, "storage"),
)


def status_of(error: OrchestraError) -> tuple[int, str]:
    """The status code, and the word that names the problem in addresses."""
    for kind, status, code in STATUS_OF:
        if isinstance(error, kind):
            return status, code
    return 422, "refused"


def headers_of(error: OrchestraError, status: int) -> Mapping[str, str]:
    """What the answer has to carry beside the status."""
    match error:
        case TooManyGuesses():
            return {"retry-after": str(error.retry_after_seconds)}
        case NotSignedIn():
            return {"www-authenticate": "Bearer"}
        case BodyTooSlow():
            # The rest of it may still come: nothing else can be asked on this connection.
            return {"connection": "close"}
        case WrongMethod():
            return {"allow": ", ".join(error.allowed)}
        case Overloaded():
            return {"retry-after": str(error.retry_after_seconds)}
        case RangeBeyondEnd():
            return {"content-range": f"bytes */{error.length}"}
        case _:
            return {"retry-after": str(RETRY_AFTER_SECONDS)} if status in RETRYABLE_STATUSES else {}
