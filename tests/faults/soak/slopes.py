"""By how much the processes of a kind grow in an hour, and how sure that is."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import fmean

from tests.faults.soak.samples import Sample

WARM_SECONDS_MAX = 180.0
"""After its start a process takes what it needs; that is no leak."""
BLOCK_SECONDS = 60.0
"""What is further apart is taken for independent."""
SAMPLES_MIN = 4
HOUR_SECONDS = 3600.0
Point = tuple[float, float]
"""Seconds and a value."""


@dataclass(frozen=True, kw_only=True)
class Slope:
    """A line through the values of several processes: one inclination for all, a height for each."""

    per_hour: float
    noise: float
    """Twice its standard error: a slope below it may be nothing."""

    def exceeds(self, bound: float) -> bool:
        """Whether it is beyond the bound by more than its noise."""
        return self.per_hour - self.noise > bound


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What became of the processes of a kind in the second half, restarts and warming up left out."""

    kind: str
    processes: int
    samples: int
    own_bytes: float
    """On average, of one process."""
    own: Slope
    resident: Slope
    descriptors_mean: float
    descriptors: Slope


def growths(samples: Sequence[Sample]) -> list[Growth]:
    """Of each kind that was there."""
    half = (samples[0].at_seconds + samples[-1].at_seconds) / 2
    warm_seconds = min(WARM_SECONDS_MAX, (samples[-1].at_seconds - half) / 4)
    kinds = list(dict.fromkeys(sample.kind for sample in samples))
    return [_growth(kind, _settled((one for one in samples if one.kind == kind), half, warm_seconds)) for kind in kinds]


def slope_of(series: Iterable[Sequence[Point]]) -> Slope:
    """The common slope; its error is by blocks of time, since neighbouring samples say the same."""
    centred = [_centred(points) for points in series]
    spread = sum(second**2 for points in centred for second, _ in points)
    if spread == 0:
        return Slope(per_hour=0.0, noise=inf)
    inclination = sum(second * value for points in centred for second, value in points) / spread
    # All processes have the same load at the same time: what pulls one pulls the others.
    blocks: defaultdict[int, float] = defaultdict(float)
    for points in centred:
        for second, value in points:
            blocks[int(second // BLOCK_SECONDS)] += second * (value - inclination * second)
    error = sqrt(sum(pull**2 for pull in blocks.values())) / spread
    return Slope(per_hour=inclination * HOUR_SECONDS, noise=2 * error * HOUR_SECONDS)


def _settled(samples: Iterable[Sample], half: float, warm_seconds: float) -> Mapping[int, list[Sample]]:
    """The samples that count, by process."""
    found: defaultdict[int, list[Sample]] = defaultdict(list)
    born: dict[int, float] = {}
    for sample in samples:
        since = born.setdefault(sample.pid, sample.at_seconds)
        if sample.at_seconds >= max(half, since + warm_seconds):
            found[sample.pid].append(sample)
    return {pid: each for pid, each in found.items() if len(each) >= SAMPLES_MIN}


def _growth(kind: str, settled: Mapping[int, list[Sample]]) -> Growth:
    every = [sample for each in settled.values() for sample in each]

    def slope(value: Callable[[Sample], float]) -> Slope:
        return slope_of([[(sample.at_seconds, value(sample)) for sample in each] for each in settled.values()])

    return Growth(
        kind=kind,
        processes=len(settled),
        samples=len(every),
        own_bytes=fmean(sample.own_bytes for sample in every) if every else 0.0,
        own=slope(lambda sample: sample.own_bytes),
        resident=slope(lambda sample: sample.resident_bytes),
        descriptors_mean=fmean(sample.descriptors for sample in every) if every else 0.0,
        descriptors=slope(lambda sample: sample.descriptors),
    )


def _centred(points: Sequence[Point]) -> list[Point]:
    middle, level = fmean(second for second, _ in points), fmean(value for _, value in points)
    return [(second - middle, value - level) for second, value in points]
