"""All benchmarks, and the page they fill: `python -m benchmarks`, or `make bench`."""

import os
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.gentleness import gentleness_table, measure_gentleness
from benchmarks.history import compare_history, history_table
from benchmarks.latency import compare_latency
from benchmarks.log import compare_logs
from benchmarks.table import idleness_table, latency_table, log_table, throughput_table
from benchmarks.throughput import compare_throughput

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"
LONG_HISTORY, LARGE_LOG = 1_000_000, 1000
PACKAGES = ("websockets", "msgspec", "starlette", "uvicorn", "sqlalchemy")


def measure_all() -> str:
    """The section with every table."""
    parts = [_setting()]
    with tempfile.TemporaryDirectory(prefix="orchestra-bench-") as made:
        folders = [Path(made) / name for name in ("throughput", "latency", "log", "history", "gentleness")]
        for folder in folders:
            folder.mkdir()
        parts += ["### Throughput", throughput_table(compare_throughput(folders[0], 2000))]
        parts += ["### Latency", latency_table(compare_latency(folders[1], 500))]
        logs, idle = compare_logs(folders[2], 100, 30)
        parts += ["### Log", log_table(logs), "### Idle", idleness_table(idle)]
        answers = compare_history(folders[3], LONG_HISTORY)
        parts += [f"### A history of {LONG_HISTORY:,} runs", history_table(answers)]
        lags = measure_gentleness(folders[4], LARGE_LOG, LONG_HISTORY)
        parts += ["### How long a small request waits beside heavy ones", gentleness_table(lags)]
    return "\n\n".join(parts)


def write_page(section: str) -> None:
    """Replaces the figures on the page and leaves the rest of it alone."""
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{section}\n\n{END}{after}")


def _setting() -> str:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    kernel = platform.release().partition("-")[0]
    return (
        f"{time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores, {memory:.0f} GiB, Linux {kernel}, "
        f"{platform.python_implementation()} {platform.python_version()}, {versions}."
    )


if __name__ == "__main__":
    figures = measure_all()
    write_page(figures)
    print(figures)
