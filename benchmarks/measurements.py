"""The measurements themselves, the same for every peer: throughput, latency, a large log."""

import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peer import Kind, Peer, read_stamp
from benchmarks.processes import Memory, cpu_seconds, memory, percentile, reset_peaks
from benchmarks.quiet import Foreign, wait_quiet


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """How many runs a peer has done, and what they cost."""

    name: str
    runs: int
    seconds: float
    cpu_milliseconds_per_run: float
    foreign_percent: float
    database_milliseconds_per_run: float | None = None
    """CPU of a database that is a program of its own; it is not in the other figure."""

    @property
    def runs_per_second(self) -> float:
        """Over the whole time, from the first request until the last run is over."""
        return self.runs / self.seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Milliseconds from the request, to the job's own first reading of the clock and to the visible end."""

    name: str
    samples: int
    start_minimum: float
    start_p50: float
    start_p99: float
    done_p50: float
    done_p99: float
    foreign_percent: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LargeLog:
    """One run that writes a large log."""

    name: str
    megabytes: int
    seconds: float
    cpu_seconds: float
    grown: tuple[tuple[Memory, float], ...]
    """Each process as it was before, and the MiB that it had grown at most."""
    foreign_percent: float


def measure_throughput(
    peer: Peer, kind: Kind, count: int, *, name: str = "", database: Sequence[int] = ()
) -> Throughput:
    """So many runs, as fast as they go; the processes of a `database` are counted apart."""
    everything = [*peer.roots, *database]
    wait_quiet(everything)
    with Foreign(everything) as foreign:
        before, began = (cpu_seconds(peer.roots), cpu_seconds(database)), time.monotonic()
        peer.run_many(kind, count)
        seconds = time.monotonic() - began
        used, used_by_database = cpu_seconds(peer.roots) - before[0], cpu_seconds(database) - before[1]
    return Throughput(
        name=name or peer.name,
        runs=count,
        seconds=seconds,
        cpu_milliseconds_per_run=1000 * used / count,
        foreign_percent=foreign.percent,
        database_milliseconds_per_run=1000 * used_by_database / count if database else None,
    )


def measure_latency(peer: Peer, folder: Path, samples: int, *, rest_seconds: float = 0.05) -> Latency:
    """One run after the other on an idle peer; the rests are random, so as not to fall into step with a poll."""
    peer.subscribe()
    wait_quiet(peer.roots)
    starts, ends = [], []
    with Foreign(peer.roots) as foreign:
        for number in range(samples + 1):
            start, end = time_one_run(peer, folder / f"stamp-{number}")
            if number:  # The first one warms up.
                starts.append(start)
                ends.append(end)
            time.sleep(random.uniform(0, 2 * rest_seconds))
    return Latency(
        name=peer.name,
        samples=samples,
        start_minimum=min(starts),
        start_p50=statistics.median(starts),
        start_p99=percentile(starts, 0.99),
        done_p50=statistics.median(ends),
        done_p99=percentile(ends, 0.99),
        foreign_percent=foreign.percent,
    )


def measure_log(peer: Peer, megabytes: int) -> LargeLog:
    """One run with so much log, until all of it is stored."""
    wait_quiet(peer.roots)
    before = {row.pid: row for row in memory(peer.roots)}
    reset_peaks(peer.roots)
    with Foreign(peer.roots) as foreign:
        used, began = cpu_seconds(peer.roots), time.monotonic()
        run = peer.trigger(Kind.LOG, str(megabytes))
        peer.told_at(run)
        seconds = time.monotonic() - began
        used = cpu_seconds(peer.roots) - used
    return LargeLog(
        name=peer.name,
        megabytes=megabytes,
        seconds=seconds,
        cpu_seconds=used,
        grown=tuple(
            (before[row.pid], row.peak_mib - before[row.pid].resident_mib)
            for row in memory(peer.roots)
            if row.pid in before
        ),
        foreign_percent=foreign.percent,
    )


def time_one_run(peer: Peer, stamp: Path) -> tuple[float, float]:
    """How many milliseconds after the request it started, and was known to be over; somebody must have subscribed."""
    sent = time.time_ns()
    run = peer.trigger(Kind.STAMP, str(stamp))
    # The client only listens: a poll would take the processor from what is being measured.
    done = peer.told_at(run)
    started = read_stamp(stamp)
    stamp.unlink()
    return (started - sent) / 1e6, (done - sent) / 1e6
