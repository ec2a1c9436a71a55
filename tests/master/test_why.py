"""Whatever situation a master has come to rest in: each run that waits has a reason, and each reason is true."""

import random
import re

import msgspec
import pytest
from sqlalchemy import Connection, func, select, update

from orchestra.identifiers import RunId, UserId
from orchestra.lifecycle import RunState
from orchestra.limits import HOLD_BACK_SECONDS
from orchestra.policies import Concurrency, LockDemand, Policies, Rate
from orchestra.policy import EVERYWHERE, Permission, Principal
from orchestra.queries.waiting import WaitingView
from orchestra.queries.waiting_facts import waiting_of
from orchestra.specification import Matching, Operator, Requirement, SlotReserve
from orchestra.storage.database import Signal, Topic
from orchestra.storage.declared_locks import declare_locks
from orchestra.storage.resources import stock_of
from orchestra.storage.tables import jobs, projects, run_demands, runs, workers
from orchestra.storage.terms import terms_of
from tests.master.demand_room import Room
from tests.support import given

_PLAIN = re.compile(
    r"(no(ne)? |\d of \d workers? can do the job|w\d: (`os`|it has)|when it starts is not known|it is expected)"
)
ROOT = Principal(user_id=UserId(1), name="root", scopes=dict.fromkeys(Permission, EVERYWHERE))
"""Sees everything."""
KEPT = "when it starts is not known: what comes free is kept for another one first"
WINDOWS = Requirement(name="os", operator=Operator.IN, values=("windows",))


async def why(room: Room, run: RunId) -> WaitingView:
    now = room.master.clock.now()
    view = await room.database.read(lambda connection: waiting_of(connection, ROOT, run, now=now))
    assert view is not None
    return view


async def test_a_lock_is_named_with_who_holds_it(room: Room) -> None:
    await room.master.worker(slots=4)
    policies = Policies(locks=(LockDemand(name="gate"),))
    holder, waiting = await room.run(policies), await room.run(policies)
    await room.dispatch()

    view = await why(room, waiting)

    assert view.reasons == (
        f"lock gate is taken, held by #{holder}",
        f"when it starts is not known: nobody knows how long #{holder} takes",
    )


async def test_a_full_group_is_named_with_its_limit(room: Room) -> None:
    await room.master.worker(slots=4)
    policies = Policies(concurrency=Concurrency(group="deploy-{parameters.env}", limit=2))
    made = [await room.run(policies, parameters={"env": "north"}) for _ in range(4)]
    await room.dispatch()

    view = await why(room, made[3])

    assert view.reasons[0] == f"group ops/deploy-north is full: 2 of 2 under way, held by #{made[0]}, #{made[1]}"
    assert view.reasons[1] == "1 run with the same demands is before it"


async def test_what_waits_in_a_quarantine_is_before_nobody(room: Room) -> None:
    await room.master.worker(slots=1)
    await room.run(job="poison")
    holder = await room.run(job="good", priority=1)
    await room.dispatch()
    await room.change(
        update(jobs).where(jobs.c.name == "poison").values(quarantined_at=1, quarantine_reason="it kills")
    )
    waiting = await room.run(job="good")

    view = await why(room, waiting)

    assert view.reasons == (
        "1 of 1 worker can do the job, none of them now (1 connected)",
        f"atlas: is busy: 1 of 1 slots used by #{holder}",
        f"when it starts is not known: nobody knows how long #{holder} takes",
    )


async def test_nothing_is_kept_free_for_what_waits_in_a_quarantine(room: Room) -> None:
    await room.master.worker(slots=2)
    await room.run(matching=Matching(slots=2), job="poison")
    await room.change(
        update(jobs).where(jobs.c.name == "poison").values(quarantined_at=1, quarantine_reason="it kills")
    )
    room.master.clock.advance(seconds=HOLD_BACK_SECONDS)
    await room.change(update(workers).values(last_contact_at=room.master.clock.now()))
    run = await room.run(job="good")

    view = await why(room, run)

    assert view.reasons == ("a master will offer it in a moment: atlas can take it",)


