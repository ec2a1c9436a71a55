"""A person who looks at logs on the website while they are written."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from tests.support.journey import Orchestra, wait_until


class Reader:
    """Signed in, with a browser without scripts."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client
        self.slowest_seconds = 0.0

    def page(self, path: str) -> str:
        """The page's text; every page must be there."""
        begun = time.monotonic()
        answer = self._client.get(path)
        self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - begun)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer.text


@contextmanager
def reader(up: Orchestra) -> Iterator[Reader]:
    """The first administrator, by the link that `orchestra up` has printed."""
    found = wait_until(lambda: re.search(r"/sign-in\?link=(\S+)", up.program.output), what="the link")
    with httpx2.Client(base_url=up.address, timeout=60, follow_redirects=True) as client:
        client.post("/sign-in", data={"link": found[1]})
        yield Reader(client)
