"""Who gets which run: order, fairness, slots, and that no wake-up is ever lost."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, example, settings
from hypothesis import given as examples
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select

from orchestra.demands import signature_for
from orchestra.identifiers import AttemptNumber, ProjectId, RunId, WorkerId, WorkerName
from orchestra.lifecycle import RunState
from orchestra.limits import POLL_SECONDS, REFUSED_OFFER_SECONDS
from orchestra.protocol.messages import Accept, Forget, Offer, Refuse
from orchestra.specification import Matching, Operator, Requirement, Wish
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.open import open_database
from orchestra.storage.tables import runs
from orchestra_master.selection import Candidate, SpreadingSelector, able
from tests.master.faulty_database import FaultyDatabase, Held
from tests.master.still_master import StillMaster
from tests.support import given
from tests.support.statements import counted_statements
from tests.support.worker_end import WorkerEnd, final, started


def needs(name: str, value: str, *, slots: int = 1) -> Matching:
    return Matching(requirements=(Requirement(name=name, operator=Operator.IN, values=(value,)),), slots=slots)


def wish(name: str, value: str) -> Wish:
    return Wish(name=name, operator=Operator.IN, values=(value,))


LINUX, IMPOSSIBLE = needs("os", "linux"), needs("os", "plan9")


@pytest.fixture
async def master(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[StillMaster]:
    """A master that does nothing by itself."""
    async with asyncio.TaskGroup() as tasks:
        made = StillMaster(sqlite_database, tmp_path / "logs", tasks, await given.user(sqlite_database))
        yield made
        for link in made.links:
            link.cancel()


async def dispatch(master: StillMaster, most: int = 50) -> None:
    """As often as there may be more; a dispatcher that never ends is a busy loop."""
    for _ in range(most):
        if not await master.dispatcher.dispatch_once():
            return
    raise AssertionError("the dispatcher does not come to rest")


async def offered(worker: WorkerEnd, count: int) -> list[RunId]:
    return [(await worker.hear(Offer)).run for _ in range(count)]


async def pending(master: StillMaster) -> set[RunId]:
    query = select(runs.c.id).where(runs.c.state == RunState.PENDING)
    return set(await master.database.read(lambda c: [RunId(run) for run in c.execute(query).scalars()]))


async def test_the_more_urgent_run_goes_first_and_then_the_older_one(master: StillMaster) -> None:
    made = [await given.pending_run(master.database, priority=priority) for priority in (0, 5, 0, 9, 5)]
    worker = await master.worker(slots=5)

    await dispatch(master)

    order = await offered(worker, 5)
    assert order == [made[3], made[1], made[4], made[0], made[2]]


async def test_urgency_counts_across_what_runs_ask_for(master: StillMaster) -> None:
    usual = await given.pending_run(master.database, given.specification(matching=LINUX))
    urgent = await given.pending_run(master.database, priority=1)
    worker = await master.worker(slots=1)

    await dispatch(master)

    assert await offered(worker, 1) == [urgent]
    assert await pending(master) == {usual}


async def test_slots_are_never_exceeded_and_a_large_run_waits_for_room(master: StillMaster) -> None:
    small = [await given.pending_run(master.database) for _ in range(2)]
    large = await given.pending_run(master.database, given.specification(matching=Matching(slots=2)))
    worker = await master.worker(slots=3)
    (connected,) = master.parts.roster.connected()

    await dispatch(master)
    first = await offered(worker, 2)
    free, waiting = connected.free_slots, await pending(master)
    await finish(worker, first[0])
    await dispatch(master)

    assert first == small
    assert (free, waiting) == (1, {large})
    assert await offered(worker, 1) == [large]
    assert connected.free_slots == 0


async def finish(worker: WorkerEnd, run: RunId) -> None:
    """The worker accepts, starts and ends attempt 1, and the master has heard it."""
    attempt = AttemptNumber(1)
    worker.say(Accept(run=run, attempt=attempt), started(run, attempt), final(run, attempt, sequence=2))
    await worker.hear(Forget)


async def test_a_refused_offer_goes_elsewhere_at_once(master: StillMaster) -> None:
    roomy, small = await master.worker(name="roomy", slots=9), await master.worker(name="small", slots=1)
    run = await given.pending_run(master.database)
    await dispatch(master)
    offer = await roomy.hear(Offer)
    freed = asyncio.Event()
    master.parts.roster.on_capacity(freed.set)

    roomy.say(Refuse(run=run, attempt=offer.attempt, reason="its disk is full"))
    await freed.wait()
    master.dispatcher.wake(frozenset({Signal(Topic.PENDING)}))
    await dispatch(master)

    assert (await small.hear(Offer)).run == run


async def test_a_worker_that_refused_is_asked_again_after_a_while(master: StillMaster) -> None:
    worker = await master.worker()
    run = await given.pending_run(master.database)
    await dispatch(master)
    offer = await worker.hear(Offer)
    worker.say(Refuse(run=run, attempt=offer.attempt, reason="its disk is full"))
    await master.reaches(run, RunState.PENDING)
    await dispatch(master)
    refused = await pending(master)

    master.clock.advance(max(REFUSED_OFFER_SECONDS, POLL_SECONDS) + 0.1)
    await dispatch(master)

    assert refused == {run}
    assert (await worker.hear(Offer)).attempt == 2


CANDIDATES = [
    Candidate(worker=WorkerId(1), name=WorkerName("a"), properties={"disk": "ssd"}, slots=4, free_slots=1),
    Candidate(worker=WorkerId(2), name=WorkerName("b"), properties={}, slots=4, free_slots=4),
    Candidate(worker=WorkerId(3), name=WorkerName("c"), properties={}, slots=4, free_slots=4),
    Candidate(worker=WorkerId(4), name=WorkerName("d"), properties={"disk": "ssd"}, slots=4, free_slots=0),
]


@pytest.mark.parametrize(
    ("matching", "chosen"),
    [
        (Matching(), "b"),
        (Matching(prefer=(wish("disk", "ssd"),)), "a"),
        (Matching(prefer=(wish("disk", "tape"),)), "b"),
        (Matching(prefer=(wish("disk", "ssd"),), slots=2), "b"),
    ],
)
def test_wishes_come_before_room_and_room_before_names(matching: Matching, chosen: str) -> None:
    selected = SpreadingSelector().select(matching, able(matching, CANDIDATES))

    assert selected.name == chosen


async def test_ten_thousand_runs_that_nobody_can_take_cost_another_nothing(master: StillMaster) -> None:
    worker = await master.worker(slots=3)
    await given.pending_run(master.database, given.specification(matching=IMPOSSIBLE))
    counts = []
    for more in (0, 10_000):
        await master.database.write(partial(multiply, count=more))
        run = await given.pending_run(master.database)
        master.dispatcher.wake(frozenset({Signal(Topic.PENDING)}))
        with counted_statements() as asked:
            await dispatch(master)
        counts.append(len(asked.statements))
        assert await offered(worker, 1) == [run]

    assert counts[1] <= counts[0]


def multiply(connection: Connection, count: int) -> None:
    """So many more runs like the first one."""
    row = dict(connection.execute(select(runs).order_by(runs.c.id).limit(1)).mappings().one())
    del row["id"]
    if count:
        connection.execute(insert(runs), [{**row, "creation_key": f"more-{number}"} for number in range(count)])


# --- no wake-up is lost, whatever comes in the middle of a pass ---

JOBS = {"any": Matching(), "linux": LINUX, "impossible": IMPOSSIBLE, "large": Matching(slots=2)}
Step = tuple[str, str]
# Some are there twice, so that most of what is drawn has a story to tell.
STEPS: list[Step] = [
    *(("add", job) for job in ("any", "any", "linux", "large", "impossible")),
    *(("connect", slots) for slots in ("1", "2")),
    *(("signal", ""), ("signal", ""), ("dispatch", ""), ("dispatch", ""), ("finish", "")),
    *(("begin pass", "hung before its commit"), ("begin pass", "hung after its commit"), ("end pass", "")),
]


def _story(text: str) -> list[Step]:
    """Steps in words, for stories that chance tells too seldom."""
    steps = {f"{kind} {what}".strip(): (kind, what) for kind, what in STEPS}
    return [steps[words] for words in text.split(", ")]


class Interleaving:
    """Does one step after the other, some of them while a pass of the dispatcher hangs in its transaction."""

    def __init__(self, master: StillMaster, faulty: FaultyDatabase) -> None:
        self.master = master
        self._faulty = faulty
        self._workers: list[WorkerEnd] = []
        self._signals: set[Signal] = set()
        self._hung: tuple[Held, asyncio.Task[bool]] | None = None

    async def do(self, kind: str, what: str) -> None:
        match kind:
            case "add":
                run = await given.pending_run(self._faulty, given.specification(matching=JOBS[what]))
                signature = str(await given.column_of(self._faulty, run, "signature"))
                self._signals.add(Signal(Topic.PENDING, signature))
            case "connect":
                name = f"worker-{len(self._workers)}"
                self._workers.append(await self.master.worker(name=name, slots=int(what)))
            case "finish":
                await self._finish_one()
            case "signal":
                self._signal()
            case "dispatch" if self._hung is None:
                await self.master.dispatcher.dispatch_once()
            case "begin pass" if self._hung is None:
                held = self._faulty.hold_next_write(after_commit="after" in what)
                hung = asyncio.create_task(self.master.dispatcher.dispatch_once(), name="hung pass")
                waiting = asyncio.create_task(held.has_come.wait(), name="has come")
                await asyncio.wait({hung, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                self._hung = held, hung
                self._faulty.forget_troubles()
            case "end pass":
                await self._end_pass()

    async def come_to_rest(self) -> None:
        """Everything that was signalled is heard, and the dispatcher does what it then wants to."""
        await self._end_pass()
        self._signal()
        await dispatch(self.master)

    async def _end_pass(self) -> None:
        if self._hung is not None:
            held, hung = self._hung
            held.may_go.set()
            await hung
            self._hung = None

    def _signal(self) -> None:
        self.master.dispatcher.wake(frozenset(self._signals))
        self._signals.clear()

    async def _finish_one(self) -> None:
        for worker, connected in zip(self._workers, self.master.parts.roster.connected(), strict=True):
            if connected.held:
                freed = asyncio.Event()
                self.master.parts.roster.on_capacity(freed.set)
                await finish(worker, min(connected.held)[0])
                await freed.wait()
                return

    async def forgotten(self) -> list[str]:
        """Pending runs that a connected worker could take now."""
        matchings = {str(signature_for(ProjectId(1), matching)): matching for matching in JOBS.values()}
        candidates = [
            Candidate(
                worker=each.worker,
                name=each.name,
                properties=each.properties,
                slots=each.slots,
                free_slots=each.free_slots,
            )
            for each in self.master.parts.roster.connected()
        ]
        query = select(runs.c.signature).where(runs.c.state == RunState.PENDING)
        waiting = await self._faulty.read(lambda c: list(c.execute(query).scalars()))
        assert all(each.free_slots >= 0 for each in candidates)
        return [each for each in waiting if able(matchings[each], candidates)]


async def interleave(template: Path, steps: list[Step]) -> list[str]:
    """Runs the steps on a fresh database."""
    with TemporaryDirectory() as folder:
        shutil.copyfile(template, Path(folder) / "orchestra.db")
        database = await open_database(Path(folder))
        try:
            async with asyncio.TaskGroup() as tasks:
                faulty = FaultyDatabase(database)
                master = StillMaster(faulty, Path(folder) / "logs", tasks, await given.user(database))
                await master.dispatcher.dispatch_once()  # from now on only signals tell it anything
                interleaving = Interleaving(master, faulty)
                for kind, what in steps:
                    await interleaving.do(kind, what)
                await interleaving.come_to_rest()
                found = await interleaving.forgotten()
                for link in master.links:
                    link.cancel()
                return found
        finally:
            await database.close()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@examples(steps=st.lists(st.sampled_from(STEPS), min_size=8, max_size=24))
@example(steps=_story("add any, signal, dispatch, connect 1"))
@example(steps=_story("connect 2, add any, signal, begin pass hung after its commit, add linux, signal, end pass"))
@example(steps=_story("connect 2, add large, add any, signal, dispatch, finish"))
def test_no_wake_up_is_lost_whatever_comes_in_the_middle(sqlite_template: Path, steps: list[Step]) -> None:
    assert asyncio.run(interleave(sqlite_template, steps)) == []
