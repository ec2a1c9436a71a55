"""The central journeys against the real service, on a real socket and a real database."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestra.cli.invocation import SystemBeat
from orchestra.network.server import serve
from orchestra.policy import Role
from orchestra.storage.database import Database, Signal, Topic
from tests.core.cli.conftest import Typed, Typist
from tests.service.given import World, job


class Served:
    """A service on a port, and a typist who may do everything there."""

    def __init__(self, world: World, typist: Typist) -> None:
        self.world = world
        self.typist = typist

    async def type(self, *words: str) -> Typed:
        """Type one command, while the service goes on serving."""
        return await asyncio.to_thread(self.typist, *words)

    async def change(self, run: int, **values: object) -> None:
        """Change a run and say so, as a master does."""
        await self.world.change_run(run, **values)
        await self.world.database.write(lambda _connection: None, signals=[Signal(Topic.RUN, str(run))])

    async def until_asked(self, words: asyncio.Task[Typed]) -> None:
        """Let the command reach the service: it has a run now."""
        async with asyncio.timeout(20):
            while not words.done() and not json.loads((await self.type("runs", "--json")).out)["items"]:
                await asyncio.to_thread(self.typist.beat.pause, 0.02)


@pytest.fixture
async def served(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[Served]:
    """The service, with the project `ops`."""
    world = World(sqlite_database)
    await world.project()
    token = await world.user("root", Role.ADMINISTRATOR)
    ports: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def farewell() -> None:
        pass

    serving = asyncio.create_task(
        serve(
            world.app,
            host="127.0.0.1",
            port=0,
            closing=world.closing,
            before_close=farewell,
            ready=ports.set_result,
        ),
        name="service",
    )
    server = f"http://127.0.0.1:{await ports}"
    environment = {"ORCHESTRA_SERVER": server, "ORCHESTRA_TOKEN": token.text, "TZ": "UTC"}
    yield Served(world, Typist(folder=tmp_path, environment=environment, beat=SystemBeat()))
    world.closing.set()
    await serving


async def test_a_run_is_followed_over_two_attempts_to_its_end(served: Served) -> None:
    """The log of each attempt, once, then the verdict."""
    await served.world.worker("atlas")
    typing = asyncio.create_task(served.type("trigger", "ops/backup", "--follow"), name="typing")
    await served.until_asked(typing)
    await served.world.attempt(1, 1, b"one\n", ended_at=served.world.clock.now(), state="failed")
    await served.change(1, state="running", attempt=1)
    await served.world.attempt(1, 2, "zwei ä\n".encode())

    now = served.world.clock.now()
    await served.change(1, state="failed", ended_at=now, started_at=now, exit_code=3, reason="exit 3", attempt=2)
    ended = await typing

    assert ended.code == 20
    assert ended.out == "one\nzwei ä\n"
    assert "-- attempt 2\n" in ended.errors
    assert "Run #1 failed in 0 s" in ended.errors
    assert "exit 3" in ended.errors


async def test_a_log_is_printed_and_its_tail_too(served: Served) -> None:
    """By range and by lines."""
    await served.world.worker("atlas")
    await served.type("trigger", "ops/backup")
    empty = await served.type("logs", "1")
    await served.world.attempt(1, 1, b"".join(b"line %d\n" % number for number in range(300_000)))

    whole = await served.type("logs", "1", "--attempt", "1")
    newest = await served.type("logs", "1")
    tail = await served.type("logs", "1", "--tail", "2")

    assert (empty.code, empty.out) == (0, "")
    assert whole.out.splitlines()[::100_000] == ["line 0", "line 100000", "line 200000"]
    assert newest.out == whole.out
    assert tail.out == "line 299998\nline 299999\n"


async def test_parameters_are_checked_by_the_service_in_their_types(served: Served) -> None:
    """A good one makes a run, a bad one is named and makes none."""
    (served.typist.folder / "key").write_text("a long enough secret\n")

    good = await served.type("trigger", "ops/resize", "-p", "replicas=3", "--secret", "api-key=@key")
    bad = await served.type("trigger", "ops/resize", "-p", "replicas=99")
    unknown = await served.type("trigger", "ops/nothing")
    shown = await served.type("run", "show", "1", "--json")

    assert (good.code, good.out) == (0, "#1\n")
    assert bad.code == 1
    assert "/parameters/replicas" in bad.errors
    assert unknown.code == 3
    assert json.loads(shown.out)["parameters"] == {"replicas": 3}
    assert "a long enough secret" not in shown.out


async def test_a_waiting_run_says_why_and_is_withdrawn(served: Served) -> None:
    """Then it is over: 21 for who waits, 5 for who is late."""
    await served.type("trigger", "ops/backup")

    why = await served.type("run", "show", "1", "--why")
    waited = await served.type("logs", "1", "-f", "--timeout", "300ms")
    cancelled = await served.type("cancel", "1", "--reason", "not today")
    again = await served.type("cancel", "1")
    followed = await served.type("logs", "1", "-f")
    retried = await served.type("retry", "1")

    assert why.out.startswith("It is pending:\n  ")
    assert waited.code == 24
    assert cancelled.out == "Run #1 is cancelled.\n"
    assert again.code == 5
    assert followed.code == 21
    assert retried.out == "#2\n"


async def test_a_definition_is_planned_applied_and_guarded(served: Served) -> None:
    """From the example to a run."""
    await served.type("init", "--example", "build")

    diff = await served.type("apply", "--diff", "--exit-code")
    applied = await served.type("apply", "--yes")
    again = await served.type("apply", "--diff", "--exit-code")
    triggered = await served.type("trigger", "shop/build", "-p", "revision=v1")

    assert diff.code == 7
    assert "+ job build" in diff.out
    assert applied.code == 0, applied.errors
    assert again.code == 0
    assert triggered.code == 0


async def test_every_list_can_be_read(served: Served) -> None:
    """The shapes of the service are the shapes of the commands."""
    await served.world.project("shop", job("build"))
    await served.world.worker("atlas")

    for noun in ("runs", "jobs", "workers", "schedules", "users", "tokens"):
        listed = await served.type(noun)
        assert listed.code == 0, (noun, listed.errors)
    shown = await served.type("worker", "show", "atlas")

    assert "os           linux" in shown.out
    assert (await served.type("worker", "drain", "atlas")).out.startswith("atlas is draining")
    assert (await served.type("worker", "resume", "atlas")).out.startswith("atlas is online")
    assert (await served.type("job", "disable", "ops/backup", "--reason", "x")).code == 0
    assert (await served.type("trigger", "ops/backup")).code == 5
    assert (await served.type("job", "enable", "ops/backup")).code == 0


async def test_people_come_and_go(served: Served) -> None:
    """User, token, sign-in, and the end of it all at once."""
    made = await served.type("user", "create", "ana", "--role", "viewer")
    token = await served.type("token", "create", "laptop", "--user", "ana", "--output", "ana.token")
    logged_in = await served.type(
        "login", served.typist.environment["ORCHESTRA_SERVER"], "--token-file", "ana.token", "--name", "test"
    )
    seen = await served.type("whoami", "--token-file", "ana.token")
    refused = await served.type("trigger", "ops/backup", "--token-file", "ana.token")
    disabled = await served.type("user", "disable", "ana")
    gone = await served.type("whoami", "--token-file", "ana.token")

    assert [typed.code for typed in (made, token, logged_in, disabled)] == [0, 0, 0, 0]
    assert seen.out.startswith("ana (viewer) at ")
    assert refused.code == 4
    assert gone.code == 4


async def test_the_doctor_finds_the_service_well(served: Served) -> None:
    """Alive, with its database, and with our token."""
    findings = json.loads((await served.type("doctor", "--json")).out)

    verdicts = {finding["check"]: finding["verdict"] for finding in findings}
    assert (verdicts["alive"], verdicts["database"], verdicts["token"]) == ("ok", "ok", "ok")
