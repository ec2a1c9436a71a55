"""A worker's disk that the kernel has made read-only: nothing new is taken, nothing is lost, and it passes."""

from pathlib import Path

from orchestra.network.client import API
from tests.faults.checker import check
from tests.faults.fired import Fired
from tests.faults.load import Load
from tests.faults.strace import injected
from tests.faults.witness import BEGINS, Witness
from tests.support.journey import Orchestra, running, wait_until


def test_a_run_that_ends_on_a_read_only_disk_is_told_when_it_can_be_written_again(
    up: Orchestra, tmp_path: Path, witness: Witness, fired: Fired
) -> None:
    load, gate = Load(up, witness), tmp_path / "gate"
    atlas = up.worker(tmp_path, "atlas")
    with running(atlas):
        number = load.trigger(gate=gate)
        witness.await_count(BEGINS, 1)
        wait_until(lambda: up.run(number).state == "running", what="the run")
        with injected(atlas.pid, tmp_path / "strace", calls="pwrite64", what="error=EROFS") as injection:
            gate.touch()
            wait_until(lambda: "journal_not_written" in atlas.output, what="the journal that cannot be written")
            following = load.trigger()
            wait_until(lambda: "cannot write its journal" in told_of(up, following), what="the offer to be refused")
            fired("read-only", injection.count)
        load.await_over(seconds=60)

        assert atlas.output.count("link_welcome") == 1, atlas.output
        assert not list((tmp_path / "atlas").glob("worker.db.broken-*"))
        assert up.run(following).attempts_counted == 1
        check(up, witness, load.expected).assert_none()


def told_of(up: Orchestra, number: int) -> str:
    """All that the run's events say."""
    return up.api.get(f"{API}/runs/{number}/events").body.decode()
