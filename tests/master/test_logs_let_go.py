"""A log is let go of when its session ends, whoever hears of its run next."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import AttemptState
from orchestra.protocol.messages import Acknowledge, Chunk, Held
from orchestra.storage.database import Database
from tests.master.still_master import StillMaster
from tests.support import given

ATTEMPT = AttemptNumber(1)


@pytest.fixture
async def master(database: Database, tmp_path: Path) -> AsyncIterator[StillMaster]:
    """A master that does nothing by itself."""
    async with asyncio.TaskGroup() as tasks:
        made = StillMaster(database, tmp_path / "logs", tasks, await given.user(database))
        yield made
        for link in made.links:
            link.cancel()


def open_logs(folder: Path) -> list[str]:
    """The log files that this process has open."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            target = str(each.readlink())
        except FileNotFoundError:
            continue  # that of the listing itself
        if target.startswith(f"{folder}/"):
            found.append(Path(target).name)
    return found


def chunk(run: RunId, offset: int, content: bytes) -> Chunk:
    return Chunk(run=run, attempt=ATTEMPT, offset=offset, content=content)


def held(run: RunId, log_length: int) -> tuple[Held, ...]:
    return (Held(run=run, attempt=ATTEMPT, state=AttemptState.STARTED, sequence=1, log_length=log_length),)


async def test_a_worker_that_goes_away_leaves_no_log_open(master: StillMaster, tmp_path: Path) -> None:
    worker = await master.worker()
    run = await master.running(worker)
    worker.say(chunk(run, 0, b"begun\n"))
    while (await worker.hear(Acknowledge)).log_length == 0:
        pass
    assert open_logs(tmp_path / "logs") == [f"{run}-1.log"]

    worker.go_away()
    await master.links[0]

    assert open_logs(tmp_path / "logs") == []


async def test_an_older_session_does_not_take_the_log_from_the_newer_one(master: StillMaster, tmp_path: Path) -> None:
    worker = await master.worker()
    run = await master.running(worker)
    worker.say(chunk(run, 0, b"begun\n"))
    while (await worker.hear(Acknowledge)).log_length == 0:
        pass

    again = await master.worker(held(run, 6))
    await master.links[0]
    again.say(chunk(run, 6, b"more\n"))

    while (await again.hear(Acknowledge)).log_length < 11:
        pass
    assert open_logs(tmp_path / "logs") == [f"{run}-1.log"]
    assert (tmp_path / "logs" / "0" / f"{run}-1.log").read_bytes() == b"begun\nmore\n"
