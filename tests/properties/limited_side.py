"""Two masters that plan and claim over one database, without a loop or a socket, step by step as a seed chooses."""

import random
from collections import Counter
from pathlib import Path

from sqlalchemy import Connection, select, update

from orchestra.identifiers import AttemptNumber, Epoch, RunId, Signature, WorkerId, WorkerName
from orchestra.lifecycle import AttemptState, RunEvent, RunState, WorkerState
from orchestra.limits import HOLD_BACK_SECONDS, OFFERS_PER_PASS_MAX
from orchestra.logs.store import FileLogStore
from orchestra.policies import Concurrency, LockDemand, Policies
from orchestra.specification import Matching, RetryPolicy
from orchestra.storage.access import add_user
from orchestra.storage.attempts import withdraw_offer
from orchestra.storage.declared_locks import declare_locks
from orchestra.storage.job_versions import JobVersions
from orchestra.storage.jobs import add_job, job_of
from orchestra.storage.new_runs import create_run, run_of
from orchestra.storage.pending import pending_signatures
from orchestra.storage.runs import move_run, request_stop
from orchestra.storage.tables import attempts, projects, runs, workers
from orchestra.storage.terms import Terms, terms_of
from orchestra_master.claiming import Claiming, Request
from orchestra_master.losing import lose_attempt
from orchestra_master.parts import MasterParts
from orchestra_master.roster import ConnectedWorker, Roster
from orchestra_master.selection import Candidate, SpreadingSelector
from tests.properties.master_side import OneConnection, _at_once
from tests.support import given
from tests.support.clocks import FakeClock

MOST = {"gate": 1, "license": 3, "pool": 2}
_JOBS: dict[str, tuple[Policies, int, dict[str, int]]] = {
    "gated": (Policies(locks=(LockDemand(name="gate"),)), 1, {"gate": 1}),
    "licensed": (Policies(locks=(LockDemand(name="license", count=2),)), 1, {"license": 2}),
    "single": (Policies(locks=(LockDemand(name="license"),)), 1, {"license": 1}),
    "greedy": (
        Policies(locks=(LockDemand(name="gate"), LockDemand(name="license", count=3))),
        1,
        {"gate": 1, "license": 3},
    ),
    "pooled": (Policies(concurrency=Concurrency(group="pool", limit=2)), 1, {"pool": 1}),
    "pooled wide": (
        Policies(concurrency=Concurrency(group="pool", limit=2), locks=(LockDemand(name="gate"),)),
        2,
        {"pool": 1, "gate": 1},
    ),
    "free": (Policies(), 1, {}),
}
"""With the slots, and with what a run takes: nothing of the product's is asked."""


