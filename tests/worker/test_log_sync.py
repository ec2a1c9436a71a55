"""Logs reach the disk about once a second, and idle workers sync nothing."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestra_worker.log_sync import LogSyncs
from tests.worker import given
from tests.worker.fake_master import FakeMaster


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were put on the disk, in their order."""
    found: list[Path] = []
    real = os.fdatasync

    def noting(descriptor: int) -> None:
        found.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", noting)
    return found


async def test_what_grew_is_synced_together_and_only_then(tmp_path: Path, synced: list[Path]) -> None:
    calls: list[int] = []

    async def at_once(function: Callable[[], None]) -> None:
        calls.append(1)
        function()

    syncs = LogSyncs(off_the_loop=at_once)
    logs = [tmp_path / name for name in ("one", "two")]
    for log in logs:
        log.write_text("output")
    running = asyncio.create_task(syncs.run(), name="syncs")
    for log in (*logs, logs[0], tmp_path / "forgotten"):
        syncs.note(log)

    await given.until(lambda: calls)
    running.cancel()

    assert sorted(synced) == logs
    assert len(calls) == 1


async def test_the_log_of_a_running_step_is_on_the_disk_within_a_second(
    master: FakeMaster, folder: Path, synced: list[Path]
) -> None:
    log = folder / "attempts" / "1-1" / "log"
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer("echo begun; until [ -e go ]; do sleep 0.02; done; echo more; sleep 1.5"))
        await master.until(lambda: b"begun" in stored.log)
        await given.until(lambda: log in synced, seconds=1.5)
        before = len(synced)
        (folder / "workspaces" / "demo" / "go").touch()
        await master.until(lambda: b"more" in stored.log)

        await given.until(lambda: log in synced[before:], seconds=1.5)
        await master.until(lambda: stored.final)
