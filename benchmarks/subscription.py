"""A client that is subscribed to the events of an instance, and knows when it was told of the end of each run."""

import http.client
import json
import threading
import time

from orchestra.network.client import API

ENDS = "run.succeeded,run.failed,run.aborted,run.broke"
TOLD_SECONDS_MAX = 900.0


class Subscription:
    """One open stream of server-sent events, read in a thread of its own."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TOLD_SECONDS_MAX)
        self._connection.request("GET", f"{API}/events?types={ENDS}", headers={"Authorization": f"Bearer {token}"})
        self._answer = self._connection.getresponse()
        if self._answer.status != http.client.OK:
            raise RuntimeError(f"the events are refused: {self._answer.read()!r}")
        self._told: dict[int, int] = {}
        self._news = threading.Condition()
        threading.Thread(target=self._read, name="subscription", daemon=True).start()

    def told_at(self, run: int) -> int:
        """Waits for the end of a run, and gives the wall clock in nanoseconds when the client was told of it."""
        with self._news:
            if not self._news.wait_for(lambda: run in self._told, TOLD_SECONDS_MAX):
                raise TimeoutError(f"nobody told of the end of #{run}")
            return self._told.pop(run)

    def _read(self) -> None:
        try:
            while line := self._answer.readline():
                now = time.time_ns()
                if line.startswith(b"data: ") and (run := json.loads(line[6:]).get("run")) is not None:
                    with self._news:
                        self._told[run] = now
                        self._news.notify_all()
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass  # The instance was ended: the measurement is over.
