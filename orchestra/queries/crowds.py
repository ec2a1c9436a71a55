"""How many schedules are due at the same instant, told before one more is put there, with the way around it."""

from collections import Counter
from collections.abc import Collection, Mapping

import msgspec
from sqlalchemy import Connection, func, select

from orchestra.clock import Instant, to_datetime
from orchestra.cron.occurrences import next_after, upcoming
from orchestra.specification import ScheduleSpecification
from orchestra.storage.tables import jobs, projects, schedules
from orchestra.timetable import Timetable

CROWD = 40
"""So many schedules at one instant are worth a word: their runs wait for each other."""
_GROUPS_MAX = 200
"""Different specifications that are looked at, those that most schedules share first."""
_INSTANTS_MAX = 100
_WARNINGS_MAX = 3
_SPREAD = "write `H` instead of a fixed minute (`{}`), and each job takes one of its own"
_EXAMPLE = "H 2 * * *"
_FIELDS = 5
_SCHEDULES = schedules.join(jobs, jobs.c.id == schedules.c.job_id).join(projects, projects.c.id == jobs.c.project_id)
_IN_FORCE = (
    schedules.c.next_fire_at.is_not(None),
    schedules.c.retired_at.is_(None),
    schedules.c.enabled,
    jobs.c.enabled,
    jobs.c.disabled_by.is_(None),
)


def crowd_of_timetable(connection: Connection, timetable: Timetable, now: Instant) -> tuple[str, ...]:
    """A warning if very many others are due at the first instant at which this one would be."""
    first = next(iter(upcoming(timetable, now, 1)), None)
    if first is None:
        return ()
    number = func.count()
    shared = (
        select(schedules.c.specification, number)
        .select_from(_SCHEDULES)
        .where(*_IN_FORCE)
        .group_by(schedules.c.specification)
        .order_by(number.desc())
        .limit(_GROUPS_MAX)
    )
    others = sum(count for text, count in connection.execute(shared) if _is_due(text, first))
    if others < CROWD:
        return ()
    return (f"{others} others are due at {_shown(first)} as well: {_SPREAD.format(_spread_out(timetable))}",)


def crowds_of_plan(
    connection: Connection, project: str, dues: Mapping[str, Instant], changed: Collection[str]
) -> tuple[str, ...]:
    """A warning for each instant at which a changed schedule of the project is due together with very many.

    `dues` has the first instant of each of its jobs. Those of other projects count if it is the next one of theirs.
    """
    together = Counter(dues.values())
    touched = {dues[job] for job in changed if job in dues}
    wanted = [at for at, _ in together.most_common() if at in touched][:_INSTANTS_MAX]
    others = (
        select(schedules.c.next_fire_at, func.count())
        .select_from(_SCHEDULES)
        .where(*_IN_FORCE, schedules.c.next_fire_at.in_(wanted), projects.c.name != project)
        .group_by(schedules.c.next_fire_at)
    )
    for at, count in connection.execute(others):
        together[at] += count
    found = []
    for at in [at for at in sorted(wanted) if together[at] > CROWD][:_WARNINGS_MAX]:
        first, *more = sorted(job for job in changed if dues.get(job) == at)
        names = f"{first} and {len(more)} more of these" if more else first
        found.append(
            f"{together[at]} schedules are due at {_shown(at)}, {names} among them: {_SPREAD.format(_EXAMPLE)}"
        )
    return tuple(found)


def _shown(at: Instant) -> str:
    return f"{to_datetime(at):%Y-%m-%d %H:%M:%S} UTC"


def _is_due(specification: str, at: Instant) -> bool:
    timetable = msgspec.json.decode(specification, type=ScheduleSpecification).timetable
    return next_after(timetable, Instant(at - 1)) == at


def _spread_out(timetable: Timetable) -> str:
    """The first expression with an `H` for its minute, if it has a fixed one."""
    for trigger in timetable.triggers:
        fields = (trigger.cron or "").split()
        if len(fields) == _FIELDS and fields[0].isdigit():
            return " ".join(("H", *fields[1:]))
    return _EXAMPLE
