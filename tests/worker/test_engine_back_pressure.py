"""The worker's disk is bounded while the master is there, and a worker that is cut off holds nobody back."""

from pathlib import Path

from orchestra.clock import SystemClock
from orchestra.limits import LOG_BACKLOG_BYTES_MAX
from orchestra_worker.keeper_files import log_length
from tests.worker import given
from tests.worker.fake_master import FakeMaster

PIECES = 80
PIECE_BYTES = 8 << 20
STILL_SECONDS = 0.7
WRITER = f"""
echo begun
while [ ! -e {{folder}}/go ]; do sleep 0.01; done
for number in $(seq {PIECES}); do
    head -c {PIECE_BYTES} /dev/zero
    sleep 0.01
done
touch {{folder}}/done
"""
TOTAL_BYTES = len("begun\n") + PIECES * PIECE_BYTES


class Standstill:
    """True once the log is larger than what may wait, and has not grown for a while though its writer is not done."""

    def __init__(self, log: Path, done: Path) -> None:
        self._log = log
        self._done = done
        self._clock = SystemClock()
        self._length = 0
        self._since = 0.0

    def __call__(self) -> bool:
        length, now = log_length(str(self._log)), self._clock.monotonic()
        if length != self._length:
            self._length, self._since = length, now
        assert not self._done.exists(), "nobody held the writer back"
        return length > LOG_BACKLOG_BYTES_MAX and now - self._since > STILL_SECONDS


async def test_a_log_that_grows_faster_than_it_is_stored_waits_and_goes_on_when_the_link_is_cut(
    master: FakeMaster, folder: Path, tmp_path: Path
) -> None:
    log = folder / "attempts" / "1-1"
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(WRITER.format(folder=tmp_path)))
        await master.until(lambda: stored.log == b"begun\n")
        # What was acknowledged last counts: from here on the master is there, and stores nothing.
        master.acknowledges = False
        (tmp_path / "go").touch()
        await given.until(Standstill(log, tmp_path / "done"))
        assert log_length(str(log)) < TOTAL_BYTES

        master.leave()
        await given.until(lambda: (tmp_path / "done").exists())
        await given.until(lambda: log_length(str(log)) == TOTAL_BYTES)


async def test_a_master_that_stores_again_lets_the_step_go_on(master: FakeMaster, folder: Path, tmp_path: Path) -> None:
    log = folder / "attempts" / "1-1"
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(WRITER.format(folder=tmp_path)))
        await master.until(lambda: stored.log == b"begun\n")
        master.acknowledges = False
        (tmp_path / "go").touch()
        await given.until(Standstill(log, tmp_path / "done"))

        master.acknowledge_all()
        await master.until(lambda: stored.final)

    assert len(stored.log) == TOTAL_BYTES
