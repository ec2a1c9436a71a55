"""Triggering a job that looks at its other runs: refused, answered with another run, or in its place."""

import asyncio

import pytest
from httpx2 import AsyncClient
from sqlalchemy import func, select

from orchestra.policies import Concurrency, Conflict, Policies, Uniqueness, UniqueScope, WhenFull
from orchestra.policy import Role
from orchestra.specification import Execution, JobDefinition, JobSpecification, Parameter, ParameterType, Step
from orchestra.storage.database import Database
from orchestra.storage.open import open_database
from orchestra.storage.tables import audit_entries, runs
from tests.service.given import Counter, World

API = "/api/v1"
REPO = Parameter(name="repo", type=ParameterType.STRING)


def scan(name: str, *, unique: Uniqueness | None = None, concurrency: Concurrency | None = None) -> JobDefinition:
    """A job with a parameter that may be left out."""
    policies = Policies(unique=unique, concurrency=concurrency)
    execution = Execution(steps=(Step(name="scan", run="scan"),))
    return JobDefinition(
        name=name, specification=JobSpecification(execution=execution, parameters=(REPO,), policies=policies)
    )


def by_repo(conflict: Conflict, scope: UniqueScope = UniqueScope.ACTIVE) -> Uniqueness:
    return Uniqueness(key="{parameters.repo}", scope=scope, conflict=conflict)


DEPLOY = Concurrency(group="deploy", when_full=WhenFull.REJECT)
JOBS = (
    scan("strict", unique=by_repo(Conflict.REJECT)),
    scan("shared", unique=by_repo(Conflict.RETURN_EXISTING)),
    scan("newest", unique=by_repo(Conflict.REPLACE)),
    scan("deploy", concurrency=DEPLOY),
)


@pytest.fixture
async def world(database: Database) -> World:
    """With a job for each answer."""
    made = World(database)
    await made.project("ops", *JOBS)
    return made


@pytest.fixture
async def small_world(sqlite_database: Database) -> World:
    """The same on SQLite alone."""
    made = World(sqlite_database)
    await made.project("ops", *JOBS)
    return made


def runs_of(job: str) -> str:
    return f"{API}/projects/ops/jobs/{job}/runs"


WEB = {"parameters": {"repo": "web"}}


async def count(world: World) -> tuple[int, int]:
    """How many runs there are, and how many triggers the audit log knows."""
    triggered = select(func.count()).where(audit_entries.c.action == "run_triggered")
    made = select(func.count(runs.c.id))
    return await world.database.read(lambda c: (c.execute(made).scalar_one(), c.execute(triggered).scalar_one()))


async def test_a_second_run_with_the_same_key_is_refused_by_its_number(world: World) -> None:
    client = await world.administrator()
    await client.post(runs_of("strict"), json=WEB)

    answer = await client.post(runs_of("strict"), json=WEB)

    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    problem = answer.json()
    assert (problem["run"], problem["run_url"]) == (1, f"{API}/runs/1")
    assert problem["type"] == "urn:orchestra:problem:run-in-the-way"
    assert problem["detail"] == (
        "no run of ops/strict was made, because #1 has the same key 'web' and is pending: "
        "wait until it is over, or stop it first"
    )
    assert await count(world) == (1, 1)


async def test_other_refusals_name_no_run(small_world: World) -> None:
    client = await small_world.administrator()

    problem = (await client.post(runs_of("nothing"), json={})).json()

    assert "run" not in problem
    assert "run_url" not in problem


async def test_a_full_group_refuses_with_the_run_that_fills_it(world: World) -> None:
    client = await world.administrator()
    await client.post(runs_of("deploy"), json={})
    await world.change_run(1, state="running")

    answer = await client.post(runs_of("deploy"), json={})

    assert (answer.status_code, answer.json()["run"]) == (409, 1)
    assert "because group ops/deploy is full: #1 is running: wait until" in answer.json()["detail"]


async def test_an_existing_run_is_the_answer_as_it_is_now(world: World) -> None:
    client = await world.administrator()
    first = await client.post(runs_of("shared"), json=WEB)
    await world.change_run(1, progress_text="half way")

    answer = await client.post(runs_of("shared"), json=WEB)

    assert (first.status_code, answer.status_code) == (201, 200)
    assert ("run-existing" in first.headers, answer.headers["run-existing"]) == (False, "true")
    assert answer.headers["location"] == f"{API}/runs/1"
    assert answer.json() == {**first.json(), "progress_text": "half way"}
    assert await count(world) == (1, 1)


