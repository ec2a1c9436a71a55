"""Wall-clock time and the instants it stands for, on ordinary days and on those when clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from orchestra.errors import OrchestraError

_SECOND = timedelta(seconds=1)


class UnknownZone(OrchestraError):
    """A name is no time zone."""

    def __init__(self, zone: str) -> None:
        super().__init__(zone)
        self.zone = zone

    def __str__(self) -> str:
        return f"{self.zone[:60]!r} is no time zone: write one such as Europe/Paris or UTC"


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name; raises UnknownZone."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # ValueError: a name such as "../passwd"; OSError: a folder of the zone database, such as "Europe".
        raise UnknownZone(name) from None


def wall_of(moment: datetime, zone: ZoneInfo) -> datetime:
    """What the clocks of the zone show, without the zone."""
    return moment.astimezone(zone).replace(tzinfo=None)


def offset_of(moment: datetime) -> timedelta:
    """How far its clocks are ahead of UTC."""
    return moment.utcoffset() or timedelta()


def is_in_gap(wall: datetime, zone: ZoneInfo) -> bool:
    """Whether clocks go forward over this wall-clock time: no instant has it."""
    return offset_of(wall.replace(tzinfo=zone, fold=1)) > offset_of(wall.replace(tzinfo=zone, fold=0))


def first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """When this wall-clock time is (for the first time), or the first instant after the gap that swallowed it."""
    before = offset_of(wall.replace(tzinfo=zone, fold=0))
    moment = wall.replace(tzinfo=UTC) - before
    if not is_in_gap(wall, zone):
        return moment
    later = offset_of(wall.replace(tzinfo=zone, fold=1))
    return change_between(zone, wall.replace(tzinfo=UTC) - later, moment)


def change_between(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """When clocks change: the first instant of the offset that holds at `high` but not at `low`, to the second."""
    low = low.replace(microsecond=0)
    target = offset_of(low.astimezone(zone))
    while high - low > _SECOND:
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if offset_of(middle.astimezone(zone)) == target:
            low = middle
        else:
            high = middle
    return high
