"""Ten thousand runs of one project beside a deploy of another: it starts within a second, whatever fills the slots."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, select

from orchestra.clock import SystemClock
from orchestra.network.client import API
from orchestra.storage.jobs import job_by_name
from orchestra.storage.new_runs import create_run, run_of
from orchestra.storage.open import open_database
from orchestra.storage.tables import projects
from tests.support.journey import Orchestra, started, wait_until

FLOOD = """
orchestra: 1
project: scan
jobs:
  short: { run: sleep 0.1 }
  long: { run: sleep 600 }
"""
OPS = """
orchestra: 1
project: ops
SLOTS
jobs:
  deploy: { run: "true" }
"""
RUNS = 10_000
BATCH = 1000
SLOTS = 4
DEPLOYS = 5
START_SECONDS_MAX = 1.0


class Times(msgspec.Struct, frozen=True):
    """When a run was wanted, and when it began."""

    created_at: datetime
    started_at: datetime

    @property
    def waited_seconds(self) -> float:
        """Between the two."""
        return (self.started_at - self.created_at).total_seconds()


class Overview(msgspec.Struct, frozen=True):
    """How many runs of a state there are, up to a bound."""

    items: tuple[object, ...]


@contextmanager
def flooded(folder: Path, job: str, *, slots_of_ops: str = "") -> Iterator[Orchestra]:
    """An instance in which so many runs of the job wait, and as many run as can."""
    up = Orchestra(folder, slots=SLOTS)
    up.start()
    up.apply(FLOOD)
    up.apply(OPS.replace("SLOTS", slots_of_ops))
    up.stop()
    asyncio.run(pour(up.data, job))
    with started(up):
        yield up


async def pour(data: Path, job: str) -> None:
    """Makes the runs as a trigger makes them, without its way over HTTP, which would take minutes."""
    database = await open_database(data)
    try:
        for first in range(0, RUNS, BATCH):
            await database.write(partial(make_runs, job=job, first=first))
    finally:
        await database.close()


def make_runs(connection: Connection, *, job: str, first: int) -> None:
    """A part of them."""
    project = connection.execute(select(projects.c.id).where(projects.c.name == "scan")).scalar_one()
    found = job_by_name(connection, project, job)
    assert found is not None, "it was applied"
    now = SystemClock().now()
    for number in range(first, first + BATCH):
        create_run(connection, run_of(found, creation_key=f"flood-{number}", source="user ana", now=now))


def running_count(up: Orchestra) -> int:
    """How many run now."""
    return len(up.api.get(f"{API}/runs", {"status": "running"}).read(Overview).items)


def deploy(up: Orchestra) -> float:
    """Wants one and gives how many seconds it waited for its start, by its own times."""
    number = up.trigger("ops/deploy")
    assert up.finish(number).state == "succeeded"
    return up.api.get(f"{API}/runs/{number}").read(Times).waited_seconds


def test_a_deploy_starts_within_a_second_beside_a_flood_of_short_runs(tmp_path: Path) -> None:
    with flooded(tmp_path, "short") as up:
        wait_until(lambda: running_count(up) >= SLOTS, what="the slots to be busy")
        waited = []
        for _ in range(DEPLOYS):
            waited.append(deploy(up))
            time.sleep(0.3)
        left = up.api.get(f"{API}/runs", {"status": "pending"}).read(Overview).items

    print(f"waited {waited}")
    assert left, "the flood was over too soon to say anything"
    assert max(waited) <= START_SECONDS_MAX, waited


@pytest.mark.parametrize("count", [1, 2])
def test_a_deploy_starts_within_a_second_beside_long_runs_if_slots_are_reserved(tmp_path: Path, count: int) -> None:
    with flooded(tmp_path, "long", slots_of_ops=f"slots: {{ reserve: {{ count: {count} }} }}") as up:
        wait_until(lambda: running_count(up) == SLOTS - count, what="the slots that are not reserved to be busy")
        waited = [deploy(up) for _ in range(DEPLOYS)]
        still = running_count(up)

    print(f"waited {waited}")
    assert still == SLOTS - count
    assert max(waited) <= START_SECONDS_MAX, waited
