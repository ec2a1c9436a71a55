"""The file a step leaves in its attempt's folder: the claim, made before it can start, to which its process and its end
are added.

It is what survives everything: a claim that exists forbids a second start, whoever asks; its last line says how the
step ended even if the keeper is gone by then. One file and not several, because a file system is slow to make files
where many were just deleted. Claims need no sync: after a power failure the machine has a new boot id and nothing is
started again.
"""

import contextlib
import os
from typing import NamedTuple

from orchestra.clock import Instant
from orchestra_worker.keeper_protocol import (
    KEEPER_LOST,
    KEEPER_VERSION,
    MACHINE_RESTARTED,
    StepReport,
    decode_object,
    encode_line,
    integer,
    optional_integer,
    report_document,
    report_from_document,
    text,
)
from orchestra_worker.process_tree import started_ticks

LOG_NAME = "log"
INDEX_NAME = "log.index"
CHECK_INS_NAME = "checkins"
OWNER_ONLY = 0o600
READ_BYTES = 64 << 10


class Claim(NamedTuple):
    """Who started a step, so that it can be found when the keeper is gone."""

    step: str
    number: int
    marker: str
    """What its processes carry in their environment."""
    keeper: int
    """The keeper's pid; with its start in ticks since boot it names that process for ever."""
    keeper_ticks: int
    boot: str
    log_start: int
    cgroup: str
    """Empty where there is none."""
    pid: int | None = None
    started_at: Instant | None = None


def boot_id() -> str:
    """Names this run of the machine: processes of another one are gone."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def claim_path(folder: str, number: int) -> str:
    """Where the claim of a step lies."""
    return f"{folder}/{number}.claim"


class ClaimFile:
    """A claim that is open for what becomes of its step. Closed by its owner."""

    def __init__(self, descriptor: int, length: int) -> None:
        self._descriptor = descriptor
        self._length = length

    def add_process(self, pid: int, started_at: Instant) -> None:
        """Adds the process that was started."""
        with contextlib.suppress(OSError):
            # A full disk only makes the process harder to find after a crash.
            self._add({"pid": pid, "started_at": started_at})

    def add_end(self, report: StepReport) -> None:
        """Adds the end of the step, whole or not at all; raises OSError, and may then be called again."""
        self._add(report_document(report))

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

    def _add(self, document: dict[str, object]) -> None:
        line = encode_line(document)
        try:
            write_all(self._descriptor, line, self._length)
        except OSError:
            # What a full disk has torn must not be the beginning of the next line.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._length)
            raise
        self._length += len(line)


def write_claim(folder: str, claim: Claim) -> ClaimFile:
    """Claims a step for ever; claims nothing when it raises OSError."""
    path = claim_path(folder, claim.number)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    line = encode_line({**claim._asdict(), "version": KEEPER_VERSION})
    try:
        write_all(descriptor, line, 0)
    except OSError:
        # Nothing was started yet, so the claim can be given back.
        os.close(descriptor)
        os.unlink(path)
        raise
    return ClaimFile(descriptor, len(line))


def read_claim(folder: str, number: int) -> Claim | None:
    """The claim of a step; None if there is none. A claim torn by a crash is still a claim: its pid is then unknown."""
    lines = _read_lines(folder, number)
    return None if lines is None else _claim(lines, number)


def read_exit(folder: str, number: int) -> StepReport | None:
    """How a step ended; None if no (whole) end was written."""
    return _exit(_read_lines(folder, number) or [])


def read_report(folder: str, number: int) -> StepReport | None:
    """What the files alone say of a step: None if it was never started, "unknown" if its keeper died with it."""
    lines = _read_lines(folder, number)
    if lines is None:
        return None
    ended = _exit(lines)
    if ended is not None:
        return ended
    claim = _claim(lines, number)
    alive = keeper_is_alive(claim)
    # A keeper that ended between the two looks has written the step's end before.
    ended = None if alive else read_exit(folder, number)
    if ended is not None:
        return ended
    lost = KEEPER_LOST if claim.boot in ("", boot_id()) else MACHINE_RESTARTED
    return StepReport(
        step=claim.step,
        number=number,
        state="running" if alive else "unknown",
        pid=claim.pid,
        log_start=claim.log_start,
        log_length=log_length(folder),
        exit_code=None,
        reason="" if alive else lost,
        started_at=claim.started_at,
        ended_at=None,
    )


def keeper_is_alive(claim: Claim) -> bool:
    """Whether the keeper that made this claim still runs."""
    return claim.keeper > 0 and claim.boot == boot_id() and started_ticks(claim.keeper) == claim.keeper_ticks


def is_claimed_by(folder: str, number: int, keeper: int) -> bool:
    """Whether this living keeper has made the claim."""
    claim = read_claim(folder, number)
    return claim is not None and claim.keeper == keeper and keeper_is_alive(claim)


def log_length(folder: str) -> int:
    """The length of an attempt's log on this disk, punched holes included."""
    try:
        return os.stat(f"{folder}/{LOG_NAME}").st_size
    except FileNotFoundError:
        return 0


def write_all(descriptor: int, content: bytes, offset: int) -> None:
    """Writes everything at this offset; raises OSError."""
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _read_lines(folder: str, number: int) -> list[bytes] | None:
    try:
        descriptor = os.open(claim_path(folder, number), os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        # Raw, because the layers of an open file cost more than the reading.
        content = b""
        while more := os.read(descriptor, READ_BYTES):
            content += more
    finally:
        os.close(descriptor)
    return content.splitlines()


def _claim(lines: list[bytes], number: int) -> Claim:
    claim = Claim(step="", number=number, marker="", keeper=0, keeper_ticks=0, boot="", log_start=0, cgroup="")
    with contextlib.suppress(ValueError, IndexError):
        first = decode_object(lines[0])
        claim = Claim(
            step=text(first, "step"),
            number=integer(first, "number"),
            marker=text(first, "marker"),
            keeper=integer(first, "keeper"),
            keeper_ticks=integer(first, "keeper_ticks"),
            boot=text(first, "boot"),
            log_start=integer(first, "log_start"),
            cgroup=text(first, "cgroup"),
        )
        second = decode_object(lines[1])
        started = optional_integer(second, "started_at")
        claim = claim._replace(
            pid=optional_integer(second, "pid"), started_at=None if started is None else Instant(started)
        )
    return claim


def _exit(lines: list[bytes]) -> StepReport | None:
    try:
        # The first line is the claim itself; the process's line has no state.
        return report_from_document(decode_object(lines[-1])) if len(lines) > 1 else None
    except ValueError:
        return None
