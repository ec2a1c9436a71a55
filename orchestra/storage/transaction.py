"""Changes that share a commit: how they are applied together, and which go again after one of them has failed.

No I/O of its own: both databases drive the same plan, one from a thread, one from a task.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Connection

from orchestra.storage.database import Signal, Signals, announced

T = TypeVar("T")


class Waiting(Protocol):
    """A change of any type that waits for its commit."""

    @property
    def signals(self) -> Collection[Signal]:
        """What to tell once it is committed."""

    @property
    def has_failed(self) -> bool:
        """Whether it ended in an error, so that there is nothing to tell."""

    def apply(self, connection: Connection) -> None:
        """Runs it and keeps its value until `settle`; may be called again after a rollback."""

    def fail(self, error: BaseException) -> None:
        """It has failed for good; `settle` tells its caller."""

    def settle(self) -> None:
        """Tells the caller, in the caller's loop; a caller that has gone is no matter."""


class Change(Generic[T]):
    """A change with the future that its caller awaits."""

    def __init__(self, *, function: Callable[[Connection], T], future: asyncio.Future[T], signals: Signals[T]) -> None:
        self.signals: Collection[Signal] = ()
        self._signals = signals
        self._function = function
        self.future = future
        self._values: list[T] = []
        self._error: BaseException | None = None

    @property
    def has_failed(self) -> bool:
        """Whether it ended in an error."""
        return self._error is not None

    def apply(self, connection: Connection) -> None:
        """Runs the function; a value from before a rollback is forgotten."""
        announced(connection)  # by a change that failed before it
        value = self._function(connection)
        self._values = [value]
        # Here, so that a fault in naming the signals rolls back this change and no other.
        given = self._signals(value) if callable(self._signals) else self._signals
        self.signals = {*given, *announced(connection)}

    def fail(self, error: BaseException) -> None:
        """Keeps the error for `settle`."""
        # A future refuses StopIteration, and one refusal would leave the rest of the batch waiting for ever.
        self._error = RuntimeError("the change raised StopIteration") if isinstance(error, StopIteration) else error

    def settle(self) -> None:
        """Hands the value or the error to the caller, unless it no longer waits."""
        if self.future.done():
            return
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._values[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a transaction was rolled back: the change at `index`, or the commit itself if that is None."""

    index: int | None
    error: BaseException


class Replay:
    """Decides which changes share the next transaction, so that the effect is that of one after the other.

    After a failure the changes before the culprit go again together, then the culprit alone, then the rest: a bad
    change costs its neighbours two more commits, however large the batch is. Its error is believed only when it is
    alone, because the error that it had in company may come from a neighbour that was rolled back as well.
    """

    def __init__(self, changes: Sequence[Waiting]) -> None:
        self._segments = deque([changes] if changes else [])

    def next(self) -> Sequence[Waiting]:
        """The changes for the next transaction; empty when all are decided."""
        return self._segments.popleft() if self._segments else ()

    def failed(self, segment: Sequence[Waiting], failure: Failure) -> None:
        """These were rolled back together."""
        if len(segment) == 1:
            segment[0].fail(failure.error)
        elif failure.index is None:
            self._segments.extendleft([change] for change in reversed(segment))
        else:
            before, culprit, rest = segment[: failure.index], segment[failure.index], segment[failure.index + 1 :]
            self._segments.extendleft(part for part in (rest, [culprit], before) if part)

    def again(self, segment: Sequence[Waiting]) -> None:
        """These go again as they are, because the fault was not theirs."""
        self._segments.appendleft(segment)

    def rest(self) -> Sequence[Waiting]:
        """Takes everything that is not decided yet."""
        changes = [change for segment in self._segments for change in segment]
        self._segments.clear()
        return changes


def apply_all(connection: Connection, segment: Sequence[Waiting]) -> Failure | None:
    """Runs the changes in their order inside an open transaction, up to the first that raises."""
    for index, change in enumerate(segment):
        try:
            change.apply(connection)
        except Exception as error:  # noqa: BLE001 — it belongs to the caller of this change, who will be given it
            return Failure(index=index, error=error)
    return None
