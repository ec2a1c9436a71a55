"""Timetables in one line, for tests."""

from orchestra.timetable import Timetable, Trigger


def by_cron(*expressions: str, zone: str = "UTC") -> Timetable:
    """Due whenever one of the expressions says so."""
    return Timetable(triggers=tuple(Trigger(cron=each) for each in expressions), zone=zone)


def every(seconds: float, zone: str = "UTC") -> Timetable:
    """Due after each so many seconds."""
    return Timetable(triggers=(Trigger(every_seconds=seconds),), zone=zone)
