"""The files a step leaves in its attempt's folder: the claim, made before it can start, and the exit, made when it is
over.

They are what survives everything: a claim that exists forbids a second start, whoever asks; an exit says how the step
ended even if the keeper is gone by then. Claims need no sync: after a power failure the machine has a new boot id and
nothing is started again.
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
OWNER_ONLY = 0o600


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


def exit_path(folder: str, number: int) -> str:
    """Where the exit of a step lies."""
    return f"{folder}/{number}.exit"


def write_claim(folder: str, claim: Claim) -> int:
    """Claims a step for ever and gives a descriptor for `complete_claim`; claims nothing when it raises OSError."""
    path = claim_path(folder, claim.number)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    document = {**claim._asdict(), "version": KEEPER_VERSION}
    try:
        write_all(descriptor, encode_line(document))
    except OSError:
        # Nothing was started yet, so the claim can be given back.
        os.close(descriptor)
        os.unlink(path)
        raise
    return descriptor


def complete_claim(descriptor: int, *, pid: int, started_at: Instant) -> None:
    """Adds the process that was started and closes the claim."""
    with contextlib.suppress(OSError):
        # A full disk only makes the process harder to find after a crash.
        write_all(descriptor, encode_line({"pid": pid, "started_at": started_at}))
    os.close(descriptor)


def read_claim(folder: str, number: int) -> Claim | None:
    """The claim of a step; None if there is none. A claim torn by a crash is still a claim: its pid is then unknown."""
    try:
        with open(claim_path(folder, number), "rb") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return None
    unread = Claim(step="", number=number, marker="", keeper=0, keeper_ticks=0, boot="", log_start=0, cgroup="")
    with contextlib.suppress(ValueError, IndexError):
        first = decode_object(lines[0])
        unread = Claim(
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
        unread = unread._replace(
            pid=optional_integer(second, "pid"), started_at=None if started is None else Instant(started)
        )
    return unread


def write_exit(folder: str, report: StepReport) -> None:
    """Puts the end of a step on the disk, whole or not at all; raises OSError."""
    path = exit_path(folder, report.number)
    descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    try:
        write_all(descriptor, encode_line(report_document(report)))
    finally:
        os.close(descriptor)
    os.rename(f"{path}.new", path)


def read_exit(folder: str, number: int) -> StepReport | None:
    """How a step ended; None if no (whole) exit was written."""
    try:
        with open(exit_path(folder, number), "rb") as file:
            return report_from_document(decode_object(file.read()))
    except (FileNotFoundError, ValueError):
        return None


def read_report(folder: str, number: int) -> StepReport | None:
    """What the files alone say of a step: None if it was never started, "unknown" if its keeper died with it."""
    ended = read_exit(folder, number)
    if ended is not None:
        return ended
    claim = read_claim(folder, number)
    if claim is None:
        return None
    alive = keeper_is_alive(claim)
    # A keeper that ended between the two looks has written the exit before.
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


def write_all(descriptor: int, content: bytes) -> None:
    """Writes everything; raises OSError."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
