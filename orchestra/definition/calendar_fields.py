"""Reads the calendars of a project: `calendars: { holidays: [2026-12-25, 2026-12-28..2026-12-31] }`."""

from collections.abc import Mapping
from datetime import date, timedelta

from orchestra.definition.values import Value, did_you_mean
from orchestra.timetable import Calendar, Days

_RANGE = ".."
_DAY = timedelta(days=1)
_REMEDY = "write days such as 2026-12-25, or 2026-12-28..2026-12-31 for all of them"
Calendars = Mapping[str, Calendar]
Stretch = tuple[date, date]


def read_calendars(value: Value) -> Calendars:
    """The project's calendars by name, each with its days in order."""
    found = {}
    for name, item in (value.named("a mapping of names to lists of days") or {}).items():
        stretches = [stretch for day in item.one_or_more() if (stretch := _stretch(day)) is not None]
        found[name] = Calendar(name=name, days=_in_order(stretches))
    return found


def named_calendars(value: Value, calendars: Calendars) -> tuple[Calendar, ...]:
    """The calendars that are named here, one or several."""
    found = []
    for item in value.one_or_more():
        name = item.text("the name of a calendar")
        if name is None:
            continue
        calendar = calendars.get(name)
        if calendar is None:
            known = f"known are {', '.join(calendars)}" if calendars else "add it below `calendars:`"
            item.refuse(f'is no calendar of this project: "{name[:60]}"', did_you_mean(name, calendars) or known)
        else:
            found.append(calendar)
    return tuple(found)


def _stretch(value: Value) -> Stretch | None:
    written = value.text("a day or a range of days")
    if written is None:
        return None
    first, dots, last = (part.strip() for part in written.partition(_RANGE))
    try:
        stretch = date.fromisoformat(first), date.fromisoformat(last if dots else first)
    except ValueError:
        value.refuse(f'is no day or range of days: "{written[:60]}"', _REMEDY)
        return None
    if stretch[0] > stretch[1]:
        value.refuse(f'ends before it begins: "{written[:60]}"', f"write {last}..{first}")
        return None
    return stretch


def _in_order(stretches: list[Stretch]) -> tuple[Days, ...]:
    joined: list[Stretch] = []
    for first, last in sorted(stretches):
        if joined and first <= joined[-1][1] + _DAY:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return tuple(Days(first.isoformat(), last.isoformat()) for first, last in joined)
