"""Starting the process of a step, born in its own session and, where there is one, in its own control group."""

import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Mapping
from typing import NamedTuple

from orchestra_worker.keeper_protocol import MARKER, integer, number, optional_number, text

PIPE_BYTES = 1 << 20
# What the keeper or Python ignores must not be ignored in the step.
DEFAULT_SIGNALS = (
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGPIPE,
    signal.SIGXFSZ,
)


class Order(NamedTuple):
    """One process to run, as the keeper reads it from the agent's line."""

    step: str
    folder: str
    number: int
    argv: list[str]
    directory: str
    environment: dict[str, str]
    deadline: float | None
    deadline_reason: str
    grace_seconds: float
    timeout_seconds: float | None = None
    """From the spawn; a deadline may be moved, this may not."""
    timeout_reason: str = ""
    silence_seconds: float | None = None
    silence_reason: str = ""


class SpawnFailed(Exception):
    """The process could not be started; its text is the reason of the step."""


def order_from(document: Mapping[str, object]) -> Order:
    """The order in an agent's line; raises ValueError."""
    argv, environment = document.get("argv"), document.get("environment")
    if not isinstance(argv, list) or not argv or not all(isinstance(argument, str) for argument in argv):
        raise ValueError("argv is no list of strings")
    if not isinstance(environment, dict) or not all(isinstance(value, str) for value in environment.values()):
        raise ValueError("environment is no mapping of strings")
    step = text(document, "step")
    if "/" in step or not step:
        raise ValueError("a step's name is no file name")
    return Order(
        step=step,
        folder=text(document, "folder"),
        number=integer(document, "number"),
        argv=argv,
        directory=text(document, "directory"),
        environment=environment,
        deadline=optional_number(document, "deadline"),
        deadline_reason=text(document, "deadline_reason"),
        grace_seconds=number(document, "grace_seconds"),
        # An agent of before does not know of these.
        timeout_seconds=optional_number(document, "timeout_seconds"),
        timeout_reason=text(document, "timeout_reason") if "timeout_reason" in document else "",
        silence_seconds=optional_number(document, "silence_seconds"),
        silence_reason=text(document, "silence_reason") if "silence_reason" in document else "",
    )


def make_pipe() -> tuple[int, int]:
    """The pipe of a step's output: read end (never blocks) and write end."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reader, False)
    with contextlib.suppress(OSError):
        # Refused when this user's pipes are large enough in sum: then a small one has to do.
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    # A step that goes on as another user opens /dev/stderr anew, and may do so.
    os.fchmod(writer, 0o622)
    return reader, writer


def spawn(order: Order, *, marker: str, output: int) -> int:
    """Starts the process and gives its pid; raises SpawnFailed, and then nothing was started."""
    try:
        os.chdir(order.directory)
    except OSError as error:
        raise SpawnFailed(f"directory not found: {order.directory} ({os.strerror(error.errno or 0)})") from error
    except ValueError as error:
        raise SpawnFailed(f"directory not found: {order.directory!r} ({error})") from error
    try:
        return _posix_spawn(order, marker, output)
    finally:
        # Else a workspace could not be unmounted as long as the keeper lives.
        os.chdir("/")


def _posix_spawn(order: Order, marker: str, output: int) -> int:
    try:
        return os.posix_spawn(
            order.argv[0],
            order.argv,
            {**order.environment, MARKER: marker},
            file_actions=(
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ),
            setsid=True,
            setsigmask=(),
            setsigdef=DEFAULT_SIGNALS,
        )
    except OSError as error:
        raise SpawnFailed(_reason(order.argv[0], error)) from error
    except ValueError as error:
        raise SpawnFailed(f"not executable: {order.argv[0]} ({error})") from error


def _reason(command: str, error: OSError) -> str:
    if error.errno == errno.ENOENT and not os.path.lexists(command):
        return f"command not found: {command}"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"not executable: {command} (its interpreter is missing)"
    if error.errno == errno.ENOEXEC:
        return f"not executable: {command} (no program, and no #! line)"
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return f"no process could be started ({os.strerror(error.errno)})"
    return f"not executable: {command} ({os.strerror(error.errno or 0)})"
