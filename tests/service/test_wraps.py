"""Runs that something else starts, over HTTP: every word may be said again, and nobody else may say it."""

import base64
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import func, select

from orchestra.logs.digest import SegmentedDigest
from orchestra.logs.store import FileLogStore
from orchestra.policy import Role
from orchestra.specification import Execution, JobDefinition, JobSpecification
from orchestra.storage.database import Database
from orchestra.storage.tables import attempts, runs
from tests.service.given import World, job

WRAPS = "/api/v1/projects/ops/jobs/dump/wraps"
START: dict[str, object] = {"key": "k" * 32, "host": "db1", "account": "root", "command": "./dump.sh --all"}
DUMP = JobDefinition(name="dump", specification=JobSpecification(execution=Execution(steps=()), wrapped=True))


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> World:
    """A service that may write logs, with a wrapped job beside one of its own."""
    logs = FileLogStore(tmp_path / "logs")
    made = World(database, logs=logs, wrapped_logs=FileLogStore(tmp_path / "logs"))
    await made.project("ops", DUMP, job("backup"))
    return made


async def start(client: httpx2.AsyncClient, **changes: object) -> int:
    """The run that was made for it."""
    answer = await client.post(WRAPS, json={**START, **changes})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["run"])


def piece(offset: int, log: bytes, **more: object) -> dict[str, object]:
    """What a wrap sends."""
    return {"key": START["key"], "offset": offset, "log": base64.b64encode(log).decode(), **more}


async def test_a_wrapped_run_runs_from_the_first_moment_and_takes_no_worker(world: World) -> None:
    client = await world.administrator()

    run = await start(client, elapsed_seconds=90)

    shown = (await client.get(f"/api/v1/runs/{run}")).json()
    assert (shown["state"], shown["source"], shown["worker"]) == ("running", "wrap root@db1", None)
    assert shown["wrap"]["command"] == "./dump.sh --all"
    assert shown["started_at"] == "2025-11-21T04:38:30Z"
    assert [(each["number"], each["worker"], each["state"]) for each in shown["attempts"]] == [(1, None, "started")]


async def test_its_log_and_its_end_are_kept_with_their_digest(world: World) -> None:
    client = await world.administrator()
    run = await start(client, elapsed_seconds=5)
    path = f"/api/v1/runs/{run}/wrap"

    first = (await client.post(path, json=piece(0, b"one\n"))).json()
    end = piece(4, b"two\n", end={"exit_code": 7, "took_seconds": 3})
    last = (await client.post(path, json=end)).json()

    shown = (await client.get(f"/api/v1/runs/{run}")).json()
    digest = SegmentedDigest()
    digest.update(b"one\ntwo\n")
    assert (first["state"], first["log_length"]) == ("running", 4)
    assert (last["state"], last["log_length"]) == ("failed", 8)
    assert (shown["exit_code"], shown["reason"]) == (7, "exit code 7")
    assert shown["ended_at"] == "2025-11-21T04:39:58Z"
    assert shown["attempts"][0]["log_digest"] == digest.hexdigest()
    assert (await client.get(f"/api/v1/runs/{run}/log")).text == "one\ntwo\n"


async def test_whatever_is_said_again_changes_nothing(world: World) -> None:
    client = await world.administrator()
    run = await start(client)
    path = f"/api/v1/runs/{run}/wrap"
    end = piece(2, b"e\ntwo\n", end={"exit_code": 0, "took_seconds": 3})

    for content in (piece(0, b"one\n"), piece(0, b"one\n"), end, end, piece(0, b"other\n")):
        answer = await client.post(path, json=content)
        again = await start(client)

    assert (answer.status_code, answer.json()["state"], again) == (200, "succeeded", run)
    assert (await client.get(f"/api/v1/runs/{run}/log")).text == "one\ntwo\n"
    assert await world.database.read(lambda c: c.execute(select(func.count()).select_from(runs)).scalar_one()) == 1
    audited = (await client.get("/api/v1/audit", params={"action": "run_wrapped"})).json()["items"]
    assert len(audited) == 1


async def test_a_piece_behind_the_end_is_refused_and_writes_nothing(world: World) -> None:
    client = await world.administrator()
    run = await start(client)

    answer = await client.post(f"/api/v1/runs/{run}/wrap", json=piece(9, b"late\n"))

    assert (answer.status_code, answer.json()["detail"]) == (409, f"run #{run} has 0 bytes of log, a piece begins at 9")
    assert await world.database.read(lambda c: c.execute(select(attempts.c.log_length)).scalar_one()) == 0