async def test_more_of_a_lock_than_there_is_says_so(room: Room) -> None:
    await room.master.worker(slots=4)
    run = await room.run(Policies(locks=(LockDemand(name="license", count=3),)))
    await room.dispatch()

    view = await why(room, run)

    assert view.reasons == (
        "lock license: it needs 3, there is only 1",
        "when it starts is not known: there is never enough of lock license",
    )
    assert view.expected_start is None


async def test_a_rate_says_when_the_next_may_start(room: Room) -> None:
    await room.master.worker(slots=4)
    policies = Policies(rate=Rate(starts=1, per_seconds=60))
    made = [await room.run(policies, job="scan") for _ in range(2)]
    await room.dispatch()

    view = await why(room, made[1])

    assert view.reasons[0].startswith("1 attempt of ops/scan may start within 1 min: the next at ")
    assert view.expected_start is not None
    at = view.reasons[1].removeprefix("it is expected to start at about ").removesuffix(" (in 1 min)")
    assert view.reasons[0].endswith(at)


async def test_a_reserve_is_named_with_its_project(room: Room) -> None:
    await room.master.worker(slots=1)
    deploy = await room.run(project="ops")
    scan = await room.run(project="scan")
    reserve = msgspec.json.encode(SlotReserve(count=1)).decode()
    await room.change(
        update(projects).where(projects.c.name == "ops").values(reserve=reserve),
        update(runs).where(runs.c.id == deploy).values(state=RunState.CANCELLED, ended_at=1),
    )
    assert await room.dispatch() == []

    view = await why(room, scan)

    assert view.reasons[1:] == ("atlas: 1 free slot is kept for project ops", KEPT)


async def test_no_more_slots_are_said_to_be_kept_at_a_worker_than_it_has_free(room: Room) -> None:
    await room.master.worker(slots=3)
    await room.run(project="ops", job="deploy", matching=Matching(slots=2))
    await room.dispatch()
    scan = await room.run(project="scan")
    reserve = msgspec.json.encode(SlotReserve(count=100)).decode()
    await room.change(update(projects).where(projects.c.name == "ops").values(reserve=reserve))
    assert await room.dispatch() == []

    view = await why(room, scan)

    assert view.reasons[1] == "atlas: 1 free slot is kept for project ops"


async def test_what_is_kept_for_a_large_run_names_it(room: Room) -> None:
    worker = await room.master.worker(slots=2)
    small = [await room.run(job="small") for _ in range(2)]
    assert await room.dispatch() == small
    large, late = await room.run(matching=Matching(slots=2)), await room.run(job="small")
    room.master.clock.advance(seconds=HOLD_BACK_SECONDS)
    await room.end(worker, small[0])
    assert await room.dispatch() == []
    await room.change(update(workers).values(last_contact_at=room.master.clock.now()))

    view = await why(room, late)

    assert view.reasons[1].startswith(f"atlas: its free slots are kept for #{large}, which has waited since ")
    assert (view.reasons[-1], view.expected_start) == (KEPT, None)


async def test_what_waits_in_vain_or_for_its_rate_is_in_nobodys_way(room: Room) -> None:
    worker = await room.master.worker(slots=1)
    gate = (LockDemand(name="gate"),)
    rated = [await room.run(Policies(locks=gate, rate=Rate(starts=1, per_seconds=3600)), job="rated") for _ in "ab"]
    await room.run(Policies(locks=(LockDemand(name="gate", count=2),)))
    await room.dispatch()
    await room.end(worker, rated[0])
    room.master.clock.advance(seconds=HOLD_BACK_SECONDS)
    await room.change(update(workers).values(last_contact_at=room.master.clock.now()))
    run = await room.run(Policies(locks=gate))

    view = await why(room, run)

    assert view.reasons == ("a master will offer it in a moment: atlas can take it",)


