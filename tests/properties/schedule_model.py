"""When a schedule is due by the declared policy, in its plainest form: an independent engine says which wall-clock
times match, and each of them is looked up on the clock of the zone."""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from hypothesis import strategies as st

from orchestra.clock import Instant, from_datetime

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "America/Sao_Paulo",
    "Africa/Casablanca",
)
"""Whole hours, half an hour, none, at midnight, and a winter time that is the exception."""
FIRST_YEAR, LAST_YEAR = 2016, 2026
"""São Paulo changed its clocks, at midnight, until 2019."""
MINUTE = timedelta(minutes=1)
_FARTHEST = timedelta(hours=6)
"""No clock of these zones changes by more, so that what comes later cannot be due earlier."""


def due_instants(cron: str, zone: ZoneInfo, begin: datetime, end: datetime, *, most: int = 10**9) -> list[Instant]:
    """The first due instants later than `begin` and not later than `end`, in order."""
    found: set[datetime] = set()
    minute, hour = cron.split()[-5:-3]
    follows_clock = minute.startswith("*") or hour.startswith("*")
    last = end.astimezone(UTC) + _FARTHEST
    for wall in CronSim(cron, begin.astimezone(zone).replace(tzinfo=None) - _FARTHEST):
        if wall - (zone.utcoffset(wall) or timedelta()) > last.replace(tzinfo=None):
            break
        passes = _both_passes(wall, zone) if follows_clock else [_first_pass(wall, zone)]
        found.update(moment for moment in passes if begin < moment <= end)
        if len(found) == most:
            last = min(last, max(found) + _FARTHEST)
    return [from_datetime(moment) for moment in sorted(found)][:most]


def _both_passes(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """As often as the clock shows it: not at all, once, or twice."""
    passes = [wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    return [moment for moment in passes if moment.astimezone(zone).replace(tzinfo=None) == wall]


def _first_pass(wall: datetime, zone: ZoneInfo) -> datetime:
    """When the clock shows it for the first time; if it never does, when it shows the next time that there is."""
    if not (passes := _both_passes(wall, zone)):
        wall = wall.replace(second=0)
        while not (passes := _both_passes(wall, zone)):
            wall += MINUTE
    return min(passes)


@cache
def changes_of(zone: str) -> tuple[datetime, ...]:
    """The beginning of each UTC day in ten years within which the clocks of the zone change; a few days if none do."""
    clock, day = ZoneInfo(zone), timedelta(days=1)
    days = [datetime(FIRST_YEAR, 1, 1, tzinfo=UTC) + day * number for number in range(366 * (LAST_YEAR - FIRST_YEAR))]
    changing = [at for at in days if at.astimezone(clock).utcoffset() != (at + day).astimezone(clock).utcoffset()]
    return tuple(changing or days[::500])


def _field(low: int, high: int, *, steps: bool = True) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    step = st.integers(2, max(2, min(20, high)))
    # The engine takes `3-3/2` for `3/2`.
    spans = st.lists(number, min_size=2, max_size=2, unique=True).map(lambda pair: f"{min(pair)}-{max(pair)}")
    lists = st.lists(number, min_size=2, max_size=3, unique=True).map(lambda each: ",".join(map(str, sorted(each))))
    forms = [st.just("*"), number.map(str), spans, lists]
    if steps:
        forms += [step.map(lambda every: f"*/{every}"), st.tuples(spans, step).map(lambda pair: f"{pair[0]}/{pair[1]}")]
    return st.one_of(forms)


_days = st.one_of(st.just("*"), _field(1, 31), st.just("L"))
_weekdays = st.one_of(
    st.just("*"), _field(0, 6, steps=False), st.sampled_from(("7", "SUN", "mon,FRI", "6#1", "0L", "5L"))
)
_nights = st.tuples(_field(0, 59), _field(0, 4), st.just("*"), st.just("*"), st.just("*"))
_anything = st.tuples(_field(0, 59), _field(0, 23), _days, st.one_of(st.just("*"), _field(1, 12)), _weekdays)
_to_the_second = st.tuples(st.sampled_from(("0", "30", "7,59", "*/20")), _nights).map(lambda both: (both[0], *both[1]))


def _has_a_day(cron: str) -> bool:
    try:
        return CronSim(cron, datetime(2016, 1, 1)) is not None
    except CronSimError:
        return False  # The 30th of February.


expressions = st.one_of(_nights, _anything, _to_the_second).map(" ".join).filter(_has_a_day)
"""Mostly of the hours in which clocks change."""


@st.composite
def nights(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone, and a moment near one of its changes."""
    zone = draw(st.sampled_from(ZONES))
    day = draw(st.sampled_from(changes_of(zone)))
    seconds = draw(st.one_of(st.integers(-24, 30).map(lambda hours: hours * 3600), st.integers(-90_000, 110_000)))
    return zone, day + timedelta(seconds=seconds)
