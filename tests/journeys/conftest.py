"""What journeys share: an instance that is up, and a file in which jobs leave witness of every execution."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.journey import Orchestra, started


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Orchestra]:
    """`orchestra up` without local workers: the test starts its own."""
    with started(Orchestra(tmp_path, slots=0)) as orchestra:
        yield orchestra


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    """Jobs append a line for each execution, outside of anything that the product stores."""
    return tmp_path / "witness"
