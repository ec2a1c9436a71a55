"""What the tests of the service start from: a definition, people with tokens, runs, workers, and the service itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx2
from sqlalchemy import Connection, insert, select

from orchestra.clock import Instant, after
from orchestra.commands.bearer_texts import BearerText, new_bearer_text
from orchestra.commands.definitions import apply_definition
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.logs.store import LogReader, LogStore
from orchestra.policy import Grant, Role
from orchestra.sealing import Sealing, new_key
from orchestra.specification import (
    Execution,
    JobDefinition,
    JobSpecification,
    Matching,
    Operator,
    Parameter,
    ParameterType,
    ProjectDefinition,
    Requirement,
    Step,
)
from orchestra.storage.access import NewToken, add_token, add_user, set_grants
from orchestra.storage.database import Database
from orchestra.storage.projects import find_project
from orchestra.storage.tables import attempts, jobs, runs, users, workers
from orchestra.web.assemble import WebSettings, build_application, build_web_parts
from orchestra.web.rate_settings import RateSettings
from orchestra_service.assemble import service_routes
from orchestra_website.assemble import website_routes

START = Instant(1_763_700_000_000_000)
SECRET_PARAMETERS = (
    Parameter(name="replicas", type=ParameterType.INTEGER, minimum=1, maximum=20, default=2),
    Parameter(name="api-key", type=ParameterType.SECRET),
)


class HandClock:
    """A clock whose hands the test turns."""

    def __init__(self) -> None:
        self.instant = START
        self.seconds = 1000.0

    def now(self) -> Instant:
        return self.instant

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Turns both hands."""
        self.instant = after(self.instant, seconds)
        self.seconds += seconds


class Counter:
    """Bytes that differ each time, as randomness is asked for."""

    def __init__(self, before: int = 0) -> None:
        self._count = before

    def __call__(self, length: int) -> bytes:
        self._count += 1
        return self._count.to_bytes(length, "big")


@dataclass
class Logs:
    """Logs in memory, with the interface of the log store's reading side."""

    content: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def read(self, run: RunId, attempt: AttemptNumber, offset: int, length: int) -> bytes:
        return self.content.get((run, attempt), b"")[offset : offset + length]


def job(name: str, *, parameters: tuple[Parameter, ...] = (), matching: Matching | None = None) -> JobDefinition:
    """A job that says hello."""
    execution = Execution(steps=(Step(name="hello", run="echo hello"),))
    specification = JobSpecification(execution=execution, parameters=parameters, matching=matching or Matching())
    return JobDefinition(name=name, specification=specification)


LINUX = Matching(requirements=(Requirement(name="os", operator=Operator.IN, values=("linux",)),))


class World:
    """One instance with its service and website, to be asked by HTTP."""

    def __init__(
        self,
        database: Database,
        *,
        sealing: Sealing | None = None,
        logs: LogReader | None = None,
        wrapped_logs: LogStore | None = None,
        rates: RateSettings | None = None,
        randomness: Counter | None = None,
    ) -> None:
        self.database = database
        self.clock = HandClock()
        self.logs = Logs()
        self.sealing = sealing or Sealing(key=new_key())
        self.closing = asyncio.Event()
        self.randomness = randomness or Counter()
        self.parts = build_web_parts(
            database=database,
            clock=self.clock,
            logs=logs or self.logs,
            wrapped_logs=wrapped_logs,
            sealing=self.sealing,
            closing=self.closing,
            settings=WebSettings(password_rounds=10, rates=rates or RateSettings()),
            random_bytes=self.randomness,
        )
        self.app = build_application(self.parts, [*service_routes(self.parts), *website_routes(self.parts)])

    async def project(self, name: str = "ops", *jobs: JobDefinition) -> None:
        """Applies a definition."""
        definition = ProjectDefinition(
            name=name, jobs=jobs or (job("backup"), job("resize", parameters=SECRET_PARAMETERS))
        )
        await self.database.write(
            lambda connection: apply_definition(
                connection, definition, owner_file=None, source="test", by="test", now=self.clock.now()
            )
        )

    async def user(self, name: str, *roles: Role | tuple[Role, str]) -> BearerText:
        """Makes a user with these roles and a token."""
        kind = "worker" if Role.WORKER in roles else "user"
        secret = new_bearer_text(kind, self.randomness)

        def make(connection: Connection) -> None:
            user = add_user(connection, name, password_hash=None, now=START)
            assert user is not None
            grants = []
            for role in roles:
                if isinstance(role, tuple):
                    project = find_project(connection, role[1])
                    grants.append(Grant(role=role[0], project_id=project.id, project=project.name))
                else:
                    grants.append(Grant(role=role))
            set_grants(connection, user, grants)
            add_token(
                connection,
                NewToken(
                    user=user,
                    name="test",
                    kind=kind,
                    prefix=secret.prefix,
                    digest=secret.digest,
                    expires_at=None,
                    now=START,
                ),
            )

        await self.database.write(make)
        return secret

    def client(self, token: BearerText | None = None, **headers: str) -> httpx2.AsyncClient:
        """A client that shows the token."""
        sent = dict(headers)
        if token is not None:
            sent["authorization"] = f"Bearer {token.text}"
        transport = httpx2.ASGITransport(app=self.app)
        return httpx2.AsyncClient(transport=transport, base_url="http://orchestra.test", headers=sent)

    async def administrator(self) -> httpx2.AsyncClient:
        """A client of a new administrator."""
        return self.client(await self.user("root", Role.ADMINISTRATOR))

    async def change_run(self, run: int, **values: object) -> None:
        """Puts a run into a state without a master."""
        await self.database.write(
            lambda connection: connection.execute(runs.update().where(runs.c.id == run).values(**values))
        )

    async def quarantine(self, name: str, reason: str = "2 attempts were lost within 1h: #1, #2") -> None:
        """Puts the jobs of this name into quarantine without a master."""
        values = {"quarantined_at": self.clock.now(), "quarantine_reason": reason}
        await self.database.write(
            lambda connection: connection.execute(jobs.update().where(jobs.c.name == name).values(**values))
        )

    async def worker(self, name: str, **values: object) -> None:
        """Registers a worker."""
        now = self.clock.now()
        owner = await self.database.read(lambda connection: connection.execute(select(users.c.id)).scalars().first())
        if owner is None:
            await self.user("agents", Role.WORKER)
            owner = 1
        columns: dict[str, object] = {
            "name": name,
            "user_id": owner,
            "state": "online",
            "registered_at": now,
            "master": "m1",
            "connected_at": now,
            "last_contact_at": now,
            "slots": 2,
            "properties": '{"os":"linux"}',
        }
        await self.database.write(lambda connection: connection.execute(insert(workers).values({**columns, **values})))

    async def attempt(self, run: int, number: int, log: bytes, **values: object) -> None:
        """Gives a run an attempt on the first worker with this log."""
        self.logs.content[run, number] = log
        columns: dict[str, object] = {
            "run_id": run,
            "number": number,
            "epoch": 1,
            "state": "started",
            "offered_at": self.clock.now(),
            "log_length": len(log),
        }

        def add(connection: Connection) -> None:
            worker = connection.execute(select(workers.c.id).limit(1)).scalar_one()
            connection.execute(insert(attempts).values({**columns, "worker_id": worker, **values}))

        await self.database.write(add)


@contextlib.asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    """The service with its tasks."""
    async with world.app.router.lifespan_context(world.app):
        yield world
