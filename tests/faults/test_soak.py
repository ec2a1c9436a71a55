"""The soak: a short one finds nothing, and its line through the memory of many processes finds what grows."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fired import Fired
from tests.faults.soak.__main__ import soaked
from tests.faults.soak.samples import Sample
from tests.faults.soak.slopes import growths, slope_of

HOUR = 3600.0


def samples(*, pid: int, first: float, last: float, per_hour: float, seed: int = 1) -> Iterator[Sample]:
    """A process that starts small, takes 20 MB in its first three minutes, and then grows by so much in an hour."""
    chance = random.Random(seed)
    for at in range(int(first), int(last), 10):
        age = at - first
        size = 30e6 + min(age, 180) / 180 * 20e6 + max(0.0, age - 180) / HOUR * per_hour + chance.gauss(0, 20e3)
        yield Sample(
            kind="agent",
            pid=pid,
            at_seconds=float(at),
            own_bytes=int(size),
            resident_bytes=int(2 * size),
            descriptors=12 + chance.randrange(3),
        )


def test_a_process_that_grows_is_found_beside_its_noise(fired: Fired) -> None:
    fired("planted")
    (growth,) = growths(list(samples(pid=1, first=0, last=1800, per_hour=3e6)))

    assert growth.own.exceeds(1e6)
    assert growth.own.per_hour == pytest.approx(3e6, abs=growth.own.noise)


def test_processes_that_are_started_again_do_not_look_like_growth(fired: Fired) -> None:
    fired("planted")
    starts = range(0, 1800, 450)
    seen = [one for first in starts for one in samples(pid=first + 1, first=first, last=first + 450, per_hour=0)]

    (growth,) = growths(sorted(seen, key=lambda one: one.at_seconds))

    assert growth.processes == 2
    assert not growth.own.exceeds(0.5e6)
    assert not growth.descriptors.exceeds(0)


def test_a_descriptor_that_leaks_now_and_then_is_found(fired: Fired) -> None:
    fired("planted")
    series = [[(float(at), 12.0 + at // 300) for at in range(0, 900, 10)]]

    assert slope_of(series).exceeds(0)


def test_levels_of_different_processes_are_no_slope(fired: Fired) -> None:
    fired("planted")
    slope = slope_of([[(0.0, 10.0), (60.0, 10.0)], [(600.0, 90.0), (660.0, 90.0)]])

    assert slope.per_hour == 0


def test_a_process_that_was_seen_once_says_nothing(fired: Fired) -> None:
    fired("planted")
    assert not slope_of([[(5.0, 10.0)]]).exceeds(0)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_short_soak_finds_no_violation(tmp_path: Path, seed: int, fired: Fired) -> None:
    soak, picture = soaked(tmp_path, minutes=2, runs=300, workers=4, seed=seed)

    soak.verdict.violations.assert_none()
    assert not soak.missing
    assert soak.kinds.total() == 300
    assert picture.count("<polyline") >= 2 * (2 + 1 + 4 + 4)
    fired("soak", len(soak.struck))
