"""Triggering, listing and showing runs."""

import asyncio

import msgspec
import pytest
from sqlalchemy import func, select

from orchestra.errors import DatabaseAway
from orchestra.policy import Role
from orchestra.specification import Parameter
from orchestra.storage.open import open_database
from orchestra.storage.tables import idempotency_keys, runs
from tests.service.given import World, job

RUNS = "/api/v1/projects/ops/jobs/backup/runs"
RESIZE = "/api/v1/projects/ops/jobs/resize/runs"


async def count_runs(world: World) -> int:
    return await world.database.read(lambda connection: connection.execute(select(func.count(runs.c.id))).scalar_one())


async def test_a_triggered_run_is_answered_exactly_as_it_is_stored(world: World) -> None:
    client = await world.administrator()

    made = await client.post(RESIZE, json={"parameters": {"replicas": 3}, "priority": 5})
    shown = await client.get(made.headers["location"])

    assert made.status_code == 201
    everything = shown.json()
    assert made.json() == {name: everything[name] for name in made.json()}
    assert made.json()["parameters"] == {"replicas": 3}
    assert made.json()["source"] == "user root"
    assert made.json()["state"] == "pending"
    assert everything["waiting"]["reasons"]


async def test_a_bad_parameter_is_named_and_makes_no_run(world: World) -> None:
    client = await world.administrator()

    answer = await client.post(RESIZE, json={"parameters": {"replicas": 99, "colour": "red"}})

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert {problem["pointer"] for problem in answer.json()["errors"]} == {"/parameters/replicas", "/parameters/colour"}
    assert await count_runs(world) == 0


async def test_the_same_key_and_body_give_the_same_answer_once_more(world: World) -> None:
    client = await world.administrator()

    first = await client.post(RUNS, json={"priority": 1}, headers={"idempotency-key": "k1"})
    again = await client.post(RUNS, json={"priority": 1}, headers={"idempotency-key": "k1"})

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await count_runs(world) == 1


async def test_the_same_key_with_another_body_is_refused(world: World) -> None:
    client = await world.administrator()
    await client.post(RUNS, json={"priority": 1}, headers={"idempotency-key": "k1"})

    answer = await client.post(RUNS, json={"priority": 2}, headers={"idempotency-key": "k1"})

    assert answer.status_code == 422
    assert "idempotency key 'k1'" in answer.json()["detail"]
    assert await count_runs(world) == 1


