"""The port to the truth: two verbs, and hints that something changed."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from orchestra.identifiers import Signature
from orchestra.matching import PIPELINE

T = TypeVar("T")


class Topic(StrEnum):
    """What a signal can be about."""

    PENDING = "pending"
    """A run became pending; the payload is its requirement signature."""
    RELEASED = "released"
    """A run gave back what it demanded; the payload is its signature."""
    STOPS = "stops"
    """A stop was asked for; the payload is the run's number."""
    PIPELINES = "pipelines"
    """A pipeline is pending, or one of its elements waits for a person."""
    DUE = "due"
    """A run waits for a time, or a schedule changed."""
    WORKERS = "workers"
    """A worker was enabled, disabled, registered; the payload is its name."""
    TOKENS = "tokens"
    """A token may have lost its power: it was revoked, or its user disabled."""
    RUN = "run"
    """Something of a run changed: state, steps, log, results; the payload is its number."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A hint, given after the commit: `topic` changed, `payload` says where. Losing it costs latency only.

    An empty payload says that anything of the topic may have changed: after a reconnect, or when too much happened.
    """

    topic: Topic
    payload: str = ""


Signals = Collection[Signal] | Callable[[T], Collection[Signal]]
"""What to tell after the commit; a function works it out from what the change returned."""


def pending_signal(signature: Signature) -> Signal:
    """What to tell when such a run became pending: who gives runs out, or who begins pipelines."""
    return Signal(Topic.PIPELINES) if signature == PIPELINE else Signal(Topic.PENDING, signature)


def announce(connection: Connection, *signals: Signal) -> None:
    """Signals to be given after the commit, for who changes rows deep inside a change; repeats are harmless."""
    connection.info.setdefault(_ANNOUNCED, []).extend(signals)


def announced(connection: Connection) -> list[Signal]:
    """Takes what the change that ran last has announced."""
    found: list[Signal] = connection.info.pop(_ANNOUNCED, [])
    return found


_ANNOUNCED = "orchestra.announced"

BatchObserver = Callable[[int], None]
"""Is told how many changes shared a commit."""


def ignore_batch(_changes: int) -> None:
    """Nobody counts."""


class Subscription(Protocol):
    """What has been signalled on some topics since the last look. Closed by its owner."""

    async def wait(self, timeout_seconds: float) -> frozenset[Signal]:
        """The signals since the last call, at once if there are some; else waits, and is empty after the timeout."""

    def close(self) -> None:
        """No more signals, please."""


class Database(Protocol):
    """Both verbs take a function of an open connection: ordinary synchronous SQLAlchemy Core, which must be replayable
    (no effect outside the database, time and keys come in as values) and must not keep the connection."""

    async def write(self, change: Callable[[Connection], T], *, signals: Signals[T] = ()) -> T:
        """Runs the change in a transaction shared with others that wait, and returns after the commit.

        What the change raises rolls back this change only. Raises DatabaseAway, or OutcomeUnknown if the connection
        was lost during COMMIT.
        """

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Runs the query on a connection that cannot write; raises DatabaseAway."""

    def subscribe(self, *topics: Topic) -> Subscription:
        """Listens to these topics from now on."""

    def observe_batches(self, observer: BatchObserver) -> None:
        """Tells the observer from now on, in the loop, how well changes share their commits; there is one at most."""

    async def close(self) -> None:
        """Waits for what was asked, then lets everything go."""
