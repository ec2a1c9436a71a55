"""Reads when runs of a job are expected: `every 1d, grace 2h`, `"0 2 * * *"`, or a mapping."""

from orchestra.cron.expression import is_spread
from orchestra.definition.document import Scalar
from orchestra.definition.schedule_fields import trigger_of
from orchestra.definition.values import Value
from orchestra.specification import ExpectationSpecification
from orchestra.timetable import Timetable, Trigger

_KEYS = ("every", "cron", "zone", "grace")
_HINTS = {
    "timezone": "did you mean `zone`?",
    "time-zone": "did you mean `zone`?",
    "tz": "did you mean `zone`?",
    "interval": "did you mean `every`?",
    "schedule": "did you mean `cron`?",
    "timeout": "did you mean `grace`?",
}
_REMEDY = 'write `expect: every 1d, grace 2h`, or `expect: { cron: "0 2 * * *", zone: Europe/Paris, grace: 2h }`'
_GRACE = ", grace "
_USUAL = ExpectationSpecification()


def read_expectation(value: Value, *, job: str) -> ExpectationSpecification | None:
    """What is expected of this job (`ops/backup`, which chooses the numbers of `H`), or None if it cannot be read."""
    if value.scalar is not None:
        return _short_form(value, job)
    if value.is_list:
        value.refuse("is a list", _REMEDY)
        return None
    fields = value.fields(_KEYS, hints=_HINTS)
    if fields is None:
        return None
    if ("every" in fields.values) == ("cron" in fields.values):
        value.refuse("needs either `every` or `cron`", _REMEDY)
        return None
    every, cron, zone, grace = (fields.get(key) for key in _KEYS)
    if every is not None and zone is not None:
        zone.refuse("stands beside `every`, which counts elapsed time", "remove it")
    seconds = grace.duration() if grace else None
    return _expectation(
        every.duration() if every else None,
        tuple(trigger for trigger in map(trigger_of, cron.one_or_more()) if trigger) if cron else (),
        (zone.text() if zone else None) or "UTC",
        _USUAL.grace_seconds if seconds is None else seconds,
        job,
    )


def _short_form(value: Value, job: str) -> ExpectationSpecification | None:
    written = (value.text() or "").strip()
    rule, has_grace, allowance = written.partition(_GRACE)
    grace = _part(value, allowance, "grace").duration() if has_grace else _USUAL.grace_seconds
    trigger = trigger_of(Value(Scalar(rule, rule, value.node.place), value.path, value.findings))
    if trigger is None or grace is None:
        return None
    if trigger.every_seconds is not None:
        return _expectation(trigger.every_seconds, (), "UTC", grace, job)
    return _expectation(None, (trigger,), "UTC", grace, job)


def _expectation(
    every: float | None, triggers: tuple[Trigger, ...], zone: str, grace: float, job: str
) -> ExpectationSpecification | None:
    if not triggers:
        return None if every is None else ExpectationSpecification(every_seconds=every, grace_seconds=grace)
    spread = any(is_spread(trigger.cron) for trigger in triggers if trigger.cron)
    timetable = Timetable(triggers=triggers, zone=zone, spread_by=job if spread else None)
    return ExpectationSpecification(timetable=timetable, grace_seconds=grace)


def _part(value: Value, written: str, key: str) -> Value:
    return Value(Scalar(written, written, value.node.place), (*value.path, key), value.findings)
