"""The wall-clock times that match a cron expression: plain calendar arithmetic, without any zone."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from heapq import merge
from itertools import groupby

from orchestra.cron.expression import CronExpression
from orchestra.errors import OrchestraError

_LAST_YEAR = 2200
_SATURDAY = 5
_DAY = timedelta(days=1)
_Question = tuple[str, Callable[[datetime], bool] | None]


class CronEngineMissing(OrchestraError):
    """The package that computes cron occurrences is not installed."""

    def __str__(self) -> str:
        return "computing cron times needs the package croniter: install this program with its 'server' extra"


def walls_after(expression: CronExpression, after: datetime) -> Iterator[datetime]:
    """Wall-clock times that match, later than this one, in order; raises CronEngineMissing."""
    return (wall for wall, _ in groupby(merge(*(_answers(question, after) for question in _questions(expression)))))


def _questions(expression: CronExpression) -> list[_Question]:
    """What the engine is asked: several texts, and what their answers must be besides, where it does not know all.

    - It takes `1 * 6#1` and `1 * l6` for the first of the month only if that is such a Saturday: two texts.
    - It knows no `lw`, the last workday of a month: that is one of its last six days.
    """
    seconds, minutes, hours, days, months, weekdays, *years = expression.text.split(" ")
    has_place = "#" in weekdays or "l" in weekdays

    def text(of_days: str, of_weekdays: str) -> str:
        return " ".join((seconds, minutes, hours, of_days, months, of_weekdays, *years))

    terms = days.split(",")
    others = ",".join(term for term in terms if term != "lw")
    found: list[_Question] = [(text("26-31", "*"), _is_last_workday)] if "lw" in terms else []
    both_fit = days.startswith("*") or weekdays.startswith("*")
    if both_fit or not (has_place or found):
        if others:
            found.append((text(others, weekdays), None))
        return found
    if others:
        found.append((text(others, "*"), None))
    return [*found, (text("*", weekdays), None)]


def _is_last_workday(wall: datetime) -> bool:
    following = wall + _DAY * (7 - wall.weekday() if wall.weekday() == _SATURDAY - 1 else 1)
    return wall.weekday() < _SATURDAY and following.month != wall.month


def _answers(question: _Question, after: datetime) -> Iterator[datetime]:
    text, fits = question
    return filter(fits, _engine(text, after)) if fits else _engine(text, after)


def _engine(text: str, after: datetime) -> Iterator[datetime]:
    try:
        from croniter import CroniterBadDateError, croniter
    except ImportError:
        raise CronEngineMissing from None
    engine = croniter(text, after.replace(microsecond=0), implement_cron_bug=True, second_at_beginning=True)
    while True:
        try:
            wall: datetime = engine.get_next(datetime)
        except CroniterBadDateError:
            return
        if wall.year > _LAST_YEAR:
            return
        yield wall
