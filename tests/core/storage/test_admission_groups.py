"""Full groups: what becomes of a new run, of those that wait and of those that run, on both databases."""

import pytest

from orchestra.lifecycle import RunEvent
from orchestra.policies import Conflict, LockDemand, Policies, Uniqueness, WhenFull
from orchestra.storage.admission import Ruling
from orchestra.storage.database import Database, Signal, Topic
from tests.support.admissions import BY_REPOSITORY, Wishes, grouped

MADE, REFUSED = Ruling.MADE, Ruling.REFUSED
QUEUE, REJECT = WhenFull.QUEUE, WhenFull.REJECT
CANCEL_PENDING, CANCEL_RUNNING = WhenFull.CANCEL_PENDING, WhenFull.CANCEL_RUNNING
BACK_OFF = (RunEvent.OFFERED, RunEvent.STARTED, RunEvent.RETRY_PLANNED)
SUPERSEDED = "cancelled: cancelled by policy: superseded by #3"


@pytest.mark.parametrize(
    ("when_full", "states"),
    [
        (QUEUE, {1: "running", 2: "pending", 3: "pending"}),
        (CANCEL_PENDING, {1: "running", 2: SUPERSEDED, 3: "pending"}),
        (CANCEL_RUNNING, {1: "running: policy: superseded by #3", 2: SUPERSEDED, 3: "pending"}),
    ],
)
async def test_one_runs_one_waits_and_a_third_is_wanted(
    database: Database, when_full: WhenFull, states: dict[int, str]
) -> None:
    wishes = Wishes(database)
    patient, job = await wishes.job("patient", grouped(QUEUE)), await wishes.job("deploy", grouped(when_full))
    await wishes.ask(patient)
    await wishes.start(1)
    await wishes.ask(patient)
    signals = database.subscribe(Topic.STOPS)

    found = await wishes.ask(job)

    assert (found.ruling, found.run) == (MADE, 3)
    assert await wishes.states() == states
    if when_full is CANCEL_RUNNING:
        assert Signal(Topic.STOPS, "1") in await signals.wait(5)
    signals.close()


async def test_a_full_group_refuses_and_changes_nothing(database: Database) -> None:
    wishes = Wishes(database)
    job = await wishes.job("deploy", grouped(REJECT))
    await wishes.ask(job)
    await wishes.start(1)

    found = await wishes.ask(job)
    await wishes.end(1)
    again = await wishes.ask(job)

    assert (found.ruling, found.run) == (REFUSED, 1)
    assert found.words == "group ops/deploy is full: #1 is running"
    assert (again.ruling, await wishes.states()) == (MADE, {1: "succeeded", 2: "pending"})


@pytest.mark.parametrize("is_started", [True, False], ids=["running", "not given to a worker yet"])
@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_what_is_decided_does_not_depend_on_how_soon_runs_are_given_to_workers(
    database: Database, limit: int, is_started: bool
) -> None:
    wishes = Wishes(database)
    strict = await wishes.job("strict", grouped(REJECT, limit=limit))
    rulings = []
    for _ in range(limit + 1):
        found = await wishes.ask(strict)
        rulings.append(found.ruling)
        if found.ruling is MADE and is_started:
            await wishes.start(found.run)

    assert rulings == [MADE] * limit + [REFUSED]


@pytest.mark.parametrize("when_full", [CANCEL_PENDING, CANCEL_RUNNING])
async def test_nothing_is_cancelled_while_there_is_room(database: Database, when_full: WhenFull) -> None:
    wishes = Wishes(database)
    job = await wishes.job("deploy", grouped(when_full, limit=2))
    await wishes.ask(job)
    await wishes.start(1)

    await wishes.ask(job)

    assert await wishes.states() == {1: "running", 2: "pending"}


async def test_of_those_that_wait_the_ones_that_have_room_stay(database: Database) -> None:
    wishes = Wishes(database)
    job = await wishes.job("deploy", grouped(CANCEL_PENDING, limit=2))
    await wishes.ask(job)
    await wishes.start(1)
    for _ in range(3):
        await wishes.ask(job)

    assert await wishes.states() == {
        1: "running",
        2: "pending",
        3: "cancelled: cancelled by policy: superseded by #4",
        4: "pending",
    }


@pytest.mark.parametrize("when_full", [CANCEL_PENDING, CANCEL_RUNNING])
async def test_one_that_waits_for_its_next_attempt_makes_way(database: Database, when_full: WhenFull) -> None:
    wishes = Wishes(database)
    patient, job = await wishes.job("patient", grouped(QUEUE)), await wishes.job("deploy", grouped(when_full))
    await wishes.ask(patient)
    await wishes.move(1, *BACK_OFF)
    await wishes.ask(patient)
    await wishes.start(2)

    await wishes.ask(job)

    assert (await wishes.states())[1] == SUPERSEDED


@pytest.mark.parametrize("when_full", [CANCEL_PENDING, CANCEL_RUNNING])
async def test_one_that_was_made_for_later_stays(database: Database, when_full: WhenFull) -> None:
    wishes = Wishes(database)
    job = await wishes.job("deploy", grouped(when_full))
    await wishes.ask(job, delay_seconds=60.0)
    await wishes.ask(job)
    await wishes.start(2)

    await wishes.ask(job)

    assert (await wishes.states())[1] == "scheduled"


async def test_other_groups_locks_and_projects_jobs_are_left_alone(database: Database) -> None:
    wishes = Wishes(database)
    locks = (LockDemand(name="deploy"),)
    alone = await wishes.job("alone", Policies(locks=locks))
    job = await wishes.job("deploy", grouped(CANCEL_RUNNING, locks=locks))
    await wishes.ask(alone)
    await wishes.start(1)
    await wishes.ask(alone)

    await wishes.ask(job)

    assert await wishes.states() == {1: "running", 2: "pending", 3: "pending"}


async def test_a_replaced_run_does_not_fill_its_group_against_the_one_that_replaces_it(database: Database) -> None:
    wishes = Wishes(database)
    policies = Policies(
        concurrency=grouped(REJECT).concurrency, unique=Uniqueness(key=BY_REPOSITORY, conflict=Conflict.REPLACE)
    )
    job = await wishes.job("deploy", policies)
    await wishes.ask(job)
    await wishes.start(1)

    same, other = await wishes.ask(job), await wishes.ask(job, "api")

    assert (same.ruling, other.ruling) == (MADE, REFUSED)
    assert await wishes.states() == {1: "running: policy: replaced by #2", 2: "pending"}


async def test_a_refusal_by_the_group_stops_nothing_that_the_key_would_replace(database: Database) -> None:
    wishes = Wishes(database)
    policies = Policies(
        concurrency=grouped(REJECT).concurrency, unique=Uniqueness(key=BY_REPOSITORY, conflict=Conflict.REPLACE)
    )
    job, patient = await wishes.job("deploy", policies), await wishes.job("patient", grouped(QUEUE))
    await wishes.ask(job)
    await wishes.ask(patient)
    await wishes.start(2)

    found = await wishes.ask(job)

    assert (found.ruling, found.run) == (REFUSED, 2)
    assert await wishes.states() == {1: "pending", 2: "running"}
