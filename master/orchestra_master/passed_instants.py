"""What becomes of the instants of a schedule that have passed: a pure decision for each, from its policies.

An instant is late if it could not be decided within the schedule's grace: no master was there, or it was paused. What
is not late fires. What is late is missed, unless `catch_up` says otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import islice

from orchestra.clock import Instant, after
from orchestra.cron.occurrences import dues_after, excluded_by
from orchestra.limits import TICKS_PER_PASS_MAX
from orchestra.specification import CatchUp, ScheduleSpecification
from orchestra.timetable import Timetable


class Verdict(StrEnum):
    """What becomes of one instant, before its job is looked at."""

    FIRE = "fired"
    CATCH_UP = "fired: caught up"
    MISS = "skipped: missed"
    PAUSED = "skipped: paused"
    EXCLUDED = "skipped: calendar"


@dataclass(frozen=True, kw_only=True, slots=True)
class PastPause:
    """For how long a person kept the schedule from being decided about."""

    begin: Instant
    end: Instant


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """The instants that are decided together, and where the cursor goes."""

    verdicts: tuple[tuple[Instant, Verdict], ...]
    """In the order of their instants."""
    cursor: Instant | None
    """The first instant after them; None if there is none."""

    def are_more(self, now: Instant) -> bool:
        """Whether the cursor is due as well: the schedule was away for so long that it needs another pass."""
        return self.cursor is not None and self.cursor <= now


def judge(
    specification: ScheduleSpecification, cursor: Instant, now: Instant, *, pause: PastPause | None = None
) -> Judged:
    """Decides about the instants from the cursor until now, or about the first of them if they are very many."""
    timetable = specification.timetable
    limit = specification.catch_up_limit if specification.catch_up is CatchUp.ALL else 1
    passed, following = _passed(timetable, cursor, now, TICKS_PER_PASS_MAX + limit)
    is_more = following is not None and following <= now
    late_before = _late_before(specification, now, pause)
    if is_more and passed[-1] < late_before:
        # So many newer ones are late that none of the first is caught up.
        decided, caught_up = passed[:TICKS_PER_PASS_MAX], frozenset[Instant]()
        following = passed[TICKS_PER_PASS_MAX]
    else:
        decided = passed
        caught_up = _caught_up(specification, passed, late_before, is_more=is_more)
    return Judged(
        verdicts=tuple((at, _verdict(timetable, at, caught_up, late_before, pause)) for at in decided),
        cursor=following,
    )


def _passed(timetable: Timetable, cursor: Instant, now: Instant, most: int) -> tuple[list[Instant], Instant | None]:
    """The due instants from the cursor until now, at most so many, and the one after them."""
    passed = [cursor]
    following = _next_after(timetable, cursor)
    if following is None or following > now:
        return passed, following
    for following in islice(dues_after(timetable, cursor), most):
        if following > now or len(passed) == most:
            return passed, following
        passed.append(following)
    return passed, None


@lru_cache(maxsize=1024)
def _next_after(timetable: Timetable, instant: Instant) -> Instant | None:
    # What is due in the same second often has the same timetable, and to work it out takes longer than to store it.
    return next(dues_after(timetable, instant), None)


def _late_before(specification: ScheduleSpecification, now: Instant, pause: PastPause | None) -> Instant:
    late_before = after(now, -specification.grace_seconds)
    return max(late_before, pause.end) if pause else late_before


def _caught_up(
    specification: ScheduleSpecification, passed: Sequence[Instant], late_before: Instant, *, is_more: bool
) -> frozenset[Instant]:
    wanted = [at for at in passed if excluded_by(specification.timetable, at) is None]
    late = [at for at in wanted if at < late_before]
    match specification.catch_up:
        case CatchUp.NONE:
            return frozenset()
        case CatchUp.LATEST:
            a_newer_one_fires = is_more or len(wanted) > len(late)
            return frozenset(() if a_newer_one_fires else late[-1:])
        case CatchUp.ALL:
            return frozenset(late[-specification.catch_up_limit :])


def _verdict(
    timetable: Timetable, at: Instant, caught_up: frozenset[Instant], late_before: Instant, pause: PastPause | None
) -> Verdict:
    if excluded_by(timetable, at) is not None:
        return Verdict.EXCLUDED
    if at >= late_before:
        return Verdict.FIRE
    if at in caught_up:
        return Verdict.CATCH_UP
    is_paused = pause is not None and pause.begin <= at < pause.end
    return Verdict.PAUSED if is_paused else Verdict.MISS
