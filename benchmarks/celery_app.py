"""What the peers' own interpreter runs: the application of Celery that starts processes, and a client of it.

celery -A benchmarks.celery_app worker          the worker
python -m benchmarks.celery_app RUNS            so many at once; prints the seconds until all results are there
"""

import os
import subprocess
import sys
import time

from celery import Celery

ARGV = ["/bin/echo", "hello"]
LOOK_SECONDS = 0.05
RESULTS_SECONDS_MAX = 600.0

app = Celery("peer", broker=os.environ["PEER_BROKER"], backend=os.environ["PEER_RESULTS"])
# Results are kept, as our runs are.
app.conf.result_expires = None


def execute() -> str:
    """What our worker does for a run: a process, its exit code, its output."""
    return subprocess.run(ARGV, check=True, stdout=subprocess.PIPE).stdout.decode()


execute_task = app.task(execute, name="execute")


def run_many(count: int) -> float:
    """Asks for all, and waits until all results are stored: by the cheapest look there is, a count of the keys."""
    results = app.backend.client
    results.flushdb()
    began = time.monotonic()
    asked = [execute_task.delay() for _ in range(count)]
    while results.dbsize() < count:
        if time.monotonic() - began > RESULTS_SECONDS_MAX:
            raise TimeoutError(f"{results.dbsize()} of {count} results")
        time.sleep(LOOK_SECONDS)
    seconds = time.monotonic() - began
    assert all(result.get(timeout=RESULTS_SECONDS_MAX) == "hello\n" for result in asked), "not all went well"
    return seconds


if __name__ == "__main__":
    print(run_many(int(sys.argv[1])))
