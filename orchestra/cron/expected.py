"""When a run of a job is expected, and when it is missed: pure, over instants."""

from dataclasses import dataclass

from orchestra.clock import Instant, after, seconds_between
from orchestra.cron.occurrences import next_after
from orchestra.cron.sentence import sentence
from orchestra.durations import duration_in_words
from orchestra.limits import EXPECTED_EARLY_SECONDS, EXPECTED_PATIENCE_SECONDS, LATE_LOOK_SECONDS
from orchestra.specification import ExpectationSpecification


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """What is known of a job that is watched, at the moment when somebody looks."""

    expectation: ExpectationSpecification
    since: Instant
    """From when on it counts: since it was defined or changed, or its job enabled."""
    last_start: Instant | None
    """Of the newest run that has started."""
    look_at: Instant
    """When this look was to be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What a look finds: when to look again, or that a run is missed. Neither: nothing is expected any more."""

    look_at: Instant | None = None
    missed: Instant | None = None
    """When it was expected."""


def counted_from(watched: Watched) -> Instant:
    """The start of the last run, or the moment since which one is expected."""
    return max(watched.since, watched.last_start or watched.since)


def expected_at(expectation: ExpectationSpecification, begin: Instant) -> Instant | None:
    """When the run after this moment is expected, or None if there is no such instant.

    At an instant of a timetable a run may come a little early, because the clocks of two machines differ: it counts
    for the instant that follows it closely.
    """
    if expectation.every_seconds is not None:
        return after(begin, expectation.every_seconds)
    assert expectation.timetable is not None, "the checks of a definition want one of both"
    return next_after(expectation.timetable, after(begin, EXPECTED_EARLY_SECONDS))


def comes_for(expectation: ExpectationSpecification, start: Instant, due: Instant) -> bool:
    """Whether a run that started then is the one that was expected at `due`, or a later one."""
    following = expected_at(expectation, start)
    return following is None or following > due


def expectation_sentence(expectation: ExpectationSpecification) -> str:
    """`a run every 1 d, at most 2 h late`."""
    timetable = expectation.timetable
    when = sentence(timetable) if timetable else f"every {duration_in_words(expectation.every_seconds or 0)}"
    return f"a run {when[:1].lower()}{when[1:]}, at most {duration_in_words(expectation.grace_seconds)} late"


def missed_at(expectation: ExpectationSpecification, due: Instant) -> Instant:
    """When a run that was expected then counts as missed."""
    return after(due, expectation.grace_seconds)


def look(watched: Watched, now: Instant) -> Outlook:
    """Decides about one job. A look that comes late decides nothing yet: while nobody was there to look, nobody could
    take down what came either, and those who have kept it need a while to deliver it."""
    due = expected_at(watched.expectation, counted_from(watched))
    if due is None:
        return Outlook()
    limit = missed_at(watched.expectation, due)
    if now < limit:
        return Outlook(look_at=limit)
    if seconds_between(watched.look_at, now) > LATE_LOOK_SECONDS:
        return Outlook(look_at=after(now, EXPECTED_PATIENCE_SECONDS))
    return Outlook(missed=due)
