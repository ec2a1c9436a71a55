"""Which session writes the log of an attempt: a log is let go of with its session, and not with an older one."""

from collections.abc import Iterable

from orchestra.identifiers import Epoch
from orchestra.protocol.window import AttemptKey


class LogWriters:
    """Of one master. An attempt belongs to one worker, whose newest session has the highest epoch.

    Said in the loop, before the log store is asked: what it is told comes to its thread in the same order.
    """

    def __init__(self) -> None:
        self._epochs: dict[AttemptKey, Epoch] = {}

    def take(self, keys: Iterable[AttemptKey], epoch: Epoch) -> None:
        """This session writes these logs from now on."""
        self._epochs.update(dict.fromkeys(keys, epoch))

    def leave(self, keys: Iterable[AttemptKey], epoch: Epoch) -> list[AttemptKey]:
        """The session writes them no more; returns those that nobody else has taken meanwhile."""
        left = [key for key in keys if self._epochs.get(key) == epoch]
        for key in left:
            del self._epochs[key]
        return left
