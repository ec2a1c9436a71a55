"""Where a job last succeeded and where a run failed: what the choice of a worker may look at, on both databases."""

from collections.abc import Sequence
from functools import partial

import pytest
from sqlalchemy import Connection, insert, update

from orchestra.clock import Instant
from orchestra.identifiers import RunId, WorkerId
from orchestra.lifecycle import AttemptState, RunEvent, WorkerState
from orchestra.matching import RunHistory
from orchestra.storage import run_history
from orchestra.storage.database import Database
from orchestra.storage.jobs import find_job
from orchestra.storage.new_runs import create_run, run_of
from orchestra.storage.run_history import histories_of
from orchestra.storage.runs import move_run
from orchestra.storage.tables import attempts, jobs, runs, workers
from tests.support import given
from tests.support.history import fill_history
from tests.support.plans import plans_of

NOW = Instant(1_000_000_000)


class History:
    """Runs of the jobs `ops/0`, `ops/1`, … and workers a, b, c, written as they would have come to be."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.workers: dict[str, WorkerId] = {}
        self._jobs: list[str] = []

    async def begin(self) -> None:
        """Two jobs with a run each, and three workers."""
        user = await given.user(self.database)
        for _ in range(2):
            run = await given.pending_run(self.database)
            self._jobs.append(str(await self.database.read(partial(_job_name, run=run))))

        def register(connection: Connection) -> None:
            for name in "abc":
                row = {"name": name, "user_id": user, "state": WorkerState.ONLINE, "registered_at": NOW}
                made = connection.execute(insert(workers).values(row).returning(workers.c.id)).scalar_one()
                self.workers[name] = WorkerId(made)

        await self.database.write(register)

    async def pending(self, job: int = 0) -> RunId:
        """One more run of the job."""

        def create(connection: Connection) -> RunId:
            found = find_job(connection, "ops", self._jobs[job])
            number = connection.execute(runs.select()).all()
            return create_run(connection, run_of(found, creation_key=f"h{len(number)}", source="test", now=NOW))

        return await self.database.write(create)

    async def ended(self, worker: str | None, event: RunEvent = RunEvent.SUCCEEDED, *, job: int = 0) -> RunId:
        """A run that ended on the worker."""
        run = await self.pending(job)

        def end(connection: Connection) -> None:
            for step in (RunEvent.OFFERED, RunEvent.STARTED, event):
                move_run(connection, run, step, actor="test", now=NOW)
            held = None if worker is None else self.workers[worker]
            connection.execute(update(runs).where(runs.c.id == run).values(worker_id=held))

        await self.database.write(end)
        return run

    async def tried(self, run: RunId, *tries: tuple[str | None, AttemptState]) -> None:
        """Earlier attempts of the run."""
        rows = [
            {
                "run_id": run, "number": number, "worker_id": None if name is None else self.workers[name], "epoch": 1,
                "state": state, "offered_at": NOW,
            }
            for number, (name, state) in enumerate(tries, 1)
        ]  # fmt: skip
        await self.database.write(lambda connection: connection.execute(insert(attempts), rows))

    async def of(self, *, sticky: Sequence[RunId] = (), avoiding: Sequence[RunId] = ()) -> dict[RunId, RunHistory]:
        """What is asked."""
        return await self.database.read(lambda c: histories_of(c, sticky=sticky, avoiding=avoiding))


def _job_name(connection: Connection, run: RunId) -> str:
    found = connection.execute(jobs.select().join(runs, runs.c.job_id == jobs.c.id).where(runs.c.id == run)).one()
    return str(found.name)


@pytest.fixture
async def history(database: Database) -> History:
    """Workers a, b and c, and two jobs."""
    made = History(database)
    await made.begin()
    return made


async def test_the_warm_worker_is_where_the_job_itself_last_succeeded(history: History) -> None:
    await history.ended("b")
    await history.ended("a")
    await history.ended("c", RunEvent.FAILED)
    await history.ended("c", job=1)
    first, second, other = await history.pending(), await history.pending(), await history.pending(job=1)
    await history.ended("b", RunEvent.BROKE)

    found = await history.of(sticky=[first, second, other])

    a, c = history.workers["a"], history.workers["c"]
    assert found == {first: RunHistory(warm=a), second: RunHistory(warm=a), other: RunHistory(warm=c)}


async def test_a_success_without_a_worker_of_ours_warms_nothing(history: History) -> None:
    run = await history.pending()
    nothing = await history.of(sticky=[run])
    await history.ended("b")
    await history.ended(None)
    later = await history.pending()

    found = await history.of(sticky=[later])

    assert (nothing, found) == ({}, {later: RunHistory(warm=history.workers["b"])})


async def test_a_job_that_fails_for_long_is_looked_back_at_only_so_far(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    await history.ended("b")
    await history.ended("c", RunEvent.FAILED)
    run = await history.pending()
    monkeypatch.setattr(run_history, "LOOK_BACK_RUNS_MAX", 2)
    near = await history.of(sticky=[run])
    await history.ended("c", RunEvent.FAILED)
    later = await history.pending()

    far = await history.of(sticky=[later])

    assert (near, far) == ({run: RunHistory(warm=history.workers["b"])}, {})


async def test_workers_where_attempts_failed_broke_or_were_lost_are_told_and_no_others(history: History) -> None:
    run, fresh, asked_by_nobody = await history.pending(), await history.pending(), await history.pending()
    tries = [
        ("a", AttemptState.FAILED), ("a", AttemptState.FAILED), ("b", AttemptState.WITHDRAWN),
        (None, AttemptState.FAILED), ("c", AttemptState.EXCEPTION), ("b", AttemptState.ABORTED),
    ]  # fmt: skip
    await history.tried(run, *tries)
    await history.tried(asked_by_nobody, *tries)

    found = await history.of(avoiding=[run, fresh])

    assert found == {run: RunHistory(failed=frozenset({history.workers["a"], history.workers["c"]}))}


async def test_both_are_told_of_a_run_that_asks_for_both(history: History) -> None:
    await history.ended("b")
    run = await history.pending()
    await history.tried(run, ("b", AttemptState.FAILED))

    found = await history.of(sticky=[run], avoiding=[run])

    warm = history.workers["b"]
    assert found == {run: RunHistory(warm=warm, failed=frozenset({warm}))}
    assert await history.of() == {}


async def test_neither_is_searched_for_through_all_runs(database: Database) -> None:
    await database.write(fill_history)
    question = partial(histories_of, sticky=[RunId(49_007)], avoiding=[RunId(49_007)])

    plans = await database.write(lambda connection: plans_of(connection, question))

    assert len(plans) == 3
    assert not [plan for plan in plans if "SCAN runs" in plan or "SCAN attempts" in plan or "Seq Scan" in plan]
    found = await database.read(question)
    assert found == {RunId(49_007): RunHistory(warm=WorkerId(18))}