async def test_the_slots_of_no_worker_are_kept_for_what_others_hold_up(room: Room) -> None:
    await room.master.worker(slots=3)
    policies = Policies(concurrency=Concurrency())
    for _ in range(2):
        await room.run(policies, matching=Matching(slots=2), job="large")
    await room.dispatch()
    room.master.clock.advance(seconds=HOLD_BACK_SECONDS)
    await room.change(update(workers).values(last_contact_at=room.master.clock.now()))
    run = await room.run(job="small")

    view = await why(room, run)

    assert view.reasons == ("a master will offer it in a moment: atlas can take it",)


async def test_a_job_in_quarantine_says_by_what_and_how_it_is_released(room: Room) -> None:
    await room.master.worker(slots=2)
    run = await room.run(job="poison")
    words = "3 attempts were lost within 1h: #1, #2, #3"
    await room.change(update(jobs).values(quarantined_at=1_763_700_000_000_000, quarantine_reason=words))

    view = await why(room, run)

    since = "job ops/poison is in quarantine since 2025-11-21T04:40:00.000Z"
    assert view.reasons == (f"{since}: {words}; release it with 'orchestra job release ops/poison'",)


async def test_the_usual_length_of_what_runs_foretells_the_start(room: Room) -> None:
    worker = await room.master.worker(slots=1)
    first = await room.run(job="build")
    await room.dispatch()
    await room.begin(worker, first)
    room.master.clock.advance(seconds=600)
    await room.finish(worker, first)
    await room.change(update(workers).values(last_contact_at=room.master.clock.now()))
    begun = room.master.clock.now()
    second, third = await room.run(job="build"), await room.run(job="build")
    await room.dispatch()
    await room.change(update(runs).where(runs.c.id == second).values(state=RunState.RUNNING, started_at=begun))

    view = await why(room, third)

    assert view.expected_start is not None
    assert view.expected_start.timestamp() * 1_000_000 == pytest.approx(begun + 600_000_000, abs=1_000_000)


# --- any situation ---


@pytest.mark.parametrize("seed", range(25))
async def test_every_run_that_waits_has_a_true_reason(room: Room, seed: int) -> None:
    chance = random.Random(seed)
    names = [f"w{number}" for number in range(chance.randint(0, 3))]
    ends = {name: await room.master.worker(name=name, slots=chance.randint(1, 4)) for name in names}
    for _ in range(chance.randint(1, 14)):
        await room.run(
            _policies(chance),
            matching=Matching(
                slots=chance.choice((1, 1, 1, 2, 5)), requirements=chance.choice(((), (), (), (WINDOWS,)))
            ),
            project=chance.choice(("ops", "scan")),
            job=chance.choice((None, "scan")),
            parameters={"env": chance.choice(("north", "south"))},
            priority=chance.choice((0, 0, 5)),
        )
        if chance.random() < 0.3:
            await room.dispatch()
            room.master.clock.advance(seconds=chance.choice((0, 1, 61)))
    await _change_something(room, chance)
    await room.dispatch()
    for name, end in ends.items():
        mine = await _held_by(room, name)
        if mine and chance.random() < 0.5:
            await room.end(end, chance.choice(mine))
    await room.dispatch()
    await room.change(update(workers).values(last_contact_at=room.master.clock.now()))

    pending = select(runs.c.id).where(runs.c.state == RunState.PENDING)
    waiting = await room.database.read(lambda connection: [RunId(each) for each in connection.scalars(pending)])
    for run in waiting:
        view = await why(room, run)
        assert view.reasons
        for reason in view.reasons:
            # The master has come to rest: nothing will happen in a moment.
            assert "in a moment" not in reason
            await _is_true(room, run, reason)


def _policies(chance: random.Random) -> Policies:
    return chance.choice(
        (
            given.NO_POLICIES,
            given.NO_POLICIES,
            Policies(concurrency=Concurrency(group="deploy-{parameters.env}", limit=chance.randint(1, 2))),
            Policies(locks=(LockDemand(name="gate"),)),
            Policies(locks=(LockDemand(name="license", count=chance.randint(1, 3)), LockDemand(name="gate"))),
            Policies(rate=Rate(starts=1, per_seconds=30)),
        )
    )