class LimitedSide:
    """A database with two masters, each with workers of its own."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection = connection
        self._chance = random.Random()
        self._clock = FakeClock()
        self._jobs_of: dict[RunId, str] = {}
        self._versions = JobVersions()
        self._terms: dict[Signature, Terms] = {}
        """The same in every history."""
        user = add_user(connection, "builders", password_hash=None, now=self._clock.now())
        insert = projects.insert().values(name="ops", created_at=self._clock.now()).returning(projects.c.id)
        project = connection.execute(insert).scalar_one()
        declare_locks(connection, project, {"license": MOST["license"]})
        self._jobs = {
            name: job_of(
                connection,
                add_job(
                    connection,
                    project,
                    name,
                    given.specification(
                        policies=policies, matching=Matching(slots=slots), retry=RetryPolicy(max_attempts=2)
                    ),
                    enabled=True,
                    now=self._clock.now(),
                ),
            )
            for name, (policies, slots, _) in _JOBS.items()
        }
        self._workers: list[list[WorkerId]] = []
        self._fleets: list[list[tuple[WorkerId, int]]] = []
        for master in range(2):
            rows = [
                {"name": f"w{master}{number}", "user_id": user, "state": WorkerState.ONLINE, "registered_at": 1}
                for number in range(2)
            ]
            made = [connection.execute(workers.insert().values(**row).returning(workers.c.id)) for row in rows]
            self._workers.append([WorkerId(each.scalar_one()) for each in made])
        parts = MasterParts(
            name="m",
            clock=self._clock,
            database=OneConnection(connection),
            logs=FileLogStore(folder),
            run_blocking=_at_once,
            versions=self._versions,
            roster=Roster(),
        )
        self._claiming = Claiming(parts=parts, selector=SpreadingSelector())

    def begin(self, seed: int) -> None:
        """A new history, on a database in which nothing has happened."""
        self._chance = random.Random(seed)
        self._jobs_of.clear()
        self._fleets = [
            [(each, self._chance.randint(2, 4)) for each in fleet[: self._chance.randint(1, 2)]]
            for fleet in self._workers
        ]
        for _ in range(self._chance.randint(0, 12)):
            self.make()

    def step(self) -> None:
        """Something happens."""
        self._clock.advance(self._chance.choice((0.1, 1.0, 10.0, HOLD_BACK_SECONDS)))
        deeds = (self.make, self.make, self.give, self.give, self.go_on, self.end, self.end, self.lose, self.take_back)
        self._chance.choice((*deeds, self.stop, self.reconnect))()

    def settle(self) -> None:
        """Nothing is made any more: what has begun ends, and what waits must be given out."""
        for _ in range(1000):
            self._clock.advance(HOLD_BACK_SECONDS)
            self.let_due()
            for master in range(2):
                self.give(master)
            if not self._held():
                break
            self.go_on()
            for run in self._held(RunState.RUNNING):
                self._end(run)
        left = select(runs.c.id, runs.c.state).where(runs.c.ended_at.is_(None))
        assert self._connection.execute(left).all() == []

    def assert_within_limits(self) -> None:
        """No more is held than there is."""
        held: Counter[str] = Counter()
        for run in self._held():
            held.update(_JOBS[self._jobs_of[run]][2])
        assert all(held[name] <= most for name, most in MOST.items()), held

    # --- what can happen ---

    def make(self) -> None:
        """Somebody wants a run."""
        name = self._chance.choice(list(_JOBS))
        key, priority = f"run {len(self._jobs_of)}", self._chance.choice((-1, 0, 0, 1))
        new = run_of(self._jobs[name], creation_key=key, source="user ana", priority=priority, now=self._clock.now())
        self._jobs_of[create_run(self._connection, new)] = name

    def give(self, master: int | None = None) -> None:
        """A pass of one of the masters."""
        fleet = self._fleets[self._chance.randrange(2) if master is None else master]
        signatures = pending_signatures(self._connection)
        terms = {each: self._terms_of(each) for each in signatures}
        used = Counter[int]()
        for row in self._connection.execute(select(runs.c.worker_id, runs.c.slots).where(runs.c.ended_at.is_(None))):
            used[row.worker_id or 0] += row.slots
        request = Request(
            wanted=dict.fromkeys(terms, OFFERS_PER_PASS_MAX),
            elders=[each for each in terms if terms[each].may_be_passed_by],
            terms=terms,
            candidates=[
                Candidate(
                    worker=worker,
                    name=WorkerName(f"w{worker}"),
                    properties={},
                    slots=slots,
                    free_slots=slots - used[worker],
                )
                for worker, slots in fleet
            ],
            fleet=[self._connected(worker, slots) for worker, slots in fleet],
            settling={},
            had={},
        )
        self._claiming.claim(self._connection, request, self._clock.now())

    def go_on(self) -> None:
        """A worker has started what it was given."""
        for run in self._held(RunState.ASSIGNED):
            number = self._attempt(run, state=AttemptState.STARTED, started_at=self._clock.now())
            move_run(self._connection, run, RunEvent.STARTED, actor="w", now=self._clock.now(), attempt=number)

    def end(self) -> None:
        """A run is over."""
        if running := self._held(RunState.RUNNING):
            self._end(self._chance.choice(running))

    def lose(self) -> None:
        """Nobody has heard of a worker for too long; the run may be tried once more."""
        if held := self._held():
            run = self._chance.choice(held)
            number = self._attempt(run)
            lose_attempt(
                self._connection, self._versions, run, number, reason="silent", actor="m", now=self._clock.now()
            )

    def let_due(self) -> None:
        """The time of those that are tried again has come."""
        waiting = select(runs.c.id).where(runs.c.state == RunState.SCHEDULED)
        for run in self._connection.scalars(waiting).all():
            move_run(self._connection, RunId(run), RunEvent.DUE, actor="m", now=self._clock.now())

    def take_back(self) -> None:
        """A worker refuses what it was offered."""
        if offered := self._held(RunState.ASSIGNED):
            run = self._chance.choice(offered)
            number = self._attempt(run)
            withdraw_offer(self._connection, run, number, actor="m", reason="disk is full", now=self._clock.now())

    def stop(self) -> None:
        """Somebody stops a run; one that runs goes on until its worker ends it."""
        waiting = select(runs.c.id).where(runs.c.ended_at.is_(None))
        if found := self._connection.scalars(waiting).all():
            run = RunId(self._chance.choice(found))
            request_stop(self._connection, run, by="ana", reason="", now=self._clock.now())

    def reconnect(self) -> None:
        """A worker opens a new connection, of which its master has not heard."""
        worker, _ = self._chance.choice(self._chance.choice(self._fleets))
        change = update(workers).where(workers.c.id == worker)
        self._connection.execute(change.values(session_epoch=workers.c.session_epoch + 1))

    # --- what is there ---

    def _held(self, *states: RunState) -> list[RunId]:
        # Asked after every step: no statement is to be built for it.
        found = self._connection.exec_driver_sql("select id, state from runs where ended_at is null order by id")
        wanted = states or (RunState.ASSIGNED, RunState.RUNNING)
        return [RunId(run) for run, state in found if state in wanted]

    def _end(self, run: RunId) -> None:
        self._attempt(run, state=AttemptState.SUCCEEDED, ended_at=self._clock.now())
        move_run(self._connection, run, RunEvent.SUCCEEDED, actor="w", now=self._clock.now())

    def _terms_of(self, signature: Signature) -> Terms:
        if signature not in self._terms:
            found = terms_of(self._connection, signature)
            assert found is not None, signature
            self._terms[signature] = found
        return self._terms[signature]

    def _attempt(self, run: RunId, **changes: object) -> AttemptNumber:
        """The run's newest attempt, changed."""
        number = self._connection.exec_driver_sql("select attempt from runs where id = ?", (run,)).scalar_one()
        if changes:
            of_run = update(attempts).where(attempts.c.run_id == run, attempts.c.number == number)
            self._connection.execute(of_run.values(**changes))
        return AttemptNumber(number)

    def _connected(self, worker: WorkerId, slots: int) -> ConnectedWorker:
        epoch = self._connection.exec_driver_sql("select session_epoch from workers where id = ?", (worker,))
        return ConnectedWorker(
            worker=worker,
            name=WorkerName(f"w{worker}"),
            epoch=Epoch(epoch.scalar_one()),
            instance="i",
            properties={},
            slots=slots,
            accepts_runs=True,
            send=lambda _: None,
            replace=lambda: None,
            heard_at=self._clock.now(),
        )
