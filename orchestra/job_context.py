"""What a running job may say about itself: check-ins and results, through files, so that nothing is lost while the
agent is away.

Used by `orchestra checkin` and `orchestra result set` inside a step, and by Python jobs. Standard library only,
imported within the job's own process. The worker names the files in the environment; the socket is only a hint that it
should look now.
"""

import fcntl
import json
import os
import socket
from pathlib import Path

from orchestra.errors import OrchestraError
from orchestra.limits import CHECK_IN_CHARACTERS_MAX, RESULTS_BYTES_MAX


class NotInAJob(OrchestraError):
    """A job's word was used outside of a step."""

    def __init__(self, variable: str) -> None:
        super().__init__(variable)
        self.variable = variable

    def __str__(self) -> str:
        return f"{self.variable} is not set: this works only inside a step that a worker runs"


class BadJobContext(OrchestraError):
    """A check-in or result cannot be taken; the sentence is made by who raises it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


def checkin(progress: float | None = None, text: str = "") -> None:
    """Says how far the job is: `progress` from 0 to 1, a short text, or both; raises NotInAJob, BadJobContext."""
    if progress is not None and not 0 <= progress <= 1:
        raise BadJobContext(f"the progress {progress} is not between 0 and 1 (0 % and 100 %)")
    if len(text) > CHECK_IN_CHARACTERS_MAX:
        raise BadJobContext(
            f"the text has {len(text)} characters, at most {CHECK_IN_CHARACTERS_MAX} are kept: say it shorter"
        )
    line = json.dumps({"progress": progress, "text": text}).encode() + b"\n"
    # One write with O_APPEND: lines of several processes cannot mix.
    descriptor = os.open(_place("ORCHESTRA_CHECKINS"), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
    _poke()


def set_result(name: str, value: object) -> None:
    """Keeps a result under a name, any JSON value, beside the results that are there; raises NotInAJob,
    BadJobContext."""
    path = _place("ORCHESTRA_RESULTS")
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        values = _results(path)
        values[name] = value
        try:
            content = json.dumps(values, allow_nan=False).encode()
        except (TypeError, ValueError) as cause:
            raise BadJobContext(f"the result {name!r} is no JSON value ({cause})") from None
        if len(content) > RESULTS_BYTES_MAX:
            raise BadJobContext(f"the results would have {len(content)} bytes, at most {RESULTS_BYTES_MAX} are kept")
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        os.close(lock)


def _results(path: Path) -> dict[str, object]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    if not content.strip():
        return {}
    try:
        values = json.loads(content)
    except ValueError as cause:
        raise BadJobContext(f"the results file is no JSON ({cause}): correct what the job has written to it") from None
    if not isinstance(values, dict):
        raise BadJobContext("the results file is no JSON object: correct what the job has written to it")
    return values


def _place(variable: str) -> Path:
    place = os.environ.get(variable)
    if not place:
        raise NotInAJob(variable)
    return Path(place)


def _poke() -> None:
    """Wakes the agent; if it is away it reads the file when it is back."""
    place = os.environ.get("ORCHESTRA_SOCKET")
    if not place:
        return
    path = Path(place)
    try:
        # A socket's path is bounded to 108 bytes: through the folder's descriptor any length works.
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as hint:
            name = f"{os.environ.get('ORCHESTRA_RUN', '')}-{os.environ.get('ORCHESTRA_ATTEMPT', '')}"
            hint.sendto(name.encode(), f"/proc/self/fd/{folder}/{path.name}")
    except OSError:
        return
    finally:
        os.close(folder)
