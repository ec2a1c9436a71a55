"""What every connection and every duty of the master works with: the ports, made once by `assemble`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from orchestra.clock import Clock
from orchestra.limits import ALONE_CONTACT_SECONDS, ALONE_POLL_SECONDS, HEARTBEAT_SECONDS, POLL_SECONDS
from orchestra.logs.store import LogStore
from orchestra.protocol.codec import Frame
from orchestra.storage.database import Database
from orchestra.storage.job_versions import JobVersions
from orchestra_master.log_writers import LogWriters
from orchestra_master.metrics import AttemptMetrics
from orchestra_master.roster import Roster

T = TypeVar("T")


class Blocking(Protocol):
    """Runs what may block on a disk where it does not hold up the loop: a thread of its own, or inline in a
    simulator."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]:
        """Runs the function and gives its value; calls are executed one after the other."""


class WorkerConnection(Protocol):
    """The socket to a worker, as a port. Both methods raise ConnectionError once it is gone."""

    async def receive(self) -> Frame:
        """The next frame."""

    async def send(self, frame: Frame) -> None:
        """Sends a frame; waits while the peer does not read."""

    async def close(self, code: int, reason: str) -> None:
        """Ends the connection; harmless when it is gone."""


@dataclass(frozen=True, kw_only=True)
class MasterParts:
    """The ports and the shared memory of one master."""

    name: str
    """Names this process in workers' rows and in run events."""
    clock: Clock
    database: Database
    logs: LogStore
    run_blocking: Blocking
    versions: JobVersions
    roster: Roster
    log_writers: LogWriters = field(default_factory=LogWriters)
    metrics: AttemptMetrics = field(default_factory=AttemptMetrics)
    is_alone: bool = False
    """Nobody else has the database: no signal is lost, and no other master asks what this one writes down."""

    @property
    def poll_seconds(self) -> float:
        """How long to wait for a signal before looking all the same."""
        return ALONE_POLL_SECONDS if self.is_alone else POLL_SECONDS

    @property
    def contact_seconds(self) -> float:
        """How often to write down when the workers were heard."""
        return ALONE_CONTACT_SECONDS if self.is_alone else HEARTBEAT_SECONDS

    @property
    def actor(self) -> str:
        """Who acts, for run events."""
        return f"master {self.name}"