async def _change_something(room: Room, chance: random.Random) -> None:
    reserve = msgspec.json.encode(SlotReserve(count=chance.randint(1, 2))).decode()
    if chance.random() < 0.4:
        await room.change(update(projects).where(projects.c.name == "ops").values(reserve=reserve))
    if chance.random() < 0.3:
        words = {"quarantined_at": room.master.clock.now(), "quarantine_reason": "it kills"}
        await room.change(update(jobs).where(jobs.c.name == "scan").values(words))
    if chance.random() < 0.5:
        owner = select(projects.c.id).limit(1)
        # As applying a definition does it.
        await room.database.write(
            lambda connection: declare_locks(connection, connection.execute(owner).scalar_one(), {"license": 3}),
            signals=[Signal(Topic.RELEASED)],
        )


async def _held_by(room: Room, name: str) -> list[RunId]:
    query = (
        select(runs.c.id)
        .join(workers, workers.c.id == runs.c.worker_id)
        .where(workers.c.name == name, runs.c.ended_at.is_(None))
    )
    return await room.database.read(lambda connection: [RunId(each) for each in connection.scalars(query)])


async def _is_true(room: Room, run: RunId, reason: str) -> None:
    """Looked up in the rows, in another way than the reason was made."""
    now = room.master.clock.now()

    def look(connection: Connection) -> None:
        row = connection.execute(select(runs).where(runs.c.id == run)).one()
        if held := re.match(r"(lock|group) (\S+?):? (is taken|is full|it needs)", reason):
            terms = terms_of(connection, row.signature)
            assert terms is not None
            resource = f"{held[1]} {held[2]}"
            demand = next(each for each in terms.demands if each.resource == resource)
            amounts = (
                select(func.coalesce(func.sum(run_demands.c.amount), 0))
                .join(runs, runs.c.signature == run_demands.c.signature)
                .where(run_demands.c.resource == resource, runs.c.state.in_(("assigned", "running")))
            )
            most = 3 if resource == "lock license" and "of 3" in reason else demand.most
            assert connection.execute(amounts).scalar_one() + demand.amount > most
        elif busy := re.match(r"(w\d): is busy", reason):
            used = select(func.sum(runs.c.slots)).where(
                runs.c.worker_id == select(workers.c.id).where(workers.c.name == busy[1]).scalar_subquery(),
                runs.c.ended_at.is_(None),
            )
            slots = connection.execute(select(workers.c.slots).where(workers.c.name == busy[1])).scalar_one()
            assert connection.execute(used).scalar_one() + row.slots > slots
        elif "in quarantine" in reason:
            job = connection.execute(select(jobs).where(jobs.c.id == row.job_id)).one()
            assert job.quarantined_at is not None
        elif before := re.match(r"(\d+) runs? with the same demands", reason):
            same = select(func.count()).where(
                runs.c.signature == row.signature, runs.c.state == RunState.PENDING, runs.c.rank < row.rank + 1
            )
            assert connection.execute(same).scalar_one() >= int(before[1])
        elif "may start within" in reason:
            terms = terms_of(connection, row.signature)
            assert terms is not None
            rate = next(each for each in terms.demands if each.window_seconds is not None)
            assert stock_of(connection, [rate], now)[rate.stock].left_for(rate) < 1
        elif "kept for project ops" in reason:
            assert connection.execute(select(projects.c.reserve).where(projects.c.name == "ops")).scalar_one()
        elif kept := re.search(r"kept (?:free )?for #(\d+), which", reason):
            elder = connection.execute(select(runs).where(runs.c.id == int(kept[1]))).one()
            assert elder.state == RunState.PENDING
            assert elder.pending_at <= now - HOLD_BACK_SECONDS * 1_000_000
        else:
            assert _PLAIN.match(reason), reason

    await room.database.read(look)
