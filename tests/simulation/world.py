"""One seed: a world of masters, workers, people and faults, from its beginning until everything has settled."""

import asyncio
import hashlib
import logging
import random
import shutil
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
from sqlalchemy import Connection, func, select, update

from orchestra.clock import after
from orchestra.commands.approvals import Approvals
from orchestra.commands.bearer_texts import BearerText
from orchestra.commands.bootstrap import first_administrator, local_worker_user
from orchestra.commands.definitions import apply_definition
from orchestra.limits import RESCUE_PATIENCE_SECONDS
from orchestra.policy import Principal
from orchestra.sealing import Sealing
from orchestra.specification import JobSpecification
from orchestra.storage.bearers import find_token
from orchestra.storage.due_schedules import next_due_at
from orchestra.storage.tables import job_versions, runs, schedules, workers
from tests.simulation.bounds import some_bounds_changed
from tests.simulation.client import Client
from tests.simulation.clock import SimulatedClock
from tests.simulation.database import DatabaseServer, SimulatedDatabase
from tests.simulation.jobs import OF_SILENCE, project
from tests.simulation.limit_people import LimitPeople
from tests.simulation.limit_witness import begin_limit_notes
from tests.simulation.limited_jobs import limited_projects
from tests.simulation.loop import SimulatedLoop
from tests.simulation.machine import Machine
from tests.simulation.nemesis import Nemesis
from tests.simulation.network import Network
from tests.simulation.oracle import find_violations
from tests.simulation.parts import MasterProcess, Pass, WorkerProcess
from tests.simulation.pipeline_facts import PipelineFacts
from tests.simulation.pipeline_order import undecided
from tests.simulation.pipeline_people import PipelinePeople
from tests.simulation.pipeline_witness import begin_pipeline_notes
from tests.simulation.pipelined_jobs import pipelined_jobs
from tests.simulation.tick_witness import begin_notes
from tests.simulation.timed_jobs import timed_jobs
from tests.simulation.truth import Truth
from tests.simulation.waiting_judge import WaitingJudge
from tests.support.clocks import START

