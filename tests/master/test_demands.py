"""Groups, locks, rates, shares and reserves as the dispatcher keeps them, over rows of both databases."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select, update

from orchestra.clock import Instant
from orchestra.identifiers import JobId, ProjectId, RunId
from orchestra.lifecycle import RunState
from orchestra.limits import HOLD_BACK_SECONDS, REFUSED_OFFER_SECONDS
from orchestra.policies import Concurrency, LockDemand, Policies, Rate
from orchestra.protocol.messages import Offer, Refuse
from orchestra.specification import Matching, Operator, Requirement, RetryPolicy, SlotReserve
from orchestra.storage.database import Signal, Topic
from orchestra.storage.declared_locks import declare_locks
from orchestra.storage.jobs import add_version
from orchestra.storage.open import open_database
from orchestra.storage.quarantine import release_job
from orchestra.storage.runs import request_stop
from orchestra.storage.tables import jobs, projects, runs
from tests.master.demand_room import ATTEMPT, Room
from tests.master.still_master import StillMaster
from tests.support import given

ONE_AT_A_TIME = Policies(concurrency=Concurrency())


async def test_a_group_lets_so_many_run_and_the_next_when_one_is_over(room: Room) -> None:
    worker = await room.master.worker(slots=5)
    policies = Policies(concurrency=Concurrency(group="deploy-{parameters.env}", limit=2))
    north = [await room.run(policies, parameters={"env": "north"}) for _ in range(3)]
    south = await room.run(policies, parameters={"env": "south"})

    assert await room.dispatch() == [*north[:2], south]
    assert await room.dispatch() == []
    await room.end(worker, north[0])
    assert await room.dispatch() == [north[2]]


async def test_groups_of_the_same_name_in_two_projects_are_two(room: Room) -> None:
    await room.master.worker(slots=5)
    policies = Policies(concurrency=Concurrency(group="deploy"))

    made = [await room.run(policies, project=project) for project in ("ops", "shop")]

    assert await room.dispatch() == made


async def test_a_lock_is_shared_by_jobs_and_projects(room: Room) -> None:
    worker = await room.master.worker(slots=5)
    first = await room.run(Policies(locks=(LockDemand(name="gate"),)))
    second = await room.run(Policies(locks=(LockDemand(name="gate"), LockDemand(name="other"))), project="shop")

    assert await room.dispatch() == [first]
    await room.end(worker, first)
    assert await room.dispatch() == [second]


async def test_a_declared_lock_has_its_capacity(room: Room) -> None:
    await room.master.worker(slots=9)
    first = await room.run(Policies(locks=(LockDemand(name="license", count=2),)))
    project = await room.database.read(
        lambda connection: ProjectId(connection.execute(select(projects.c.id)).scalar_one())
    )
    await room.database.write(lambda connection: declare_locks(connection, project, {"license": 5}))

    large = await room.run(Policies(locks=(LockDemand(name="license", count=2),)))
    more = [await room.run(Policies(locks=(LockDemand(name="license"),))) for _ in range(2)]

    assert await room.dispatch() == [first, large, more[0]]


async def test_who_waits_for_a_full_lock_lets_others_go(room: Room) -> None:
    await room.master.worker(slots=5)
    made = [await room.run(ONE_AT_A_TIME, job="backup") for _ in range(3)]
    free = await room.run()

    assert await room.dispatch() == [made[0], free]


@pytest.mark.parametrize("way", ["refused", "retried", "aborted", "lost"])
async def test_whatever_ends_an_attempt_gives_back_what_it_held(room: Room, way: str) -> None:
    worker = await room.master.worker(slots=5)
    retry = RetryPolicy(max_attempts=2, wait_seconds=60)
    first = await room.run(ONE_AT_A_TIME, retry=retry, job="backup")
    second = await room.run(ONE_AT_A_TIME, retry=retry, job="backup")
    assert await room.dispatch() == [first]

    match way:
        case "refused":
            worker.say(Refuse(run=first, attempt=ATTEMPT, reason="disk is full"))
            await room.master.reaches(first, RunState.PENDING)
            await room.change(update(runs).where(runs.c.id == first).values(rank=2**62))
            await room.master.worker(name="other", slots=2)
        case "retried":
            await room.end(worker, first, exit_code=1)
            assert await room.state(first) is RunState.SCHEDULED
        case "aborted":
            await room.database.write(
                lambda connection: request_stop(connection, first, by="ana", reason="", now=Instant(1))
            )
            await room.end(worker, first)
        case "lost":
            await room.lose(first)

    assert await room.dispatch() == [second]


async def test_a_rate_is_kept_in_every_window(room: Room) -> None:
    worker = await room.master.worker(slots=9)
    policies = Policies(rate=Rate(starts=2, per_seconds=60.0))
    made = [await room.run(policies, job="scan") for _ in range(4)]

    assert await room.dispatch() == made[:2]
    await room.end(worker, made[0])
    assert await room.dispatch() == []
    assert room.master.dispatcher.rest_seconds == pytest.approx(60.0)
    room.master.clock.advance(seconds=30)
    assert await room.dispatch() == []
    room.master.clock.advance(seconds=30)
    assert await room.dispatch() == made[2:]


async def test_an_offer_that_was_taken_back_does_not_count_as_a_start(room: Room) -> None:
    worker = await room.master.worker(slots=9)
    policies = Policies(rate=Rate(starts=1, per_seconds=60.0))
    run = await room.run(policies, job="scan")
    assert await room.dispatch() == [run]

    worker.say(Refuse(run=run, attempt=ATTEMPT, reason="disk is full"))
    await room.master.reaches(run, RunState.PENDING)
    await room.master.worker(name="other", slots=2)

    assert await room.dispatch() == [run]


async def test_a_flood_of_one_project_does_not_hold_up_another(room: Room) -> None:
    worker = await room.master.worker(slots=1)
    flood = [await room.run(project="scan", job="scan") for _ in range(20)]
    deploy = await room.run(project="ops")

    order = []
    for _ in range(3):
        (gone,) = await room.dispatch()
        order.append(gone)
        room.master.clock.advance(seconds=1)
        await room.end(worker, gone)

    assert order[0] == flood[0]
    assert deploy in order


async def test_slots_are_divided_by_shares_over_many_runs(room: Room) -> None:
    worker = await room.master.worker(slots=2)
    for _ in range(60):
        await room.run(project="scan", job="scan")
        await room.run(project="ops", job="build")
    await room.change(update(projects).where(projects.c.name == "ops").values(share=3))

    given_to: list[str] = []
    going: list[RunId] = []
    while len(given_to) < 40:
        going += (gone := await room.dispatch())
        for run in gone:
            given_to.append(str(await given.column_of(room.database, run, "project_id")))
        room.master.clock.advance(seconds=1)
        await room.end(worker, going.pop(0))

    ops = str(await given.column_of(room.database, going[0], "project_id"))
    counts = sorted(given_to.count(each) for each in set(given_to))
    assert ops in given_to
    assert counts == [pytest.approx(10, abs=2), pytest.approx(30, abs=2)]


async def test_a_reserve_leaves_a_slot_for_its_project(room: Room) -> None:
    await room.master.worker(slots=3)
    flood = [await room.run(project="scan", job="scan") for _ in range(4)]
    await room.run(project="ops", job="idle", priority=-100)
    await room.change(
        update(runs).where(runs.c.priority == -100).values(stop_requested_at=1, stop_requested_by="ana"),
        update(projects)
        .where(projects.c.name == "ops")
        .values(reserve=msgspec.json.encode(SlotReserve(count=1)).decode()),
    )

    assert await room.dispatch() == flood[:2]
    deploy = await room.run(project="ops")
    assert await room.dispatch() == [deploy]


async def test_a_reserve_is_of_the_workers_that_it_names(room: Room) -> None:
    await room.master.worker(slots=2)
    flood = [await room.run(project="scan", job="scan") for _ in range(3)]
    windows = Requirement(name="os", operator=Operator.IN, values=("windows",))
    reserve = SlotReserve(count=1, requirements=(windows,))
    await room.change(update(projects).values(reserve=msgspec.json.encode(reserve).decode()))

    assert await room.dispatch() == flood[:2]


async def test_a_large_run_is_not_passed_by_for_ever(room: Room) -> None:
    worker = await room.master.worker(slots=3)
    small = [await room.run(job="small") for _ in range(3)]
    assert await room.dispatch() == small
    large = await room.run(matching=Matching(slots=3), priority=-1)
    late = [await room.run(job="small", priority=9) for _ in range(6)]

    await room.end(worker, small[0])
    assert await room.dispatch() == [late[0]]
    room.master.clock.advance(seconds=HOLD_BACK_SECONDS)
    for run in [small[1], small[2]]:
        await room.end(worker, run)
        assert await room.dispatch() == []
    await room.end(worker, late[0])

    assert await room.dispatch() == [large]
    await room.end(worker, large)
    assert await room.dispatch() == late[1:4]


async def test_a_large_run_whose_offer_was_refused_has_waited_all_the_while(room: Room) -> None:
    worker = await room.master.worker(slots=3)
    large = await room.run(matching=Matching(slots=3))
    room.master.clock.advance(seconds=HOLD_BACK_SECONDS)
    assert await room.dispatch() == [large]
    worker.say(Refuse(run=large, attempt=ATTEMPT, reason="disk is full"))
    await room.master.reaches(large, RunState.PENDING)
    await room.run(job="small", priority=9)

    room.master.clock.advance(seconds=REFUSED_OFFER_SECONDS)

    assert await room.dispatch() == [large]


async def test_no_room_is_kept_for_a_large_run_that_no_worker_here_can_take(room: Room) -> None:
    worker = await room.master.worker(slots=3)
    await room.run(matching=Matching(slots=4))
    small = [await room.run(job="small") for _ in range(4)]
    assert await room.dispatch() == small[:3]
    room.master.clock.advance(seconds=2 * HOLD_BACK_SECONDS)

    await room.end(worker, small[0])

    assert await room.dispatch() == [small[3]]


async def test_nothing_is_kept_for_a_run_that_needs_more_of_a_lock_than_there_is(room: Room) -> None:
    await room.master.worker(slots=3)
    await room.run(Policies(locks=(LockDemand(name="gate", count=2),)), matching=Matching(slots=2))
    assert await room.dispatch() == []
    room.master.clock.advance(seconds=HOLD_BACK_SECONDS)

    small = [await room.run(Policies(locks=(LockDemand(name="gate"),))), await room.run(), await room.run()]

    assert await room.dispatch() == small


async def test_a_rate_that_is_changed_while_runs_wait_holds_for_those_that_are_made_by_it(room: Room) -> None:
    worker = await room.master.worker(slots=5)
    before, afterwards = Rate(starts=1, per_seconds=60), Rate(starts=2, per_seconds=3600)
    old = [await room.run(Policies(rate=before), job="scan") for _ in range(2)]
    assert await room.dispatch() == old[:1]
    changed, now = given.specification(policies=Policies(rate=afterwards)), room.master.clock.now()
    await room.database.write(lambda connection: add_version(connection, JobId(1), changed, now=now))
    new = [await room.run(job="scan") for _ in range(5)]
    assert await room.dispatch() == new[:1]

    room.master.clock.advance(seconds=60)
    await room.end(worker, old[0])
    assert await room.dispatch() == old[1:]
    room.master.clock.advance(seconds=60)
    await room.end(worker, old[1])
    assert await room.dispatch() == []
    room.master.clock.advance(seconds=3600 - 120)
    await room.end(worker, new[0])

    assert await room.dispatch() == new[1:2]


async def test_no_lock_is_kept_for_a_run_whose_rate_is_used_up(room: Room) -> None:
    worker = await room.master.worker(slots=3)
    gate = (LockDemand(name="gate"),)
    rated = [await room.run(Policies(locks=gate, rate=Rate(starts=1, per_seconds=3600)), job="rated") for _ in range(2)]
    assert await room.dispatch() == rated[:1]
    await room.end(worker, rated[0])
    room.master.clock.advance(seconds=HOLD_BACK_SECONDS)

    other = await room.run(Policies(locks=gate))

    assert await room.dispatch() == [other]


async def test_no_slots_are_kept_for_a_large_run_whose_group_is_full(room: Room) -> None:
    worker = await room.master.worker(slots=4)
    large = [await room.run(ONE_AT_A_TIME, matching=Matching(slots=3), job="large") for _ in range(2)]
    assert await room.dispatch() == large[:1]
    room.master.clock.advance(seconds=HOLD_BACK_SECONDS)
    small = [await room.run(job="small") for _ in range(3)]

    assert await room.dispatch() == small[:1]
    await room.end(worker, large[0])

    assert await room.dispatch() == large[1:]
    await room.end(worker, small[0])
    assert await room.dispatch() == small[1:2]


async def test_nothing_of_a_job_in_quarantine_starts_until_it_is_released(room: Room) -> None:
    await room.master.worker(slots=5)
    held, free = await room.run(job="poison"), await room.run(job="good")
    wanted = select(jobs.c.id).where(jobs.c.name == "poison")
    job = await room.database.read(lambda connection: JobId(connection.execute(wanted).scalar_one()))
    await room.change(update(jobs).where(jobs.c.id == job).values(quarantined_at=1, quarantine_reason="it kills"))

    assert await room.dispatch() == [free]
    await room.database.write(lambda connection: release_job(connection, job, now=Instant(2)))

    assert await room.dispatch() == [held]


async def test_the_priority_of_a_run_is_worth_so_much_waiting_and_no_more(room: Room) -> None:
    await room.master.worker(slots=1)
    old = await room.run()
    room.master.clock.advance(seconds=601)
    urgent = await room.run(priority=1)

    assert await room.dispatch() == [old]
    assert await room.state(urgent) is RunState.PENDING


async def test_two_masters_that_look_at_once_never_give_more_than_there_is(postgres_url: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        databases = [await open_database(postgres_url) for _ in range(2)]
        for each in databases:
            stack.push_async_callback(each.close)
        user = await given.user(databases[0])
        masters = [StillMaster(each, tmp_path / "logs", tasks, user) for each in databases]
        rooms = [Room(each.database, each) for each in masters]
        for number, master in enumerate(masters):
            await master.worker(name=f"w{number}", slots=50)
        policies = Policies(locks=(LockDemand(name="gate"),), rate=Rate(starts=30, per_seconds=3600))
        for number in range(20):
            for job in ("one", "other"):
                await rooms[number % 2].run(policies, job=job, priority=number % 3)
        for _ in range(20):
            for master in masters:
                master.dispatcher.wake(frozenset({Signal(Topic.PENDING)}))
            await asyncio.gather(*(master.dispatcher.dispatch_once() for master in masters))
            held = await rooms[0].held()
            assert len(held) == 1
            await rooms[0].lose(held.pop())
        for master in masters:
            for link in master.links:
                link.cancel()


async def test_the_offer_itself_says_nothing_of_demands(room: Room) -> None:
    worker = await room.master.worker(slots=1)
    run = await room.run(ONE_AT_A_TIME)

    await room.dispatch()

    assert (await worker.hear(Offer)).run == run
