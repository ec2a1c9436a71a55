"""What the kernel and the metrics tell of a running process, so that a bound is measured and not believed."""

import re
from pathlib import Path

from tests.support.journey import Instance


def resident_bytes(pid: int) -> int:
    """What the process has in memory now."""
    return _status(pid, "VmRSS")


def resident_peak_bytes(pid: int) -> int:
    """The most that the process ever had in memory since it began, or since `forget_peak`."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """From now on the peak counts anew (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def processor_seconds(pid: int) -> float:
    """What the process has used of the processors so far."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / 100


def metric(instance: Instance, name: str) -> float:
    """The value of a metric without labels; 0 if it was never told."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", instance.api.get("/metrics").body.decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def histogram(instance: Instance, name: str) -> dict[float, float]:
    """The buckets of a histogram without labels: how many were at most so much."""
    text = instance.api.get("/metrics").body.decode()
    return {float(bound): float(count) for bound, count in re.findall(rf'{name}_bucket{{le="(\S+)"}} (\S+)', text)}


def _status(pid: int, field: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) << 10
