"""The soak's page: its figures between two marks, and its picture."""

import os
import platform
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.faults.soak.breaking import Struck
from tests.faults.soak.samples import Sample
from tests.faults.soak.slopes import Growth, Slope
from tests.faults.soak.verdict import Verdict

DOCS = Path(__file__).parents[3] / "docs"
BEGIN, END = "<!-- figures: written by `make soak` -->", "<!-- end of figures -->"
MEBIBYTE = 1 << 20
OWN_PER_HOUR_MAX = 1_000_000.0
"""Bytes by which a process may grow."""
DESCRIPTORS_PER_HOUR_MAX = 0.0
SLOPES_MINUTES_MIN = 16.0
"""Five minutes are left then of the second half, after warming up."""
PACKAGES = ("websockets", "msgspec", "starlette", "uvicorn", "sqlalchemy", "asyncpg")


@dataclass(frozen=True, kw_only=True)
class Soak:
    """All that a soak has found."""

    minutes: float
    workers: int
    seed: int
    commit: str
    kinds: Counter[str]
    """Runs that were triggered, by kind."""
    struck: Sequence[Struck]
    missing: Sequence[str]
    """Kinds of faults that never came, or were never felt."""
    samples: Sequence[Sample]
    growths: Sequence[Growth]
    verdict: Verdict

    @property
    def has_slopes(self) -> bool:
        """Whether it was long enough for its slopes to be judged."""
        return self.minutes >= SLOPES_MINUTES_MIN

    @property
    def shortfalls(self) -> list[str]:
        """Why it has failed, in words; nothing if it has not."""
        found = [f"{len(self.verdict.violations.found)} violations"] if self.verdict.violations.found else []
        found += [f"no fault of this kind was felt: {kind}" for kind in self.missing]
        for growth in self.growths if self.has_slopes else ():
            if growth.own.exceeds(OWN_PER_HOUR_MAX):
                found.append(f"each {growth.kind} grows by {_megabytes(growth.own)} MB an hour")
            if growth.descriptors.exceeds(DESCRIPTORS_PER_HOUR_MAX):
                found.append(f"each {growth.kind} opens {_count(growth.descriptors)} descriptors more an hour")
            if growth.processes == 0:
                found.append(f"no {growth.kind} lived long enough to be measured")
        return found


def section(soak: Soak) -> str:
    """What stands between the marks."""
    verdict = soak.verdict
    shortfalls = soak.shortfalls
    outcome = [f"**It has failed**: {'; '.join(shortfalls)}."] if shortfalls else ["It has held."]
    if verdict.violations.found:
        outcome.append(f"```\n{verdict.violations}\n```")
    ends = ", ".join(f"{count:,} {state}" for state, count in verdict.ends.items())
    lost = f"{verdict.keeper_lost} runs were executing or about to when their keeper was killed, and say so."
    return "\n\n".join(
        [
            _setting(soak),
            *outcome,
            f"{verdict.runs:,} runs ({ends}), {verdict.executions:,} executions by the witness file. {lost}",
            _load_table(soak),
            f"### Faults\n\n{len(soak.struck)} were felt.",
            _table(("", "times"), _fault_lines(soak)),
            "### Memory and descriptors",
            f"Of one process of each kind, in the second half{'' if soak.has_slopes else '; too short to be judged'}:",
            _table(
                (
                    "",
                    "processes",
                    "samples",
                    "own memory, MiB",
                    "MB/h",
                    "resident, MB/h",
                    "descriptors",
                    "more per hour",
                ),
                [_growth_line(growth) for growth in soak.growths],
            ),
            "![Each process over the time](soak.svg)",
        ]
    )


def write_page(text: str, picture: str) -> None:
    """Replaces the figures and the picture, and leaves the rest of the page alone."""
    page = DOCS / "soak.md"
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")
    (DOCS / "soak.svg").write_text(picture)


def _setting(soak: Soak) -> str:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    kernel = platform.release().partition("-")[0]
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{time.strftime('%Y-%m-%d')}: {soak.minutes:g} minutes, {soak.workers} workers, seed {soak.seed}, commit"
        f" {soak.commit}; {os.cpu_count()} cores, {memory:.0f} GiB, Linux {kernel}, {platform.python_implementation()}"
        f" {platform.python_version()}, {versions}."
    )


def _load_table(soak: Soak) -> str:
    return _table(("triggered", "runs"), [(kind, f"{count:,}") for kind, count in soak.kinds.most_common()])


def _fault_lines(soak: Soak) -> Iterator[tuple[str, str]]:
    counts = Counter(one.kind for one in soak.struck)
    for kind in sorted([*counts, *soak.missing]):
        yield kind, f"{counts[kind]}"


def _growth_line(growth: Growth) -> tuple[str, ...]:
    return (
        growth.kind,
        f"{growth.processes}",
        f"{growth.samples:,}",
        f"{growth.own_bytes / MEBIBYTE:.1f}",
        _megabytes(growth.own),
        _megabytes(growth.resident),
        f"{growth.descriptors_mean:.1f}",
        _count(growth.descriptors),
    )


def _megabytes(slope: Slope) -> str:
    return f"{slope.per_hour / 1e6:+.2f} ± {slope.noise / 1e6:.2f}"


def _count(slope: Slope) -> str:
    return f"{slope.per_hour:+.2f} ± {slope.noise:.2f}"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, marks, *lines])
