"""How far the history of runs is settled: behind that mark no event with a lower number can appear any more.

Numbers are given before the commit. With several writing processes a lower one may therefore become visible after a
higher one, and whoever reads "everything behind the last number that I saw" would miss it for ever.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select, text

from orchestra.limits import EVENT_GAP_SECONDS_MAX, EVENTS_LOOKED_AT_MAX
from orchestra.storage.tables import run_events


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryLook:
    """What one look at the history showed."""

    newest: int
    """The highest number that is visible, 0 without any."""
    gapless_to: int
    """Up to here nothing is missing behind the mark that the look began at."""
    writers: frozenset[str] = frozenset()
    """The transactions that may hold numbers up to `newest` that are not visible yet."""


def newest_event(connection: Connection) -> int:
    """The highest number that is visible, 0 without any."""
    return connection.execute(_NEWEST).scalar_one() or 0


def look_at_history(connection: Connection, behind: int) -> HistoryLook:
    """Looks at what comes behind the mark."""
    newest = newest_event(connection)
    if connection.dialect.name == "sqlite":
        # One writer: what has a lower number was committed before.
        return HistoryLook(newest=newest, gapless_to=newest)
    gapless_to = behind
    if 0 < newest - behind <= EVENTS_LOOKED_AT_MAX:
        for number in connection.execute(_BEHIND, {"behind": behind, "newest": newest}).scalars():
            if number != gapless_to + 1:
                break
            gapless_to = number
    if gapless_to >= newest:
        return HistoryLook(newest=newest, gapless_to=newest)
    # An insert takes this lock before it takes numbers and keeps it to the transaction's end, and a commit is visible
    # before its locks are gone. Read after the newest number, so that nobody slips through in between.
    return HistoryLook(newest=newest, gapless_to=gapless_to, writers=frozenset(connection.execute(_WRITERS).scalars()))


_NEWEST = select(func.max(run_events.c.id))
_BEHIND = (
    select(run_events.c.id)
    .where(run_events.c.id > bindparam("behind"), run_events.c.id <= bindparam("newest"))
    .order_by(run_events.c.id)
)
_WRITERS = text(
    "select virtualtransaction from pg_locks where locktype = 'relation' and relation = 'run_events'::regclass "
    "and database = (select oid from pg_database where datname = current_database()) "
    "and mode = 'RowExclusiveLock' and granted"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gap:
    """Numbers are missing below `newest`; they are void or visible once these transactions have ended."""

    newest: int
    writers: frozenset[str]
    seen_at: float


class SettledMark:
    """Moves the mark by what was seen. Pure: looks and time come in as values."""

    def __init__(self) -> None:
        self.settled_to = 0
        self._gap: _Gap | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether numbers are missing, so that the next look should come soon."""
        return self._gap is not None

    def take(self, look: HistoryLook, now: float) -> None:
        """Moves the mark as far as this look allows; `now` is monotonic."""
        self.settled_to = max(self.settled_to, look.gapless_to)
        gap = self._gap
        if gap is not None:
            is_over = gap.writers.isdisjoint(look.writers)
            # A writer that sleeps in the middle of a transaction must not keep everybody from the news for ever.
            if is_over or now - gap.seen_at >= EVENT_GAP_SECONDS_MAX:
                self.settled_to = max(self.settled_to, gap.newest)
                self._gap = gap = None
        if not look.writers:
            self.settled_to = max(self.settled_to, look.newest)
        if self.settled_to >= look.newest:
            self._gap = None
        elif gap is None:
            self._gap = _Gap(newest=look.newest, writers=look.writers, seen_at=now)
