"""What the tests in a browser share: the instance, the browser, and one browsing per test that has to stay quiet."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.journey import end_marked_processes
from tests.website.browser.browsing import Browsing, chromium
from tests.website.browser.seeded import Seeded, seeded_instance


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    """One instance for all tests of a process: they add to it, and disturb nothing that others look at."""
    folder = tmp_path_factory.mktemp("seeded")
    try:
        with seeded_instance(folder) as seeded:
            yield seeded
    finally:
        end_marked_processes(str(folder))


# While it is open, Playwright's own event loop runs in this thread, and no asynchronous test could: hence not longer.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser of this machine."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def browsing(browser: Browser, seeded: Seeded) -> Iterator[Browsing]:
    """Pages to open; at the end nothing may have gone wrong in any of them."""
    browsing = Browsing(browser, seeded)
    yield browsing
    browsing.close()
    assert browsing.watch.words == []
