"""What is measured: something that runs commands, our product and its floor alike, and the commands it runs."""

from enum import StrEnum
from pathlib import Path
from typing import Protocol

LOG_SCRIPT = "yes $(printf '%099d' 0 | tr 0 x) | head -c ${0}000000"
STAMP_SCRIPT = 'date +%s%N > "$0"'
"""The clock is read by the job itself, so that nothing of the peer stands between the reading and the start."""


class Kind(StrEnum):
    """What a run does."""

    TRUE = "true"
    """Nothing."""
    ECHO = "echo"
    """`echo hello`, as a list of arguments."""
    SCRIPT = "script"
    """`echo hello`, by a shell."""
    STAMP = "stamp"
    """Writes the wall clock in nanoseconds into the file that the argument names, as its first act."""
    LOG = "log"
    """Writes as many megabytes as the argument says."""


class Peer(Protocol):
    """A system of processes of which only those below `roots` are charged."""

    @property
    def name(self) -> str:
        """Short."""

    @property
    def roots(self) -> list[int]:
        """The long-lived processes; the client is none of them."""

    def subscribe(self) -> None:
        """From now on the client is told of the end of every run."""

    def trigger(self, kind: Kind, argument: str = "") -> int:
        """Asks for one run and gives its number once that is durable or on its way."""

    def told_at(self, run: int) -> int:
        """Waits until the client is told that the run is over, its log stored: the wall clock in nanoseconds then."""

    def run_many(self, kind: Kind, count: int) -> None:
        """That many runs as fast as they go; returns when all are over."""


def argv_of(kind: Kind, argument: str) -> list[str]:
    """The command line of a run."""
    return {
        Kind.TRUE: ["/bin/true"],
        Kind.ECHO: ["/bin/echo", "hello"],
        Kind.SCRIPT: ["/bin/sh", "-e", "-c", "echo hello"],
        Kind.STAMP: ["/bin/sh", "-c", STAMP_SCRIPT, argument],
        Kind.LOG: ["/bin/sh", "-c", LOG_SCRIPT, argument],
    }[kind]


def read_stamp(path: Path) -> int:
    """What a stamp run wrote, which is over."""
    return int(path.read_text())
