"""Instants that nobody could decide about in time: a master that was away, a schedule that was paused through a night
in which clocks change. What became of each can be read afterwards, as the page about schedules says."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from orchestra.clock import from_datetime, rfc3339
from orchestra.network.client import API
from tests.faults.wall_clock import WallClock
from tests.support.journey import Orchestra, started, wait_until

MINUTE = timedelta(minutes=1)
GRACE = timedelta(seconds=30)
AWAY = timedelta(minutes=130)
FIRED, CAUGHT_UP, MISSED = "fired", "fired: caught up", "skipped: missed"
PAUSED = "skipped: paused by admin: clocks change"
POLICIES = {"never": "none", "latest": "latest", "all": "all", "few": "{ all: 10 }"}
LIMITS = {"never": 0, "all": 100, "few": 10}


class Tick(msgspec.Struct, frozen=True):
    """One decision."""

    due_at: datetime
    decided_at: datetime
    decision: str
    run: int | None


class Ticks(msgspec.Struct, frozen=True):
    """A page of them, the newest first."""

    items: tuple[Tick, ...]
    next: str | None


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    """Of the master."""
    return WallClock(tmp_path)


@pytest.fixture
def up(tmp_path: Path, clock: WallClock) -> Iterator[Orchestra]:
    """`orchestra up` that goes by this clock, and has no workers."""
    orchestra = Orchestra(tmp_path, slots=0)
    orchestra.program = clock.rule(orchestra.program)
    with started(orchestra):
        yield orchestra


def ticks_of(up: Orchestra, job: str) -> list[Tick]:
    """Every decision about the job, in the order of their instants."""
    found: list[Tick] = []
    key: str | None = None
    while True:
        path = f"{API}/projects/ops/jobs/{job}/schedule/ticks"
        page = up.api.get(path, {"limit": 100, "cursor": key}).read(Ticks)
        found += page.items
        if page.next is None:
            return found[::-1]
        key = page.next


def is_decided_until(up: Orchestra, jobs: Sequence[str], instant: datetime) -> bool:
    """Whether the newest decision about each is not before this."""
    return all((ticks := ticks_of(up, job)) and ticks[-1].due_at >= instant for job in jobs)


def test_an_outage_over_a_hundred_instants_is_decided_as_each_policy_says(up: Orchestra, clock: WallClock) -> None:
    jobs = "".join(
        f"  {job}: {{ run: x, schedule: {{ every: 1m, overlap: allow, grace: 30s, catch-up: {policy} }} }}\n"
        for job, policy in POLICIES.items()
    )
    up.apply(f"orchestra: 1\nproject: ops\njobs:\n{jobs}")
    applied_at = clock.now()
    up.close_clients()
    up.program.kill()

    clock.set(round(AWAY.total_seconds()))
    back_at = clock.now()
    up.start()

    wait_until(lambda: is_decided_until(up, list(POLICIES), back_at - MINUTE), what="all to be decided")
    for job in POLICIES:
        ticks = ticks_of(up, job)
        dues = [tick.due_at for tick in ticks]
        assert applied_at < dues[0] <= applied_at + 2 * MINUTE
        assert dues == [dues[0] + number * MINUTE for number in range(len(dues))], "each once, and none left out"
        passed = [tick for tick in ticks if tick.decided_at == ticks[0].decided_at]
        assert len(passed) >= AWAY / MINUTE - 1
        assert [tick.decision for tick in passed] == expected(job, passed)
        assert all((tick.run is not None) == tick.decision.startswith("fired") for tick in ticks)
        made = [tick.run for tick in ticks if tick.run is not None]
        assert len(set(made)) == len(made)
        assert Counter(up.run(run).state for run in made[-5:]) == Counter({"pending": len(made[-5:])})


def expected(job: str, passed: Sequence[Tick]) -> list[str]:
    """What the table of the page makes of instants that were decided together."""
    late = [tick.due_at for tick in passed if tick.due_at < tick.decided_at - GRACE]
    limit = LIMITS.get(job, 1 if len(late) == len(passed) else 0)
    missed = max(0, len(late) - limit)
    return [MISSED] * missed + [CAUGHT_UP] * (len(late) - missed) + [FIRED] * (len(passed) - len(late))


NIGHTS = {
    "never": '{ cron: "30 2 * * *", zone: Europe/Paris, catch-up: none }',
    "latest": '{ cron: "30 2 * * *", zone: Europe/Paris, catch-up: latest, overlap: allow }',
    "clock": '{ cron: "*/30 2 * * *", zone: Europe/Paris, catch-up: { all: 3 }, overlap: allow }',
    "elapsed": "{ every: 1h, zone: Europe/Paris, catch-up: none }",
}


@pytest.mark.parametrize(
    ("day", "decided"),
    [
        # From 02:00 to 03:00 by the clocks there is no time: the fixed one is due at 03:00.
        (
            "2027-03-28",
            {
                "never": [("01:00", PAUSED)],
                "latest": [("01:00", CAUGHT_UP)],
                "clock": [],
                "elapsed": [(f"{hour:02}:00", PAUSED) for hour in range(6)] + [("06:00", FIRED)],
            },
        ),
        # That hour comes twice: the fixed time is due in the first of them, what follows the clock in both.
        (
            "2027-10-31",
            {
                "never": [("00:30", PAUSED)],
                "latest": [("00:30", CAUGHT_UP)],
                "clock": [("00:00", PAUSED), ("00:30", CAUGHT_UP), ("01:00", CAUGHT_UP), ("01:30", CAUGHT_UP)],
                "elapsed": [(f"{hour:02}:00", PAUSED) for hour in range(6)] + [("06:00", FIRED)],
            },
        ),
    ],
)
def test_a_pause_over_a_night_in_which_clocks_change_is_decided_when_it_is_over(
    up: Orchestra, clock: WallClock, day: str, decided: dict[str, list[tuple[str, str]]]
) -> None:
    midnight = datetime.fromisoformat(f"{day}T00:00+00:00")
    set_to(clock, midnight - timedelta(minutes=30))
    jobs = "".join(f"  {job}: {{ run: x, schedule: {schedule} }}\n" for job, schedule in NIGHTS.items())
    up.apply(f"orchestra: 1\nproject: ops\njobs:\n  awake: {{ run: x, schedule: every 10m }}\n{jobs}")
    over_at = midnight + timedelta(hours=6)
    for job in NIGHTS:
        body = {"reason": "clocks change", "until": rfc3339(from_datetime(over_at))}
        up.api.post(f"{API}/projects/ops/jobs/{job}/schedule/pause", body)

    set_to(clock, midnight + timedelta(hours=4))
    # What is not paused is decided under the new time, the others are not.
    wait_until(lambda: is_decided_until(up, ["awake"], midnight + timedelta(hours=4)), what="the later time")
    assert all(ticks_of(up, job) == [] for job in NIGHTS)
    set_to(clock, over_at - timedelta(seconds=2))

    wait_until(
        lambda: all(len(ticks_of(up, job)) >= len(ticks) for job, ticks in decided.items()), what="the end of the pause"
    )
    for job, expected_ticks in decided.items():
        ticks = ticks_of(up, job)
        assert [(f"{tick.due_at.astimezone(UTC):%H:%M}", tick.decision) for tick in ticks] == expected_ticks
        assert all(tick.decided_at >= over_at for tick in ticks)


def set_to(clock: WallClock, moment: datetime) -> None:
    """From now on it is this time, for the programs."""
    clock.set(round((moment - datetime.now(UTC)).total_seconds()))
