"""What was measured as tables in Markdown."""

import re
from collections.abc import Sequence

from benchmarks.measurements import LargeLog, Latency, Throughput
from benchmarks.processes import Memory

_ROLES = (
    ("orchestra_worker.keeper", "keeper"),
    ("orchestra_worker", "worker agent"),
    ("orchestra up", "master and service"),
    ("orchestra master", "master"),
    ("orchestra service", "service"),
    ("floor_master", "floor's master"),
    ("floor_worker", "floor's worker"),
)


COMMAND, SCRIPT = "`command: [echo, hello]`", "`run: echo hello`"
DISTRIBUTED = "over PostgreSQL, `command:`"
_FLOOR_OF = {COMMAND: "echo", SCRIPT: "script", DISTRIBUTED: "echo"}


def throughput_table(rows: Sequence[Throughput]) -> str:
    """Runs a second, and CPU per run; the ratio is to the floor that does the same."""
    floors = {row.name.removeprefix("floor, "): row for row in rows if row.name.startswith("floor, ")}
    same = {name: floors[kind] for name, kind in _FLOOR_OF.items()}
    lines = []
    for row in rows:
        floor = same.get(row.name)
        lines.append(
            (
                row.name,
                f"{row.runs:,}",
                f"{row.runs_per_second:,.0f}",
                f"{row.cpu_milliseconds_per_run:.2f}",
                "" if row.database_milliseconds_per_run is None else f"{row.database_milliseconds_per_run:.2f}",
                f"{floor.runs_per_second / row.runs_per_second:.1f}" if floor else "",
                f"{row.cpu_milliseconds_per_run / floor.cpu_milliseconds_per_run:.1f}" if floor else "",
                f"{row.foreign_percent:.0f}",
            )
        )
    head = ("", "runs", "runs/s", "CPU ms/run", "PostgreSQL ms/run", "× floor time", "× floor CPU", "foreign CPU %")
    return plain_table(head, lines)


def latency_table(rows: Sequence[Latency]) -> str:
    """Milliseconds; the last row is the floor."""
    lines = [
        (
            row.name,
            f"{row.samples}",
            f"{row.start_minimum:.1f}",
            f"{row.start_p50:.1f}",
            f"{row.start_p99:.1f}",
            f"{row.done_p50:.1f}",
            f"{row.done_p99:.1f}",
            f"{row.start_p50 / rows[-1].start_p50:.1f} / {row.done_p50 / rows[-1].done_p50:.1f}",
            f"{row.foreign_percent:.0f}",
        )
        for row in rows
    ]
    head = ("ms", "n", "start min", "start p50", "start p99", "done p50", "done p99", "× floor, p50", "foreign CPU %")
    return plain_table(head, lines)


def log_table(rows: Sequence[LargeLog]) -> str:
    """Megabytes a second, and by how much each process has grown."""
    lines = [
        (
            row.name,
            f"{row.megabytes}",
            f"{row.megabytes / row.seconds:.0f}",
            f"{row.cpu_seconds:.2f}",
            ", ".join(f"{role_of(process)} {grown:+.0f}" for process, grown in row.grown),
            f"{row.foreign_percent:.0f}",
        )
        for row in rows
    ]
    return plain_table(("", "MB", "MB/s", "CPU s", "growth of each process, MiB", "foreign CPU %"), lines)


def role_of(process: Memory) -> str:
    """What a process is in a word."""
    return next((role for mark, role in _ROLES if mark in process.command), re.split(r"\s", process.command)[0])


def plain_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first column is text, the others are figures."""
    rows = [head, ["---" if number == 0 else "---:" for number in range(len(head))], *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
