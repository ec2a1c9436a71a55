"""What the programs of a test have said themselves, beside its failure: of a machine far away it is all there is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

TAIL_BYTES = 6000


def add_tails(item: pytest.Item, report: pytest.TestReport) -> None:
    """The ends of all logs below the folders that the test knows, if it has failed."""
    if not report.failed:
        return
    for log in logs_of(item):
        report.sections.append((f"{report.when}: end of {log.parent.name}/{log.name}", tail_of(log)))


def logs_of(item: pytest.Item) -> Iterator[Path]:
    """What `Program` writes to: `up.log`, `atlas.log` and so on, directly below a folder that a fixture gives."""
    values = list(getattr(item, "funcargs", {}).values())
    for folder in dict.fromkeys(value for value in values if isinstance(value, Path)):
        yield from sorted(folder.glob("*.log"))


def tail_of(log: Path) -> str:
    """The last lines of a log, the first one whole."""
    with log.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(max(0, length - TAIL_BYTES))
        text = file.read().decode(errors="replace")
    return text if length <= TAIL_BYTES else text.partition("\n")[2]
