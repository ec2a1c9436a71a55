"""What journeys share: an instance that is up, and a file in which jobs leave witness of every execution."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.support.failure_report import add_tails
from tests.support.journey import Orchestra, end_marked_processes, started


def pytest_configure(config: pytest.Config) -> None:
    """The marker of `tests/faults`, so that `-m 'not long'` is understood here alone as well."""
    config.addinivalue_line("markers", "long: takes minutes, for `make faults` only")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure tells what the programs have said themselves."""
    report = yield
    add_tails(item, report)
    return report


@pytest.fixture(autouse=True)
def nothing_survives(tmp_path: Path) -> Iterator[None]:
    """Whatever a failed test has left behind, frozen keepers and waiting steps included, ends with it."""
    yield
    end_marked_processes(str(tmp_path))


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Orchestra]:
    """`orchestra up` without local workers: the test starts its own."""
    with started(Orchestra(tmp_path, slots=0)) as orchestra:
        yield orchestra


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    """Jobs append a line for each execution, outside of anything that the product stores."""
    return tmp_path / "witness"
