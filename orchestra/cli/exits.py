"""What the program's exit codes mean: one table, from which every command takes its code."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """The codes that scripts may rely on."""

    DONE = 0
    """Done, or nothing to change."""
    FAILED = 1
    """The operation failed; also an invalid file and a failed check."""
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    """Not signed in, or not allowed."""
    CONFLICT = 5
    """The present state of things forbids it, or it changed since the plan."""
    UNREACHABLE = 6
    """No server is known, or it does not answer."""
    DIFFERENCES = 7
    """`apply --diff --exit-code` found some."""
    RUN_FAILED = 20
    RUN_WITHDRAWN = 21
    """Cancelled or skipped."""
    RUN_ABORTED = 22
    RUN_EXCEPTION = 23
    STILL_GOING = 24
    """The run went on when --timeout ended."""
    INTERRUPTED = 130


EXIT_OF_STATUS: Final[Mapping[int, ExitCode]] = {
    401: ExitCode.NOT_ALLOWED,
    403: ExitCode.NOT_ALLOWED,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.CONFLICT,
    412: ExitCode.CONFLICT,
    428: ExitCode.CONFLICT,
    502: ExitCode.UNREACHABLE,
    503: ExitCode.UNREACHABLE,
    504: ExitCode.UNREACHABLE,
}
"""By the HTTP status of a refusal; any other one is FAILED."""

EXIT_OF_RUN: Final[Mapping[str, ExitCode]] = {
    "succeeded": ExitCode.DONE,
    "failed": ExitCode.RUN_FAILED,
    "cancelled": ExitCode.RUN_WITHDRAWN,
    "skipped": ExitCode.RUN_WITHDRAWN,
    "aborted": ExitCode.RUN_ABORTED,
    "exception": ExitCode.RUN_EXCEPTION,
}
"""By the terminal state of the run that was waited for; a state that is not here is not over."""


def exit_of_status(status: int) -> ExitCode:
    """The exit code for a request that the server refused."""
    return EXIT_OF_STATUS.get(status, ExitCode.FAILED)