SETTLE_SECONDS_MAX = 5400.0
"""After the last fault: what was planned by a clock that was an hour ahead, patience after a master's start, and a
while."""
CATCH_UP_SECONDS_MAX = 600.0
"""After the last fault, until every schedule is decided as far as it is due."""
LOOK_SECONDS = 2.0
KEY = b"c2ltdWxhdGVkIGtleSBvZiB0aGUgc2ltdWxhdG9yIC4="


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one seed has shown."""

    seed: int
    violations: tuple[str, ...]
    faults: dict[str, int]
    virtual_seconds: float
    steps: int
    runs: int
    digest: str
    """The same for the same seed, in any process."""


class World:
    """Everything of one seed, made from it."""

    def __init__(self, seed: int, *, folder: Path, template: Path) -> None:
        self.seed = seed
        self.chance = random.Random(f"world {seed}")
        self.loop = SimulatedLoop(random.Random(f"loop {seed}"))
        self.truth = Truth()
        self.errors: list[str] = []
        shutil.copyfile(template, folder / "orchestra.db")
        self.server = DatabaseServer(folder / "orchestra.db", self.loop, random.Random(f"database {seed}"))
        self.network = Network(self.loop, random.Random(f"network {seed}"))
        self.sealing = Sealing(key=KEY)
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.masters: list[MasterProcess] = []
        self.workers: list[WorkerProcess] = []
        self.client: Client
        self._folder = folder
        self._is_settled = False
        self._has_schedules = self.chance.random() < 0.4
        self._is_about_schedules = random.Random(f"schedules {seed}").random() < 0.25
        """Jobs run by themselves under every policy, and people pause them."""
        self._is_about_pipelines = random.Random(f"pipelines {seed}").random() < 0.25
        """People begin, abort and retry them, and answer what they are asked."""
        self._is_about_limits = random.Random(f"limits {seed}").random() < 0.25
        """Runs stand in each other's way: locks, groups, rates, reserves, shares, quarantine."""
        self._mine, self._locks, self._neighbour = limited_projects(random.Random(f"limited jobs {seed}"))
        self.waits = WaitingJudge(self, has_reserve=self._neighbour.reserve is not None)
        self.is_about_silence = random.Random(f"theme {seed}").random() < 0.15
        """Workers are cut off for longer than jobs wait, under masters that would not excuse it by their own start."""
        self.is_crowded = random.Random(f"crowd {seed}").random() < 0.3
        """More is asked for at once than the workers have slots for, so that runs wait at them."""

    def run(self) -> Outcome:
        """Lives until everything is quiet, then judges."""
        with some_bounds_changed(random.Random(f"bounds {self.seed}"), is_crowded=self.is_crowded):
            self._run_until_settled()
        violations = [*self.errors, *self.loop.errors, *find_violations(self)]
        made = self.server.file.read(lambda connection: connection.execute(select(func.count(runs.c.id))).scalar_one())
        facts = repr((self.loop.steps, self.loop.now, self.truth.faults, len(self.truth.spawns), made, violations))
        return Outcome(
            seed=self.seed,
            violations=tuple(violations),
            faults=dict(sorted(self.truth.faults.items())),
            virtual_seconds=self.loop.now,
            steps=self.loop.steps,
            runs=made,
            digest=hashlib.sha256(facts.encode()).hexdigest()[:16],
        )

    def _run_until_settled(self) -> None:
        watch = _Watch(self.errors)
        logging.getLogger().addHandler(watch)
        self.loop.in_world(0.0, lambda: self.loop.create_task(self._live(), name="world"))
        try:
            self.loop.run_until(lambda: self._is_settled)
        except RuntimeError as error:
            self.errors.append(f"the loop stopped: {error}")
        finally:
            logging.getLogger().removeHandler(watch)

    async def _live(self) -> None:
        database = self.server.client(self.loop.world)
        token = BearerText(kind="user", text="orc_u_" + "0" * 64)
        worker_token = BearerText(kind="worker", text="orc_w_" + "1" * 64)
        definition = project(self.chance, has_schedules=self._has_schedules)
        timing = random.Random(f"timed jobs {self.seed}")
        timed = timed_jobs(timing) if self._is_about_schedules else ()
        names = [job.name for job in definition.jobs if job.schedule is None]
        pipelined = pipelined_jobs(random.Random(f"pipelined jobs {self.seed}")) if self._is_about_pipelines else ()
        definition = msgspec.structs.replace(definition, jobs=definition.jobs + timed + pipelined)
        definitions = [definition]
        if self._is_about_limits:
            limited = msgspec.structs.replace(definition, jobs=(*definition.jobs, *self._mine), locks=dict(self._locks))
            definitions = [limited, self._neighbour]

        def prepare(connection: Connection) -> Pass:
            if self._has_schedules or timed:
                begin_notes(connection)
            if pipelined:
                begin_pipeline_notes(connection)
            first_administrator(connection, token=token, now=START)
            user = local_worker_user(connection, "machines", token=worker_token, now=START)
            for each in definitions:
                apply_definition(
                    connection, definition=each, owner_file=None, source="simulated", by="user admin", now=START
                )
            if self._is_about_limits:
                begin_limit_notes(connection)
            return Pass(user=user, digest=worker_token.digest)

        admission = await database.write(prepare)
        bearer = await database.read(partial(find_token, digest=token.digest, now=START))
        assert bearer is not None
        self._make_parts(admission)
        if self.is_about_silence or random.Random(f"beginning {self.seed}").random() < 0.2:
            # Before that no master calls a worker lost, so that what comes of it would never be seen.
            await asyncio.sleep(RESCUE_PATIENCE_SECONDS)
        client = self.client = Client(
            database=database, who=bearer.principal, sealing=self.sealing, truth=self.truth, chance=self.chance
        )
        active_seconds = 240.0 if self.is_about_silence else self.chance.choice((30.0, 60.0, 120.0))
        if self.is_about_silence:
            names += 3 * OF_SILENCE
        self.loop.create_task(self._keep_looking(), name="looks")
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self.chance.randint(3, 12)):
                at = active_seconds * self.chance.random()
                tasks.create_task(client.create(at, self.chance.choice(names)))
            if self.is_crowded:
                for at, name in self._crowd(active_seconds, names):
                    tasks.create_task(client.create(at, name))
            for _ in range(self.chance.randint(0, 4)):
                at = active_seconds * self.chance.random()
                tasks.create_task(client.stop(at, even_running=self.chance.random() < 0.7))
            for job in timed:
                for waiting in self._holding_up(timing, active_seconds, job.name):
                    tasks.create_task(waiting)
            if pipelined:
                people = self._pipeline_people(database, bearer.principal)
                self.loop.create_task(people.answer(), name="answers")
                for name in [job.name for job in pipelined if job.name.startswith("pipeline")]:
                    tasks.create_task(people.work(name, active_seconds))
            if self._is_about_limits:
                limited_people = LimitPeople(client=client, server=self.server, truth=self.truth, seed=self.seed)
                self.loop.create_task(limited_people.release(), name="releases")
                tasks.create_task(limited_people.work(active_seconds))
            tasks.create_task(Nemesis(self, active_seconds).rage())
        await self._quieten([job.name for job in timed])

    async def _quieten(self, timed: Sequence[str]) -> None:
        """No more faults: nothing is paused any more, and all comes to its end."""
        self.waits.begin_quiet()
        for name in timed:
            await self.client.resume(0.0, name)
        await self._catch_up()
        await self._settle()

    def _pipeline_people(self, database: SimulatedDatabase, who: Principal) -> PipelinePeople:
        return PipelinePeople(
            client=self.client,
            approvals=Approvals(database=database, clock=SimulatedClock(self.loop)),
            database=database,
            who=who,
            truth=self.truth,
            seed=self.seed,
        )

    def _crowd(self, active_seconds: float, names: list[str]) -> Iterator[tuple[float, str]]:
        """When, and of which jobs: all within a second or two, or spread a little."""
        chance = random.Random(f"crowd of {self.seed}")
        begins_at = 0.7 * active_seconds * chance.random()
        spread = chance.choice((0.0, 1.0, 0.3 * active_seconds))
        for _ in range(chance.randint(6, 14)):
            yield begins_at + spread * chance.random(), chance.choice(names)

    def _holding_up(
        self, chance: random.Random, active_seconds: float, job: str
    ) -> Iterator[Coroutine[object, object, None]]:
        """Pauses with and without an end, some resumed before it, and times for which the job is disabled."""
        for _ in range(chance.randint(0, 2)):
            at, seconds = active_seconds * chance.random(), 60.0 * chance.random()
            has_end = chance.random() < 0.6
            yield self.client.pause(at, job, seconds if has_end else None)
            if not has_end or chance.random() < 0.3:
                yield self.client.resume(at + seconds * chance.random(), job)
        if chance.random() < 0.3:
            yield self.client.disable(active_seconds * chance.random(), job, 30.0 * chance.random())

    def _make_parts(self, admission: Pass) -> None:
        master_names = [f"master-{number}" for number in range(1, self.chance.choice((1, 2, 2)) + 1)]
        for name in master_names:
            self.masters.append(
                MasterProcess(
                    name=name,
                    loop=self.loop,
                    network=self.network,
                    server=self.server,
                    logs=self.logs,
                    sealing=self.sealing,
                    admission=admission,
                    on_error=self.errors.append,
                )
            )
        for number in range(1, self.chance.choice((2, 3) if self.is_about_silence else (1, 2, 2, 3)) + 1):
            folder = self._folder / f"worker-{number}"
            folder.mkdir()
            machine = Machine(
                name=f"worker-{number}",
                folder=folder,
                loop=self.loop,
                clock=SimulatedClock(self.loop),
                truth=self.truth,
                seed=self.seed,
                has_long_steps=self.is_about_silence,
            )
            worker = WorkerProcess(
                machine=machine,
                loop=self.loop,
                network=self.network,
                masters=self.chance.sample(master_names, len(master_names)),
                slots=self._slots(number),
                chance=random.Random(f"{machine.name} {self.seed}"),
                on_error=self.errors.append,
            )
            self.workers.append(worker)
        for master in self.masters:
            master.start()
        for worker in self.workers:
            worker.start()

    def _slots(self, number: int) -> int:
        """The first has at least two, for what takes as many."""
        slots = self.chance.choice((1, 2, 3)) + (number == 1)
        slots = min(slots, 1 + (number == 1)) if self.is_crowded else slots
        # What takes two must find them beside a slot that is kept for somebody else.
        return max(slots, 3) if number == 1 and self._is_about_limits else slots

    async def _catch_up(self) -> None:
        """No more faults: every instant that has passed must be decided."""
        give_up_at = self.loop.now + CATCH_UP_SECONDS_MAX
        while self.loop.now < give_up_at:
            first = self.server.file.read(next_due_at)
            # Half a second is what a master may take for it.
            if self.errors or first is None or first > after(START, self.loop.now - 0.5):
                return
            await asyncio.sleep(LOOK_SECONDS)
        self.errors.append(f"R10: nobody decided about a schedule for {CATCH_UP_SECONDS_MAX:.0f} s")

    async def _settle(self) -> None:
        """No more schedules, no more faults: everything must come to its end by itself."""
        self._end_schedules()
        over, give_up_at = 0, self.loop.now + SETTLE_SECONDS_MAX
        while self.loop.now < give_up_at:
            await asyncio.sleep(LOOK_SECONDS)
            if self.errors or self._is_quiet():
                self._is_settled = True
                return
            if len(self.truth.seen_over) > over:
                # Two hundred that wait for each other, as a pause may leave them, take as long as they take.
                over, give_up_at = len(self.truth.seen_over), self.loop.now + SETTLE_SECONDS_MAX
        self.errors.append(f"R1: nothing has ended for {SETTLE_SECONDS_MAX:.0f} s: {self._what_is_left()}")
        self._is_settled = True

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._look()

    def _look(self) -> None:
        """Remembers every run that is seen to be over for the first time: it must never change again."""
        for row in self.server.file.read(lambda connection: connection.execute(_TERMINAL.order_by(runs.c.id)).all()):
            self.truth.seen_over.setdefault(row.id, tuple(row))
        if self._is_about_pipelines:
            self.errors.extend(self.server.file.read(lambda connection: list(undecided(PipelineFacts(connection)))))
        if self._is_about_limits:
            self.errors.extend(self.server.file.read(lambda connection: list(self.waits.look(connection))))

    def _end_schedules(self) -> None:
        def end(connection: Connection) -> None:
            connection.execute(update(schedules).values(next_fire_at=None))

        self.server.change(end)

    def _is_quiet(self) -> bool:
        open_runs = self.server.file.read(lambda connection: list(connection.execute(_OPEN)))
        # A machine that is gone for good is waited for as long as the job wants: that is no fault.
        waited_for = {worker.name for worker in self.workers if worker.is_gone}
        is_open = any(
            row.worker not in waited_for or _lost_after(row.specification) <= SETTLE_SECONDS_MAX for row in open_runs
        )
        return not is_open and not any(worker.holds_something for worker in self.workers)

    def _what_is_left(self) -> str:
        rows = self.server.file.read(
            lambda connection: connection.execute(
                select(runs.c.id, runs.c.state, runs.c.reason).where(runs.c.ended_at.is_(None))
            ).all()
        )
        held = [f"{worker.name} holds {worker.outbox and worker.outbox.held()}" for worker in self.workers]
        return f"{rows} {held}"


class _Watch(logging.Handler):
    """Errors that the product has met and does not know are violations."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__(level=logging.ERROR)
        self._errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps what was logged with a place in the code."""
        if record.exc_info and record.exc_info[0] is not None:
            self._errors.append(f"logged: {self.format(record)}")


_TERMINAL = select(
    runs.c.id, runs.c.state, runs.c.reason, runs.c.exit_code, runs.c.ended_at, runs.c.attempt, runs.c.attempts_counted
).where(runs.c.ended_at.is_not(None))
_OPEN = (
    select(workers.c.name.label("worker"), job_versions.c.specification)
    .select_from(runs.join(job_versions, job_versions.c.id == runs.c.job_version_id))
    .outerjoin(workers, workers.c.id == runs.c.worker_id)
    .where(runs.c.ended_at.is_(None))
)


def _lost_after(specification: str) -> float:
    return msgspec.json.decode(specification, type=JobSpecification).lost_after_seconds