async def test_two_services_take_turns_with_one_log(world: World, tmp_path: Path) -> None:
    client = await world.administrator()
    other = World(
        world.database, sealing=world.sealing, logs=world.parts.logs, wrapped_logs=FileLogStore(tmp_path / "logs")
    )
    beside = other.client(await world.user("ana", Role.ADMINISTRATOR))
    beside.headers["authorization"] = client.headers["authorization"]
    run = await start(client)
    path, text = f"/api/v1/runs/{run}/wrap", b"".join(b"line %d\n" % number for number in range(40))

    for index in range(0, len(text), 32):
        asked = (client, beside)[index // 32 % 2]
        answer = await asked.post(path, json=piece(index, text[index : index + 32]))
        assert answer.json()["log_length"] == min(index + 32, len(text))
    await beside.post(path, json=piece(len(text), b"", end={"exit_code": 0, "took_seconds": 1}))

    digest = SegmentedDigest()
    digest.update(text)
    shown = (await client.get(f"/api/v1/runs/{run}")).json()
    assert (await client.get(f"/api/v1/runs/{run}/log")).content == text
    assert shown["attempts"][0]["log_digest"] == digest.hexdigest()


@pytest.mark.parametrize(
    ("end", "state", "reason"),
    [
        ({"signal": "SIGTERM", "took_seconds": 1}, "failed", "ended by SIGTERM"),
        ({"trouble": "command not found: ./dump.sh", "took_seconds": 0}, "exception", "command not found: ./dump.sh"),
        ({"exit_code": 0, "took_seconds": 1}, "succeeded", ""),
    ],
)
async def test_every_way_to_end_has_its_state(world: World, end: dict[str, object], state: str, reason: str) -> None:
    client = await world.administrator()
    run = await start(client)

    await client.post(f"/api/v1/runs/{run}/wrap", json=piece(0, b"", end=end))

    shown = (await client.get(f"/api/v1/runs/{run}")).json()
    assert (shown["state"], shown["reason"]) == (state, reason)


async def test_nobody_else_and_nothing_else_may_tell_of_it(world: World) -> None:
    client = await world.administrator()
    operator = world.client(await world.user("ana", (Role.OPERATOR, "ops")))
    viewer = world.client(await world.user("vera", (Role.VIEWER, "ops")))
    run = await start(client)
    path = f"/api/v1/runs/{run}/wrap"

    answers = [
        await operator.post(path, json=piece(0, b"x")),
        await client.post(path, json={**piece(0, b"x"), "key": "o" * 32}),
        await viewer.post(path, json=piece(0, b"x")),
        await viewer.post(WRAPS, json=START),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 403, 403]
    assert await world.database.read(lambda c: c.execute(select(attempts.c.log_length)).scalar_one()) == 0


async def test_a_job_with_steps_is_not_wrapped_and_a_wrapped_one_is_not_triggered(world: World) -> None:
    client = await world.administrator()
    run = await start(client)

    answers = [
        await client.post("/api/v1/projects/ops/jobs/backup/wraps", json=START),
        await client.post("/api/v1/projects/ops/jobs/dump/runs", json={}),
        await client.post(f"/api/v1/runs/{run}/abort", json={}),
    ]

    assert [answer.status_code for answer in answers] == [409, 409, 409]
    assert [answer.json()["detail"] for answer in answers] == [
        "job ops/backup has steps of its own, which workers execute: "
        "wrap a job that says 'wrapped: true' in its definition",
        "job ops/dump is started elsewhere: only 'orchestra wrap ops/dump -- COMMAND' makes runs of it",
        f"run #{run} was not started here: stop its command on db1",
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"key": "short"}, "/key"),
        ({"key": "../" * 10}, "/key"),
        ({"host": "a\nb"}, "/host"),
        ({"account": ""}, "/account"),
        ({"command": "x" * 1001}, "/command"),
        ({"elapsed_seconds": -1}, "/elapsed_seconds"),
    ],
)
async def test_a_bad_start_is_refused(world: World, change: dict[str, object], field: str) -> None:
    client = await world.administrator()

    answer = await client.post(WRAPS, json={**START, **change})

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, field)


async def test_a_wrapped_run_is_never_offered_to_anybody(world: World) -> None:
    client = await world.administrator()
    run = await start(client)

    history = (await client.get(f"/api/v1/runs/{run}/events")).json()["items"]
    fleet = (await client.get("/api/v1/workers")).json()["items"]

    assert [(each["kind"], each["actor"]) for each in history] == [
        ("created", "wrap root@db1"),
        ("started", "wrap root@db1"),
    ]
    assert fleet == []


async def test_the_page_of_a_wrapped_job_says_how_it_is_started(world: World) -> None:
    client = await world.administrator()

    page = (await client.get("/projects/ops/jobs/dump")).text

    assert "orchestra wrap ops/dump -- COMMAND" in page
    assert "/trigger" not in page
    assert "Workers that can do it now" not in page


async def test_the_page_of_a_wrapped_run_says_where_it_runs(world: World) -> None:
    client = await world.administrator()
    run = await start(client)
    await client.post(f"/api/v1/runs/{run}/wrap", json=piece(0, b"dumping\n"))

    page, tab = await client.get(f"/runs/{run}"), await client.get(f"/runs/{run}/attempts")

    assert "as root on db1: <code>./dump.sh --all</code>" in page.text
    assert "dumping" in (await client.get(f"/runs/{run}/log")).text
    assert f"/runs/{run}/abort" not in page.text
    assert "/workers/" not in tab.text.split("<main")[1]