async def test_a_repeat_of_what_was_answered_with_an_existing_run_is_answered_the_same(world: World) -> None:
    client = await world.administrator()
    key = {"idempotency-key": "k1"}
    await client.post(runs_of("shared"), json=WEB)
    first = await client.post(runs_of("shared"), json=WEB, headers=key)
    await client.post(f"{API}/runs/1/cancel", json={})

    again = await client.post(runs_of("shared"), json=WEB, headers=key)

    assert (again.status_code, again.content) == (first.status_code, first.content) == (200, first.content)
    assert (again.headers["run-existing"], again.headers["idempotency-replayed"]) == ("true", "true")
    assert await count(world) == (1, 1)


async def test_a_repeat_of_what_was_refused_is_decided_anew(world: World) -> None:
    client = await world.administrator()
    key = {"idempotency-key": "k1"}
    await client.post(runs_of("strict"), json=WEB)
    refused = await client.post(runs_of("strict"), json=WEB, headers=key)
    await client.post(f"{API}/runs/1/cancel", json={})

    made = await client.post(runs_of("strict"), json=WEB, headers=key)
    again = await client.post(runs_of("strict"), json=WEB, headers=key)

    assert [refused.status_code, made.status_code, again.status_code] == [409, 201, 201]
    assert again.content == made.content


async def test_the_newest_takes_the_place_of_the_one_before(world: World) -> None:
    client = await world.administrator()
    await client.post(runs_of("newest"), json=WEB)

    answer = await client.post(runs_of("newest"), json=WEB)

    assert (answer.status_code, answer.json()["id"]) == (201, 2)
    old = (await client.get(f"{API}/runs/1")).json()
    assert (old["state"], old["reason"]) == ("cancelled", "cancelled by policy: replaced by #2")
    assert await count(world) == (2, 2)


async def test_a_retry_is_asked_the_same(world: World) -> None:
    client = await world.administrator()
    await client.post(runs_of("strict"), json=WEB)
    await client.post(f"{API}/runs/1/cancel", json={})
    await client.post(runs_of("strict"), json=WEB)

    answer = await client.post(f"{API}/runs/1/retry", json={})

    assert (answer.status_code, answer.json()["run"]) == (409, 2)


async def test_a_parameter_that_the_key_needs_is_named(small_world: World) -> None:
    client = await small_world.administrator()

    answer = await client.post(runs_of("strict"), json={})

    assert answer.status_code == 422
    problem = answer.json()["errors"][0]
    assert problem["pointer"] == "/parameters/repo"
    assert problem["message"].startswith("must be given, since the job's policies name it")


async def test_a_value_that_the_key_cannot_show_is_refused(small_world: World) -> None:
    unique = Uniqueness(key="{parameters.repo:d}")
    await small_world.project("ops", scan("numbered", unique=unique))
    client = await small_world.administrator()

    answer = await client.post(runs_of("numbered"), json=WEB)

    assert answer.status_code == 422
    assert "the template '{parameters.repo:d}' cannot be formatted" in answer.json()["detail"]


async def test_of_many_services_at_the_same_moment_one_makes_the_run(postgres_url: str) -> None:
    databases = [await open_database(postgres_url) for _ in range(3)]
    first = World(databases[0])
    await first.project("ops", *JOBS)
    token = await first.user("root", Role.ADMINISTRATOR)
    # Their own keys of runs, as in an installation: else each would find what another one has made.
    worlds = [
        World(each, sealing=first.sealing, randomness=Counter(1000 * number))
        for number, each in enumerate(databases, start=1)
    ]
    clients: list[AsyncClient] = [world.client(token) for world in worlds]

    for number in range(10):
        asked = {"parameters": {"repo": f"repo-{number}"}}
        strict = await asyncio.gather(*(client.post(runs_of("strict"), json=asked) for client in clients * 3))
        shared = await asyncio.gather(*(client.post(runs_of("shared"), json=asked) for client in clients * 3))
        assert sorted(answer.status_code for answer in strict) == [201] + [409] * 8
        assert sorted(answer.status_code for answer in shared) == [200] * 8 + [201]
        assert len({answer.json()["id"] for answer in shared}) == 1

    assert await count(first) == (20, 20)
    for each in databases:
        await each.close()
