"""Reads when a job runs by itself: `"30 2 * * *"`, `@daily`, `every 15m`, or a mapping with zone and overlap."""

from orchestra.definition.document import Scalar
from orchestra.definition.values import Value
from orchestra.specification import Overlap, PropertyValue, ScheduleSpecification

_KEYS = ("cron", "every", "zone", "overlap", "parameters")
_LATER = ("catch-up", "grace", "calendar", "jitter", "start", "end")
_HINTS = {
    "timezone": "did you mean `zone`?",
    "time-zone": "did you mean `zone`?",
    "tz": "did you mean `zone`?",
    "interval": "did you mean `every`?",
}
_REMEDY = 'write `schedule: "30 2 * * *"`, `schedule: "@daily"` or `schedule: every 15m`'


def read_schedule(value: Value) -> ScheduleSpecification | None:
    """The schedule, or None if it could not be read."""
    if value.is_list:
        value.refuse("is a list, but a job has one schedule in this version", "keep one of them")
        return None
    if value.scalar is not None:
        return _short_form(value)
    fields = value.fields(_KEYS, later=_LATER, hints=_HINTS)
    if fields is None:
        return None
    cron, every = fields.get("cron"), fields.get("every")
    if (cron is None) == (every is None):
        if not {"cron", "every"} & fields.values.keys() or cron is not None:
            value.refuse("needs either `cron` or `every`" if cron is None else "has both `cron` and `every`", _REMEDY)
        return None
    zone, overlap, parameters = fields.get("zone"), fields.get("overlap"), fields.get("parameters")
    named = (parameters.named() or {}) if parameters else {}
    return ScheduleSpecification(
        cron=cron.text() if cron else None,
        every_seconds=every.duration() if every else None,
        zone=(zone.text() if zone else None) or "UTC",
        overlap=Overlap((overlap.choice([str(word) for word in Overlap]) if overlap else None) or Overlap.SKIP),
        parameters=_given(named),
    )


def _short_form(value: Value) -> ScheduleSpecification | None:
    text = (value.text() or "").strip()
    if not text.startswith("every"):
        value.findings.places[(*value.path, "cron")] = value.node.place
        return ScheduleSpecification(cron=text)
    time = text.removeprefix("every").strip()
    seconds = Value(Scalar(time, time, value.node.place), (*value.path, "every"), value.findings).duration()
    return None if seconds is None else ScheduleSpecification(every_seconds=seconds)


def _given(named: dict[str, Value]) -> dict[str, PropertyValue]:
    given: dict[str, PropertyValue] = {}
    for name, item in named.items():
        plain = item.scalar.value if item.scalar else None
        if plain is None:
            item.text()
        else:
            given[name] = plain
    return given
