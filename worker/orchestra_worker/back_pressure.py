"""Back-pressure: a step that writes faster than the master stores its log has to wait, so that it fills no disk.

Only while the master takes its log: whoever is cut off is never held back. A hold is a lease that each piece of log
which the master has stored renews; it lapses in the keeper when the link, the master or this agent stands still. What
an outage has left on the disk is nobody's fault, so a log is compared with the least that has been waiting since the
session began.
"""

from collections.abc import Callable
from dataclasses import dataclass

from orchestra.clock import Clock
from orchestra.limits import HOLD_SECONDS, LOG_BACKLOG_BYTES_MAX
from orchestra.protocol.window import AttemptKey

RENEW_SECONDS = 2.0
"""A hold is not told anew before it would be longer by so much."""


@dataclass(kw_only=True, slots=True)
class _Backlog:
    """What is known of one attempt's log in this session."""

    stored: int
    least: int
    """Bytes that were waiting when fewest were."""
    step: str
    grew_at: float | None = None
    """When the master was last heard to have stored more."""
    held_until: float | None = None


class BackPressure:
    """Says which steps are to wait. `look` after each growth of a log and each acknowledgement."""

    def __init__(
        self, *, hold: Callable[[str, float], None], clock: Clock, backlog_bytes_max: int = LOG_BACKLOG_BYTES_MAX
    ) -> None:
        self._hold = hold
        """Leaves a step's output unread for so many seconds; 0 reads on."""
        self._clock = clock
        self._backlog_bytes_max = backlog_bytes_max
        self._backlogs: dict[AttemptKey, _Backlog] = {}
        self._is_connected = False

    def begin_session(self) -> None:
        """The master is there: what waits now is what an outage has left."""
        self._backlogs.clear()
        self._is_connected = True

    def end_session(self) -> None:
        """The master is gone: nobody waits for it."""
        self._is_connected = False
        for known in self._backlogs.values():
            if known.held_until is not None:
                self._let_go(known)

    def look(self, key: AttemptKey, step: str, *, length: int, stored: int) -> None:
        """The running step's log has this length now, of which the master has stored so much."""
        if not self._is_connected:
            return
        now = self._clock.monotonic()
        waiting = length - stored
        known = self._backlogs.get(key)
        if known is None:
            # What was stored before may have been stored long ago: no sign that the master takes it now.
            known = self._backlogs[key] = _Backlog(stored=stored, least=waiting, step=step)
        if known.step != step or (known.held_until is not None and now >= known.held_until):
            known.step, known.held_until = step, None
        if stored > known.stored:
            known.stored, known.grew_at = stored, now
        known.least = min(known.least, waiting)
        is_held = known.held_until is not None
        allowed = self._backlog_bytes_max // 2 if is_held else self._backlog_bytes_max
        if waiting > known.least + allowed:
            self._keep(known, now)
        elif is_held:
            self._let_go(known)

    def drop(self, key: AttemptKey) -> None:
        """The attempt is not held any more."""
        self._backlogs.pop(key, None)

    def _keep(self, known: _Backlog, now: float) -> None:
        if known.grew_at is None:
            return
        until = known.grew_at + HOLD_SECONDS
        if until > now and (known.held_until is None or until - known.held_until >= RENEW_SECONDS):
            known.held_until = until
            self._hold(known.step, until - now)

    def _let_go(self, known: _Backlog) -> None:
        known.held_until = None
        self._hold(known.step, 0.0)
