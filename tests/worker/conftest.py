"""A fake master and a worker folder, whose keeper does not outlive the test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.worker import given
from tests.worker.fake_master import FakeMaster


@pytest.fixture
async def master() -> AsyncIterator[FakeMaster]:
    master = FakeMaster()
    yield master
    await master.end()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "worker"
    yield path
    given.kill_keeper(path)
