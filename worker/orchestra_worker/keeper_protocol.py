"""What the agent and the keeper say to each other: names, the report of a step, and one JSON object a line.

The keeper imports this module, so it must stay small: no dataclasses, no pathlib, nothing outside the standard library.
"""

import json
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from orchestra.clock import Instant

KEEPER_VERSION: Final = 2
"""Of the socket and the lock: a keeper of another version is left alone to finish, and known by its files."""
SOCKET_NAME: Final = f"keeper.{KEEPER_VERSION}.sock"
LOCK_NAME: Final = f"keeper.{KEEPER_VERSION}.lock"
MARKER: Final = "ORCHESTRA_STEP"
"""The variable that every process of a step carries: "<step>@<name of the worker folder>"."""
LINE_BYTES_MAX: Final = 8 << 20
NO_CGROUPS: Final = "--no-cgroups"
EXIT_FOLDER_IN_USE: Final = 3
"""The exit code of a keeper that found another one in its folder."""

StepState = Literal["running", "ended", "unknown"]
KEEPER_LOST: Final = "keeper lost"
MACHINE_RESTARTED: Final = "machine restarted"


class StepReport(NamedTuple):
    """What is known of one step; give its fields by name."""

    step: str
    number: int
    state: StepState
    pid: int | None
    log_start: int
    log_length: int
    """Of the whole attempt's log, this step's output included."""
    exit_code: int | None
    """Negative: the signal that ended it."""
    reason: str
    """Empty when the step exited by itself; else why it was ended, or why it could not be started."""
    started_at: Instant | None
    ended_at: Instant | None
    lost: tuple[tuple[int, int], ...] = ()
    """Output that found no room on the disk: (offset in the log at which it is missing, how many bytes)."""


_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def encode_line(message: Mapping[str, object]) -> bytes:
    """One message as a line."""
    return _encode(message).encode("ascii") + b"\n"


def decode_object(line: bytes | str) -> dict[str, object]:
    """The JSON object of a line or of a file; raises ValueError."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")
    return message


def report_document(report: StepReport) -> dict[str, object]:
    """The report as plain JSON."""
    return report._asdict()


def report_from_document(document: object) -> StepReport:
    """The report that `report_document` wrote; raises ValueError."""
    if not isinstance(document, dict):
        raise ValueError("a report is a JSON object")
    state = document.get("state")
    if state not in ("running", "ended", "unknown"):
        raise ValueError(f"a report's state is {state!r}")
    started, ended = optional_integer(document, "started_at"), optional_integer(document, "ended_at")
    return StepReport(
        step=text(document, "step"),
        number=integer(document, "number"),
        state=state,
        pid=optional_integer(document, "pid"),
        log_start=integer(document, "log_start"),
        log_length=integer(document, "log_length"),
        exit_code=optional_integer(document, "exit_code"),
        reason=text(document, "reason"),
        started_at=None if started is None else Instant(started),
        ended_at=None if ended is None else Instant(ended),
        lost=_ranges(document.get("lost", ())),
    )


def text(document: Mapping[str, object], name: str) -> str:
    """A field that must be a string; raises ValueError."""
    value = document.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is no string")
    return value


def integer(document: Mapping[str, object], name: str) -> int:
    """A field that must be an integer; raises ValueError."""
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is no integer")
    return value


def optional_integer(document: Mapping[str, object], name: str) -> int | None:
    """A field that may be an integer or absent; raises ValueError."""
    return None if document.get(name) is None else integer(document, name)


def number(document: Mapping[str, object], name: str) -> float:
    """A field that must be a number; raises ValueError."""
    value = document.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{name} is no number")
    return float(value)


def optional_number(document: Mapping[str, object], name: str) -> float | None:
    """A field that may be a number or absent; raises ValueError."""
    return None if document.get(name) is None else number(document, name)


def _ranges(value: object) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("lost is no list")
    ranges = []
    for entry in value:
        if not isinstance(entry, list | tuple) or [type(part) for part in entry] != [int, int]:
            raise ValueError("a lost range is no pair of integers")
        ranges.append((entry[0], entry[1]))
    return tuple(ranges)
