"""Somebody's own package puts the parts together with a worker selector and a log store of its own."""

from pathlib import Path

import pytest

from tests.support.journey import PYTHON, Orchestra, Program, lines_of, running, started, wait_until
from tests.support.own_assembly.assemble import OWN_LOGS

ROOT = Path(__file__).parents[2]
JOBS = """
orchestra: 1
project: ops
jobs:
  speak:
    run: |
      echo "$ORCHESTRA_WORKER" >> {witness}
      echo "spoken by $ORCHESTRA_WORKER"
"""


@pytest.fixture
def own(tmp_path: Path) -> Orchestra:
    """An instance that the own package has put together, not yet started."""
    orchestra = Orchestra(tmp_path, slots=0)
    orchestra.program = Program(
        [PYTHON, "-m", "tests.support.own_assembly", str(orchestra.data), str(orchestra.port)],
        log=tmp_path / "own.log",
        environment={"PYTHONPATH": str(ROOT)},
    )
    return orchestra


def test_the_own_selector_chooses_and_the_own_store_keeps_the_log(
    own: Orchestra, tmp_path: Path, witness: Path
) -> None:
    with started(own):
        own.apply(JOBS.format(witness=witness))
        # By the product's own choice the one with more free slots would come first.
        workers = [own.worker(tmp_path, "alpha", slots=8), own.worker(tmp_path, "zulu", slots=2)]
        with running(*workers):
            wait_until(lambda: own.connected("alpha") and own.connected("zulu"), what="both workers")
            runs = [own.finish(own.trigger("ops/speak")) for _ in range(3)]
            logs = [own.log(run.id) for run in runs]
            own.program.kill()
            own.start()
            logs_after_restart = [own.log(run.id) for run in runs]

        assert [(run.state, run.worker) for run in runs] == [("succeeded", "zulu")] * 3
        assert lines_of(witness) == ["zulu"] * 3
        assert logs == logs_after_restart == [b"spoken by zulu\n"] * 3
        assert sorted(path.name for path in (own.data / OWN_LOGS).iterdir()) == [
            f"run-{run.id}-attempt-1.txt" for run in runs
        ]
        assert not (own.data / "logs").exists()
