"""What tests of faults share: an instance, a witness, a seed, and the proof that a fault has fired."""

import random
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.faults.fired import SEED_NAME, Fired, chosen_seed
from tests.faults.witness import Witness
from tests.support.failure_report import add_tails
from tests.support.journey import Orchestra, end_marked_processes, started

ROOT = Path(__file__).parents[2]


def pytest_configure(config: pytest.Config) -> None:
    """`long`: takes minutes; `make faults` runs it, the smoke selection of `make journeys` does not."""
    config.addinivalue_line("markers", "long: takes minutes, for `make faults` only")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A test whose fault did not fire fails, if it has not failed before."""
    result = yield
    fired = getattr(item, "funcargs", {}).get("fired")
    if isinstance(fired, Fired):
        fired.assert_all()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure tells what the programs have said themselves."""
    report = yield
    add_tails(item, report)
    return report


@pytest.fixture(autouse=True)
def fired() -> Fired:
    """Every test says `fired("cut")` when it has seen its fault's effect."""
    return Fired()


@pytest.fixture(autouse=True)
def nothing_survives(tmp_path: Path) -> Iterator[None]:
    """Whatever a failed test has left behind, frozen processes included, ends with it."""
    yield
    end_marked_processes(str(tmp_path))


@pytest.fixture
def seed() -> int:
    """Of every random choice of the test; shown with the commit if it fails, and settable."""
    chosen = chosen_seed()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    print(f"{SEED_NAME}={chosen} at commit {commit.stdout.strip() or 'unknown'}")
    return chosen


@pytest.fixture
def chance(seed: int) -> random.Random:
    """What the test takes its choices from."""
    return random.Random(seed)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Orchestra]:
    """`orchestra up` without local workers: the test starts its own."""
    with started(Orchestra(tmp_path, slots=0)) as orchestra:
        yield orchestra


@pytest.fixture
def open_up(tmp_path: Path) -> Iterator[Orchestra]:
    """The same, where other hosts can reach it."""
    with started(Orchestra(tmp_path, slots=0, more=("--host", "0.0.0.0"))) as orchestra:
        yield orchestra


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    """Jobs leave a line for each begin and end, outside of anything that the product stores."""
    return Witness(tmp_path)
