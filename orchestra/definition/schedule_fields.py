"""Reads when a job runs by itself: `"30 2 * * *"`, `@daily`, `every 15m`, `manual`, or a mapping with policies."""

from datetime import date, datetime
from enum import StrEnum
from typing import TypeVar

import msgspec

from orchestra.cron.expression import is_spread
from orchestra.definition.calendar_fields import Calendars, named_calendars
from orchestra.definition.document import Scalar
from orchestra.definition.values import Fields, Value
from orchestra.specification import CatchUp, Overlap, PropertyValue, ScheduleSpecification
from orchestra.timetable import Gap, Repeat, Timetable, Trigger

E = TypeVar("E", bound=StrEnum)

MANUAL = "manual"
_KEYS = (
    "cron", "every", "at", "zone", "start", "end", "only-in", "not-in", "clock-change",
    "overlap", "catch-up", "grace", "jitter", "parameters",
)  # fmt: skip
_HINTS = {
    "timezone": "did you mean `zone`?",
    "time-zone": "did you mean `zone`?",
    "tz": "did you mean `zone`?",
    "interval": "did you mean `every`?",
    "calendar": "did you mean `only-in` or `not-in`?",
    "calendars": "did you mean `only-in` or `not-in`?",
    "misfire": "did you mean `catch-up`?",
    "concurrency": "did you mean `overlap`?",
}
_REMEDY = 'write `schedule: "30 2 * * *"`, `schedule: "@daily"`, `schedule: every 15m` or `schedule: manual`'
_MOMENT = "write a day such as 2026-12-24, or a time of it such as 2026-12-24T18:00"
_USUAL = ScheduleSpecification(timetable=Timetable())


def read_schedule(value: Value, calendars: Calendars, *, job: str) -> ScheduleSpecification | None:
    """The schedule of this job (`ops/nightly`, which chooses the numbers of `H`), or None if it could not be read."""
    if value.scalar is not None:
        return _short_form(value, job)
    if value.is_list:
        value.refuse("is a list", "write one mapping; `cron`, `every` and `at` take lists")
        return None
    fields = value.fields(_KEYS, hints=_HINTS)
    if fields is None:
        return None
    if not {"cron", "every", "at"} & fields.values.keys():
        value.refuse("needs `cron`, `every` or `at`", _REMEDY)
        return None
    grace, jitter, parameters = fields.get("grace"), fields.get("jitter"), fields.get("parameters")
    grace_seconds, jitter_seconds = (each.duration() if each else None for each in (grace, jitter))
    catch_up, limit = _catch_up(fields.get("catch-up"))
    return ScheduleSpecification(
        timetable=_timetable(fields, calendars, job),
        overlap=_word(fields.get("overlap"), Overlap) or _USUAL.overlap,
        catch_up=catch_up,
        catch_up_limit=limit,
        grace_seconds=_USUAL.grace_seconds if grace_seconds is None else grace_seconds,
        jitter_seconds=jitter_seconds or 0.0,
        parameters=_given((parameters.named() or {}) if parameters else {}),
    )


def trigger_of(value: Value) -> Trigger | None:
    """What is written without a key: `every 15m` and `@every 15m`, or else a cron expression."""
    text = (value.text() or "").strip()
    for word in ("@every", "every"):
        if text.startswith(word):
            return _every(_part(value, text.removeprefix(word).strip(), "every"))
    value.findings.places[(*value.path, "cron")] = value.node.place
    return Trigger(cron=text)


def _short_form(value: Value, job: str) -> ScheduleSpecification | None:
    if value.scalar is not None and value.scalar.value == MANUAL:
        return ScheduleSpecification(timetable=Timetable())
    trigger = trigger_of(value)
    return None if trigger is None else ScheduleSpecification(timetable=_spread(Timetable(triggers=(trigger,)), job))


def _timetable(fields: Fields, calendars: Calendars, job: str) -> Timetable:
    cron, every, at = fields.get("cron"), fields.get("every"), fields.get("at")
    zone, only_in, not_in = fields.get("zone"), fields.get("only-in"), fields.get("not-in")
    changes = fields.get("clock-change")
    found = changes.fields(("gap", "overlap")) if changes else None
    triggers = (
        *((trigger_of(each) for each in cron.one_or_more()) if cron else ()),
        *((_every(each) for each in every.one_or_more()) if every else ()),
        *((_once(each) for each in at.one_or_more()) if at else ()),
    )
    timetable = Timetable(
        triggers=tuple(trigger for trigger in triggers if trigger is not None),
        zone=(zone.text() if zone else None) or "UTC",
        start=_moment(fields.get("start")),
        end=_moment(fields.get("end")),
        only_in=named_calendars(only_in, calendars) if only_in else (),
        not_in=named_calendars(not_in, calendars) if not_in else (),
        gap=_word(found.get("gap"), Gap) if found else None,
        repeat=_word(found.get("overlap"), Repeat) if found else None,
    )
    return _spread(timetable, job)


def _spread(timetable: Timetable, job: str) -> Timetable:
    """With the job's name if there is an `H` that needs one: a schedule of a renamed job without `H` stays the same."""
    if any(is_spread(trigger.cron) for trigger in timetable.triggers if trigger.cron):
        return msgspec.structs.replace(timetable, spread_by=job)
    return timetable


def _every(value: Value) -> Trigger | None:
    seconds = value.duration()
    return None if seconds is None else Trigger(every_seconds=seconds)


def _once(value: Value) -> Trigger | None:
    written = _moment(value)
    return None if written is None else Trigger(at=written)


def _moment(value: Value | None) -> str | None:
    """A day, or a time to the second, with or without an offset, in the one form that is stored."""
    written = value.text("a day or a time") if value else None
    if value is None or written is None:
        return None
    try:
        if len(written.strip()) == len("2026-12-24"):
            return date.fromisoformat(written.strip()).isoformat()
        return datetime.fromisoformat(written.strip()).isoformat(timespec="seconds")
    except ValueError:
        value.refuse(f'is no day and no time: "{written[:60]}"', _MOMENT)
        return None


def _catch_up(value: Value | None) -> tuple[CatchUp, int]:
    """`none`, `latest`, `all`, or `{ all: 10 }` for the newest ten at most."""
    if value is None:
        return _USUAL.catch_up, _USUAL.catch_up_limit
    if value.scalar is not None:
        return _word(value, CatchUp) or _USUAL.catch_up, _USUAL.catch_up_limit
    fields = value.fields(("all",))
    most = fields.get("all") if fields else None
    limit = most.whole("how many runs at most") if most else None
    return CatchUp.ALL, _USUAL.catch_up_limit if limit is None else limit


def _word(value: Value | None, words: type[E]) -> E | None:
    chosen = value.choice([str(word) for word in words]) if value else None
    return None if chosen is None else words(chosen)


def _part(value: Value, written: str, key: str) -> Value:
    return Value(Scalar(written, written, value.node.place), (*value.path, key), value.findings)


def _given(named: dict[str, Value]) -> dict[str, PropertyValue]:
    given: dict[str, PropertyValue] = {}
    for name, item in named.items():
        plain = item.scalar.value if item.scalar else None
        if plain is None:
            item.text()
        else:
            given[name] = plain
    return given
