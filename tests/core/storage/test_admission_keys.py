"""Uniqueness: each scope with each answer to a conflict, on both databases."""

import pytest

from orchestra.lifecycle import RunEvent
from orchestra.policies import Conflict, UniqueScope
from orchestra.storage.admission import Ruling
from orchestra.storage.database import Database, Signal, Topic
from tests.support.admissions import Wishes, unique

PENDING, ACTIVE, WINDOW = UniqueScope.PENDING, UniqueScope.ACTIVE, UniqueScope.WINDOW
MADE, EXISTING, REFUSED = Ruling.MADE, Ruling.EXISTING, Ruling.REFUSED
HELD = (RunEvent.OFFERED, RunEvent.STARTED)

# How the first run stands: with whose scope it is in the way of the second one.
IN_THE_WAY = {
    "pending": ((), {PENDING, ACTIVE, WINDOW}),
    "offered": ((RunEvent.OFFERED,), {ACTIVE, WINDOW}),
    "running": (HELD, {ACTIVE, WINDOW}),
    "waits for a retry": ((*HELD, RunEvent.RETRY_PLANNED), {PENDING, ACTIVE, WINDOW}),
    "succeeded": ((*HELD, RunEvent.SUCCEEDED), {WINDOW}),
    "failed": ((*HELD, RunEvent.FAILED), {WINDOW}),
    "cancelled": ((RunEvent.CANCELLED,), {WINDOW}),
    "skipped": ((RunEvent.SKIPPED,), set[UniqueScope]()),
}
CASES = [(scope, events, scope in scopes) for events, scopes in IN_THE_WAY.values() for scope in UniqueScope]


@pytest.mark.parametrize(("scope", "events", "is_in_the_way"), CASES)
@pytest.mark.parametrize(
    ("conflict", "ruling"), [(Conflict.REJECT, REFUSED), (Conflict.RETURN_EXISTING, EXISTING)], ids=str
)
async def test_a_run_with_the_same_key_is_in_the_way_as_far_as_the_scope_reaches(
    database: Database,
    scope: UniqueScope,
    events: tuple[RunEvent, ...],
    is_in_the_way: bool,
    conflict: Conflict,
    ruling: Ruling,
) -> None:
    wishes = Wishes(database)
    job = await wishes.job("scan", unique(scope, conflict))
    await wishes.ask(job)
    await wishes.move(1, *events)

    found = await wishes.ask(job)

    assert (found.ruling, found.run) == ((ruling, 1) if is_in_the_way else (MADE, 2))
    assert len(await wishes.states()) == (1 if is_in_the_way else 2)


@pytest.mark.parametrize(
    ("scope", "events", "state"),
    [
        (PENDING, (), "cancelled: cancelled by policy: replaced by #2"),
        (PENDING, HELD, "running"),
        (ACTIVE, (), "cancelled: cancelled by policy: replaced by #2"),
        (ACTIVE, (RunEvent.OFFERED,), "assigned: policy: replaced by #2"),
        (ACTIVE, HELD, "running: policy: replaced by #2"),
        (ACTIVE, (*HELD, RunEvent.RETRY_PLANNED), "cancelled: cancelled by policy: replaced by #2"),
        (WINDOW, HELD, "running: policy: replaced by #2"),
        (WINDOW, (*HELD, RunEvent.SUCCEEDED), "succeeded"),
    ],
)
async def test_what_is_replaced_is_cancelled_or_asked_to_stop(
    database: Database, scope: UniqueScope, events: tuple[RunEvent, ...], state: str
) -> None:
    wishes = Wishes(database)
    job = await wishes.job("scan", unique(scope, Conflict.REPLACE))
    await wishes.ask(job)
    await wishes.move(1, *events)
    signals = database.subscribe(Topic.STOPS, Topic.RUN)

    found = await wishes.ask(job)

    assert (found.ruling, found.run) == (MADE, 2)
    assert await wishes.states() == {1: state, 2: "pending"}
    if "policy" in state:
        assert {Signal(Topic.STOPS, "1"), Signal(Topic.RUN, "1")} <= await signals.wait(5)
    signals.close()


@pytest.mark.parametrize("scope", UniqueScope)
async def test_another_key_and_another_job_are_not_in_the_way(database: Database, scope: UniqueScope) -> None:
    wishes = Wishes(database)
    job, other = await wishes.job("scan", unique(scope)), await wishes.job("index", unique(scope))

    found = [await wishes.ask(job), await wishes.ask(job, "api"), await wishes.ask(other)]

    assert [each.ruling for each in found] == [MADE] * 3


async def test_a_window_is_over_when_its_time_has_passed(database: Database) -> None:
    wishes = Wishes(database)
    job = await wishes.job("scan", unique(WINDOW, window_seconds=600.0))
    await wishes.ask(job)
    await wishes.start(1)
    wishes.later(599.0)
    await wishes.end(1)

    before = await wishes.ask(job)
    wishes.later(1.0)
    after = await wishes.ask(job)

    assert (before.ruling, after.ruling) == (REFUSED, MADE)
    assert before.words == "#1 has the same key 'web' and was made within the last 10m"


async def test_a_retry_is_made_though_the_window_is_not_over(database: Database) -> None:
    wishes = Wishes(database)
    job = await wishes.job("scan", unique(WINDOW))
    await wishes.ask(job)
    await wishes.move(1, *HELD, RunEvent.FAILED)

    again = await wishes.ask(job, retry_of=1)
    twice = await wishes.ask(job, retry_of=1)

    assert [again.ruling, twice.ruling, twice.run] == [MADE, REFUSED, 2]


async def test_who_begins_after_the_others_is_not_kept_out_by_those_that_are_stopping(database: Database) -> None:
    wishes = Wishes(database)
    job = await wishes.job("scan", unique(ACTIVE))
    await wishes.ask(job)
    await wishes.start(1)
    await wishes.stop(1)

    at_once, queued = await wishes.ask(job), await wishes.ask(job, is_queued=True)

    assert [at_once.ruling, queued.ruling] == [REFUSED, MADE]
    assert await wishes.states() == {1: "running: ana: enough", 2: "scheduled: it waits until #1 is over"}


async def test_a_run_for_later_is_made_whatever_there_is(database: Database) -> None:
    wishes = Wishes(database)
    job = await wishes.job("scan", unique(ACTIVE))
    await wishes.ask(job)

    later = await wishes.ask(job, delay_seconds=60.0)

    assert (later.ruling, await wishes.states()) == (MADE, {1: "pending", 2: "scheduled"})


async def test_a_run_for_later_is_in_the_way_of_one_that_is_wanted_now(database: Database) -> None:
    wishes = Wishes(database)
    job = await wishes.job("scan", unique(PENDING, Conflict.RETURN_EXISTING))
    await wishes.ask(job, delay_seconds=60.0)

    now = await wishes.ask(job)

    assert (now.ruling, now.run, now.words) == (EXISTING, 1, "#1 has the same key 'web' and is scheduled")
