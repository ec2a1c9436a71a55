"""For how long each worker has been silent, counted by a clock that never jumps."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestra.clock import Clock, Instant, seconds_between
from orchestra.identifiers import WorkerId


@dataclass(frozen=True, kw_only=True, slots=True)
class _Contact:
    last_at: Instant
    """As the database has it, by the wall clock of the master that wrote it: it is only compared, never subtracted."""
    seen_at: float
    """When it was first read here (monotonic)."""
    before_seconds: float
    """The silence before that."""


class Silences:
    """Remembers when each worker's last contact was first read.

    Between two masters, or before and after somebody sets the clock, a difference of wall clocks says nothing. It is
    believed once, at the first look: what was before this process, only the wall clock knows.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._contacts: dict[WorkerId, _Contact] = {}
        self._has_looked = False

    def look(self, contacts: Mapping[WorkerId, Instant]) -> Mapping[WorkerId, float]:
        """The seconds of silence of each worker, by its last contact as the database has it now; it forgets all
        others."""
        moment, now = self._clock.monotonic(), self._clock.now()
        self._contacts = {worker: self._contact(worker, last_at, moment, now) for worker, last_at in contacts.items()}
        self._has_looked = True
        return {worker: contact.before_seconds + moment - contact.seen_at for worker, contact in self._contacts.items()}

    def _contact(self, worker: WorkerId, last_at: Instant, moment: float, now: Instant) -> _Contact:
        known = self._contacts.get(worker)
        if known is not None and known.last_at == last_at:
            return known
        before = 0.0 if self._has_looked else max(seconds_between(last_at, now), 0.0)
        return _Contact(last_at=last_at, seen_at=moment, before_seconds=before)