async def test_two_services_that_get_one_key_at_the_same_moment_make_one_run(world: World) -> None:
    token = await world.user("root", Role.ADMINISTRATOR)
    clients = [each.client(token) for each in (world, World(world.database, sealing=world.sealing))]

    answers = await asyncio.gather(
        *(client.post(RUNS, json={}, headers={"idempotency-key": "k1"}) for client in clients * 4)
    )

    assert len({answer.content for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {201}
    assert await count_runs(world) == 1


async def test_two_processes_that_get_one_key_at_the_same_moment_make_one_run(postgres_url: str) -> None:
    first, second = await open_database(postgres_url), await open_database(postgres_url)
    world, other = World(first), World(second)
    await world.project()
    # One key for both, as in an installation: else the fingerprints of the same request would differ.
    clients = [
        World(database, sealing=world.sealing).client(token)
        for token in [await world.user("root", Role.ADMINISTRATOR)]
        for database in (first, second)
    ]

    answers = []
    for number in range(20):
        answers += await asyncio.gather(
            *(client.post(RUNS, json={}, headers={"idempotency-key": f"k{number}"}) for client in clients)
        )

    runs_made = await count_runs(other)
    await first.close()
    await second.close()
    assert {answer.status_code for answer in answers} == {201}
    assert runs_made == 20


async def test_a_failure_behind_the_run_leaves_neither_run_nor_key(
    small_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await small_world.administrator()
    with monkeypatch.context() as patched:
        patched.setattr("orchestra.commands.triggers.keep_answer", _fail)
        broken = await client.post(RUNS, json={}, headers={"idempotency-key": "k1"})
    assert (broken.status_code, await count_runs(small_world)) == (503, 0)

    again = await client.post(RUNS, json={}, headers={"idempotency-key": "k1"})

    assert again.status_code == 201
    assert "idempotency-replayed" not in again.headers


def _fail(*_arguments: object, **_named: object) -> bool:
    raise DatabaseAway("test", "the disk is full")


async def test_a_key_is_free_again_after_a_day(world: World) -> None:
    client = await world.administrator()
    await client.post(RUNS, json={}, headers={"idempotency-key": "k1"})

    world.clock.advance(24 * 3600 + 1)
    again = await client.post(RUNS, json={"priority": 7}, headers={"idempotency-key": "k1"})

    assert again.status_code == 201
    assert "idempotency-replayed" not in again.headers
    assert await count_runs(world) == 2


async def test_keys_of_two_users_are_two_keys(world: World) -> None:
    root, ana = await world.administrator(), world.client(await world.user("ana", Role.OPERATOR))
    await root.post(RUNS, json={}, headers={"idempotency-key": "k1"})

    answer = await ana.post(RUNS, json={}, headers={"idempotency-key": "k1"})

    assert "idempotency-replayed" not in answer.headers
    assert await count_runs(world) == 2


async def test_a_repeat_is_answered_even_if_the_job_was_disabled_meanwhile(world: World) -> None:
    client = await world.administrator()
    first = await client.post(RUNS, json={}, headers={"idempotency-key": "k1"})
    await client.patch("/api/v1/projects/ops/jobs/backup", json={"enabled": False})

    again = await client.post(RUNS, json={}, headers={"idempotency-key": "k1"})

    assert again.content == first.content


async def test_the_kept_answer_has_no_trace_of_a_secret(world: World) -> None:
    client = await world.administrator()

    answer = await client.post(
        RESIZE, json={"secrets": {"api-key": "hunter2-hunter2"}}, headers={"idempotency-key": "k1"}
    )

    assert answer.status_code == 201
    row = await world.database.read(lambda connection: connection.execute(select(runs)).one())
    kept = await world.database.read(lambda connection: connection.execute(select(idempotency_keys)).one())
    assert "hunter2" not in repr((row, kept)) + answer.text
    assert world.sealing.open(row.sealed_secrets) == {"api-key": "hunter2-hunter2"}


async def test_a_disabled_job_refuses_and_is_named(world: World) -> None:
    client = await world.administrator()
    await client.patch("/api/v1/projects/ops/jobs/backup", json={"enabled": False, "reason": "disk is full"})

    answer = await client.post(RUNS, json={})

    assert answer.status_code == 409
    assert answer.json()["detail"] == "job ops/backup is disabled by root: disk is full: enable it first"
    assert await count_runs(world) == 0


async def test_a_job_that_another_process_has_just_disabled_is_not_triggered_from_memory(world: World) -> None:
    client = await world.administrator()
    await client.post(RUNS, json={})
    other = World(world.database)
    await other.client(await world.user("ana", Role.OPERATOR)).patch(
        "/api/v1/projects/ops/jobs/backup", json={"enabled": False}
    )

    answer = await client.post(RUNS, json={})

    assert answer.status_code == 409
    assert await count_runs(world) == 1


async def test_a_parameter_that_is_new_in_the_definition_is_known_at_once(world: World) -> None:
    client = await world.administrator()
    await client.post("/api/v1/projects/ops/jobs/backup/runs", json={})
    await world.project("ops", job("backup", parameters=(Parameter(name="speed"),)))

    answer = await client.post("/api/v1/projects/ops/jobs/backup/runs", json={"parameters": {"speed": "low"}})

    assert answer.status_code == 201, answer.text
    assert answer.json()["parameters"] == {"speed": "low"}


async def test_a_delayed_run_waits_for_its_time_and_says_so(world: World) -> None:
    client = await world.administrator()

    made = await client.post(RUNS, json={"delay_seconds": 90})

    assert made.json()["state"] == "scheduled"
    waiting = (await client.get(f"{made.headers['location']}/waiting")).json()
    assert waiting["reasons"] == ["it starts at 2025-11-21T04:41:30.000Z (in 90 s)"]


async def test_a_run_may_start_at_a_moment_by_the_clocks_of_a_zone_and_a_repeat_finds_it(world: World) -> None:
    client = await world.administrator()
    wanted = {"run_at": "2025-12-24T18:00", "zone": "Europe/Paris"}

    made = await client.post(RUNS, json=wanted, headers={"idempotency-key": "k1"})
    world.clock.advance(2 * 60.0)
    again = await client.post(RUNS, json=wanted, headers={"idempotency-key": "k1"})

    assert (made.json()["state"], made.json()["due_at"]) == ("scheduled", "2025-12-24T17:00:00Z")
    assert again.content == made.content
    waiting = (await client.get(f"{made.headers['location']}/waiting")).json()
    assert waiting["reasons"] == ["it starts at 2025-12-24T17:00:00.000Z (in 33 d)"]


async def test_a_delayed_run_can_be_cancelled(world: World) -> None:
    client = await world.administrator()
    made = await client.post(RUNS, json={"run_at": "2025-12-24T18:00Z"})

    await client.post(f"{made.headers['location']}/cancel", json={})

    assert (await client.get(made.headers["location"])).json()["state"] == "cancelled"


async def test_a_repeat_is_answered_though_its_moment_has_passed(world: World) -> None:
    client = await world.administrator()
    wanted = {"run_at": "2025-11-21T05:00Z"}
    made = await client.post(RUNS, json=wanted, headers={"idempotency-key": "k1"})

    world.clock.advance(3600.0)
    again = await client.post(RUNS, json=wanted, headers={"idempotency-key": "k1"})

    assert (again.status_code, again.content) == (201, made.content)


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ({"run_at": "2025-11-21T04:38:59Z"}, "/run_at: was 1 min 1 s ago, it is 2025-11-21T04:40:00.000Z now"),
        ({"run_at": "2026-11-23T00:00Z"}, "/run_at: must be within 366 days"),
        ({"run_at": "2025-12-24"}, '/run_at: is no moment: "2025-12-24"; write one such as 2026-12-24T18:00'),
        ({"run_at": "tomorrow morning"}, '/run_at: is no moment: "tomorrow morning"'),
        ({"run_at": "9999-12-31T23:59-14:00"}, "/run_at: "),
        ({"run_at": "2025-12-24T18:00", "delay_seconds": 60}, "/run_at: stands beside a delay: give one of both"),
        ({"run_at": "2025-12-24T18:00", "zone": "Mars"}, "/zone: 'Mars' is no time zone"),
        ({"zone": "Europe/Paris"}, "/zone: is the zone of `run_at`, which is not given"),
        ({"delay_seconds": -1}, "/delay_seconds: must be from 0 to 31622400"),
    ],
)
async def test_a_start_that_cannot_be_meant_is_refused(
    small_world: World, wanted: dict[str, object], problem: str
) -> None:
    client = await small_world.administrator()

    answer = await client.post(RUNS, json=wanted)

    assert answer.status_code == 422
    assert problem in answer.json()["detail"]
    assert await count_runs(small_world) == 0


async def test_a_moment_within_the_last_minute_is_now(small_world: World) -> None:
    client = await small_world.administrator()

    made = await client.post(RUNS, json={"run_at": "2025-11-21T04:39:00Z"})

    assert made.json()["state"] == "pending"


async def test_lists_are_paged_by_key_and_survive_inserts(world: World) -> None:
    client = await world.administrator()
    for _ in range(5):
        await client.post(RUNS, json={})

    first = (await client.get("/api/v1/runs", params={"limit": 2})).json()
    await client.post(RUNS, json={})
    second = (await client.get("/api/v1/runs", params={"limit": 2, "cursor": first["next"]})).json()

    assert [run["id"] for run in first["items"]] == [5, 4]
    assert [run["id"] for run in second["items"]] == [3, 2]
    assert first["total"] == {"value": 5, "exact": True}


async def test_an_unknown_job_is_404_and_an_unknown_field_is_422(world: World) -> None:
    client = await world.administrator()

    missing = await client.post("/api/v1/projects/ops/jobs/nothing/runs", json={})
    unknown = await client.post(RUNS, json={"prioritty": 1})

    assert (missing.status_code, missing.json()["detail"]) == (404, "there is no job 'ops/nothing'")
    assert unknown.status_code == 422
    assert "prioritty" in unknown.json()["detail"]


async def test_a_retry_is_a_new_run_with_the_same_parameters(world: World) -> None:
    client = await world.administrator()
    old = (await client.post(RESIZE, json={"parameters": {"replicas": 7}, "priority": 3})).json()["id"]
    await client.post(f"/api/v1/runs/{old}/cancel", json={"reason": "typo"})

    answer = await client.post(f"/api/v1/runs/{old}/retry", json={})

    made = msgspec.json.decode(answer.content, type=dict[str, object])
    assert answer.status_code == 201
    assert (made["retry_of"], made["parameters"], made["priority"]) == (old, {"replicas": 7}, 3)
    assert made["source"] == f"retry of #{old} by user root"


async def test_a_run_that_is_not_over_is_not_retried(world: World) -> None:
    client = await world.administrator()
    run = (await client.post(RUNS, json={})).json()["id"]

    answer = await client.post(f"/api/v1/runs/{run}/retry", json={})

    assert (answer.status_code, await count_runs(world)) == (409, 1)
