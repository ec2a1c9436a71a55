"""`kill -9` of master, worker, service and keeper at random, under load: every run ends once, executed as allowed."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path
from statistics import median

import pytest

from tests.faults.checker import check, check_unchanged, see
from tests.faults.crowd import Crowd
from tests.faults.fired import Fired
from tests.faults.load import Load
from tests.faults.own_connection import own_connection
from tests.faults.witness import Witness
from tests.support.distributed import Distributed, Part
from tests.support.journey import Instance, Orchestra, Program, end_keeper, keeper_of, running, wait_until

SERVES_SECONDS_MAX = 3.0
ADOPTS_SECONDS_MAX = 5.0
WORKERS = ("atlas", "boreas")
SLOTS = 4
WAITING = 12
BETWEEN_KILLS_MAX = 8
ATTEMPTS_MAX = 9
RETRY = f"    retry: {{ max-attempts: {ATTEMPTS_MAX}, wait: 100ms, on: [lost] }}\n"
KEEPER_LOST = ("exception",)
"""What a run may come to whose keeper was killed, if its policy allows no further attempt."""
FEW, MANY = 12, 200
KILLS = [FEW, pytest.param(MANY, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]


@dataclass
class Killing:
    """Kills somebody again and again, and measures how soon everything serves again."""

    instance: Instance
    witness: Witness
    chance: random.Random
    fired: Fired
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def program(self, kind: str, program: Program, start: Callable[[], None]) -> None:
        """A master or service: everybody is served again soon."""
        self._again(kind, program.kill, start, lambda: bool(self.instance.fleet()))

    def only_master(self, up: Orchestra) -> None:
        """The only master there is: half the time the next kill waits until all workers have come back to it."""
        served_at = datetime.now(UTC)
        self.program("master", up.program, up.start)
        since = time.monotonic()
        if self.chance.random() < 0.5:
            wait_until(lambda: all(self._came(name, served_at) for name in WORKERS), what="the workers to come back")
            self.seconds.setdefault("contact", []).append(time.monotonic() - since)

    def agent(self, name: str, program: Program) -> None:
        """The agent: whoever starts next connects again and takes up what runs."""
        started_at: list[datetime] = []

        def start() -> None:
            started_at.append(datetime.now(UTC))
            program.start()

        self._again("worker", program.kill, start, lambda: self._came(name, started_at[0]))

    def keeper(self, name: str, folder: Path) -> None:
        """The keeper: its agent starts another one."""
        dead: list[int] = []
        self._again("keeper", lambda: dead.append(end_keeper(folder)), nothing, lambda: keeper_of(folder) not in dead)

    def all_of_it(self, name: str, up: Orchestra, agent: Program, folder: Path) -> None:
        """Master, agent and keeper at the same time, as if the machine had run out of memory."""
        dead: list[int] = []
        kills: list[Callable[[], None]] = [up.program.kill, agent.kill, lambda: dead.append(end_keeper(folder))]
        starts: list[Callable[[], None]] = [up.start, agent.start]

        def kill() -> None:
            for one in self.chance.sample(kills, len(kills)):
                one()

        def start() -> None:
            for one in self.chance.sample(starts, len(starts)):
                one()

        self._again("all", kill, start, lambda: self.instance.connected(name) and keeper_of(folder) not in dead)

    def await_workers(self) -> None:
        """Waits until all workers are connected."""
        wait_until(lambda: all(self.instance.connected(name) for name in WORKERS), what="the workers")

    def assert_soon(self) -> None:
        """Fails if one of them usually takes too long; only of use on a machine that does nothing else."""
        bounds = {"master": SERVES_SECONDS_MAX, "worker": ADOPTS_SECONDS_MAX, "contact": ADOPTS_SECONDS_MAX}
        late = {kind: each for kind, each in self.seconds.items() if median(each) > bounds.get(kind, inf)}
        assert not late, late

    def _at_some_moment(self) -> None:
        """Waits until the load has gone on by a random number of lines."""
        lines = len(self.witness.lines()) + self.chance.randrange(BETWEEN_KILLS_MAX)
        wait_until(lambda: len(self.witness.lines()) >= lines, seconds=60, what="the load to go on")

    def _again(
        self, kind: str, kill: Callable[[], None], start: Callable[[], None], serves: Callable[[], bool]
    ) -> None:
        """Kills, starts again, and waits until it serves."""
        self._at_some_moment()
        kill()
        self.fired(f"kill {kind}")
        since = time.monotonic()
        start()
        wait_until(serves, what=f"the {kind} to serve again")
        self.seconds.setdefault(kind, []).append(time.monotonic() - since)

    def _came(self, name: str, after: datetime) -> bool:
        worker = self.instance.fleet()[name]
        came_at = worker.connected_at
        return worker.connected and came_at is not None and datetime.fromisoformat(came_at) > after

    def __str__(self) -> str:
        return "\n".join(
            f"{kind}: {len(each)} times, again after {median(each):.2f} s, at most {max(each):.2f} s"
            for kind, each in self.seconds.items()
        )


def nothing() -> None:
    """The agent does it by itself."""


@contextmanager
def loads_of(instance: Instance, witness: Witness) -> Iterator[tuple[Load, Load]]:
    """Runs that may be executed once, and runs that may be executed again if they are lost.

    They are triggered by a thread of their own.
    """
    with own_connection(instance) as own:
        yield (
            Load(own, witness, project="once"),
            Load(own, witness, project="again", more=RETRY, attempts_max=ATTEMPTS_MAX),
        )


def assert_kept(instance: Instance, witness: Witness, loads: Sequence[Load], restart: Callable[[], None]) -> None:
    """Everything is over and as promised, and stays so over another restart."""
    for load in loads:
        load.await_over(seconds=120)
    expected = {number: promise for load in loads for number, promise in load.expected.items()}
    ends = [see(instance, number) for number in expected]
    restart()
    after = {number: see(instance, number) for number in expected}

    (check(instance, witness, expected) + check_unchanged(ends, after)).assert_none()
    broken = [run.reason for run in ends if run.state == "exception"]
    assert all("keeper lost" in reason for reason in broken), broken
    assert len(broken) < len(ends) / 2, broken


@pytest.mark.parametrize("kills", KILLS)
def test_whoever_of_one_instance_is_killed_every_run_ends_once_and_whole(
    up: Orchestra, tmp_path: Path, witness: Witness, seed: int, fired: Fired, kills: int
) -> None:
    agents = {name: up.worker(tmp_path, name, slots=SLOTS) for name in WORKERS}
    killing = Killing(up, witness, random.Random(seed), fired)
    victims = ["master", "worker", "keeper", "all"]
    fired.want(*(f"kill {victim}" for victim in victims))
    with running(*agents.values()), loads_of(up, witness) as loads:
        killing.await_workers()
        with Crowd(*loads, witness=witness, seed=seed, waiting=WAITING, allowed=KEEPER_LOST) as crowd:
            for number in range(kills):
                name = killing.chance.choice(WORKERS)
                match victims[number % len(victims)]:
                    case "master":
                        killing.only_master(up)
                    case "worker":
                        killing.agent(name, agents[name])
                    case "keeper":
                        killing.keeper(name, tmp_path / name)
                    case _:
                        killing.all_of_it(name, up, agents[name], tmp_path / name)
        print(f"{crowd.triggered} runs\n{killing}")
        assert_kept(up, witness, loads, partial(restart, up))
        if kills == MANY:
            killing.assert_soon()


@pytest.mark.parametrize("kills", KILLS)
def test_whoever_of_several_machines_is_killed_every_run_ends_once_and_whole(
    postgres_url: str, tmp_path: Path, witness: Witness, seed: int, fired: Fired, kills: int
) -> None:
    victims = ["master", "worker", "service", "keeper"]
    fired.want(*(f"kill {victim}" for victim in victims))
    with Distributed(tmp_path, postgres_url, masters=2) as instance:
        agents = {name: instance.worker(name, slots=SLOTS) for name in WORKERS}
        killing = Killing(instance, witness, random.Random(seed), fired)
        with running(*agents.values()), loads_of(instance, witness) as loads:
            killing.await_workers()
            with Crowd(*loads, witness=witness, seed=seed, waiting=WAITING, allowed=KEEPER_LOST) as crowd:
                for number in range(kills):
                    name = killing.chance.choice(WORKERS)
                    match victims[number % len(victims)]:
                        case "master":
                            part = killing.chance.choice(instance.masters)
                            killing.program("master", part.program, partial(start_part, part))
                        case "worker":
                            killing.agent(name, agents[name])
                        case "service":
                            killing.program("service", instance.service.program, partial(start_part, instance.service))
                        case _:
                            killing.keeper(name, tmp_path / name)
            print(f"{crowd.triggered} runs\n{killing}")
            assert_kept(instance, witness, loads, partial(restart_all, instance))
            if kills == MANY:
                killing.assert_soon()


def restart(up: Orchestra) -> None:
    up.program.kill()
    up.start()


def start_part(part: Part) -> None:
    part.start()
    part.await_port()


def restart_all(instance: Distributed) -> None:
    for part in instance.parts:
        part.kill()
        start_part(part)
