"""Reads a schedule that somebody types into a form or a command: `30 2 * * *`, `@daily` or `every 15m`, and a zone."""

from orchestra.definition.faults import Fault
from orchestra.definition.schedule_checks import schedule_faults
from orchestra.durations import BadDuration, parse_duration
from orchestra.errors import InvalidFields
from orchestra.specification import ScheduleSpecification
from orchestra.timetable import Timetable, Trigger

_EVERY = ("@every", "every")


class ScheduleRefused(InvalidFields):
    """A typed schedule that means nothing; the pointers are `/cron` and `/zone`."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__([(_pointer(fault), f"{fault.sentence}; {fault.remedy}") for fault in faults])

    @property
    def mark(self) -> tuple[int, int] | None:
        """The wrong part of the expression: where it begins and how many characters it has; None if it is all."""
        for fault in self.faults:
            if _pointer(fault) == "/cron" and fault.length:
                return fault.offset, fault.length
        return None


def read_schedule_text(text: str, zone: str, *, job: str | None = None) -> Timetable:
    """The timetable, checked as in a definition; raises ScheduleRefused. `job` chooses the numbers of `H`."""
    stripped = text.strip()
    trigger = Trigger(cron=text)
    for word in _EVERY:
        if stripped.startswith(word):
            try:
                trigger = Trigger(every_seconds=parse_duration(stripped.removeprefix(word).strip()))
            except BadDuration as error:
                raise ScheduleRefused([Fault(("cron",), str(error), "write `every 15m`")]) from None
    timetable = Timetable(triggers=(trigger,), zone=zone.strip() or "UTC", spread_by=job)
    faults = list(schedule_faults(ScheduleSpecification(timetable=timetable), (), ()))
    if faults:
        raise ScheduleRefused(faults)
    return timetable


def _pointer(fault: Fault) -> str:
    return "/zone" if fault.path[-1:] == ("zone",) else "/cron"
