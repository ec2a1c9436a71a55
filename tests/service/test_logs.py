"""Logs by range and by their last lines."""

import pytest

from orchestra.policy import Role
from tests.service.given import World

LOG = b"one\ntwo\nthree\n" + b"\xff\xfe no text"


async def run_with_log(world: World) -> str:
    client = await world.administrator()
    run = (await client.post("/api/v1/projects/ops/jobs/backup/runs", json={})).json()["id"]
    await world.worker("atlas")
    await world.attempt(run, 1, LOG + b"not committed yet")
    await world.database.write(
        lambda connection: connection.exec_driver_sql(f"update attempts set log_length = {len(LOG)}")
    )
    return f"/api/v1/runs/{run}"


@pytest.mark.parametrize(
    ("asked", "status", "expected", "content_range"),
    [
        (None, 200, LOG, None),
        ("bytes=0-2", 206, b"one", f"bytes 0-2/{len(LOG)}"),
        ("bytes=8-", 206, LOG[8:], f"bytes 8-{len(LOG) - 1}/{len(LOG)}"),
        ("bytes=-4", 206, LOG[-4:], f"bytes {len(LOG) - 4}-{len(LOG) - 1}/{len(LOG)}"),
        ("bytes=8-99999", 206, LOG[8:], f"bytes 8-{len(LOG) - 1}/{len(LOG)}"),
        ("lines=1-2", 200, LOG, None),
        ("bytes=0-1,4-5", 200, LOG, None),
    ],
)
async def test_a_log_is_served_byte_for_byte_and_only_as_far_as_it_is_committed(
    small_world: World, asked: str | None, status: int, expected: bytes, content_range: str | None
) -> None:
    path = await run_with_log(small_world)
    client = small_world.client(await small_world.user("ana", Role.VIEWER), **({"range": asked} if asked else {}))

    answer = await client.get(f"{path}/log")

    assert (answer.status_code, answer.content) == (status, expected)
    assert answer.headers.get("content-range") == content_range
    assert answer.headers["x-log-length"] == str(len(LOG))
    assert answer.headers["x-log-complete"] == "false"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("asked", ["bytes=24-", "bytes=5-2", "bytes=-0"])
async def test_a_range_behind_the_end_is_416_and_says_how_long_the_log_is(small_world: World, asked: str) -> None:
    path = await run_with_log(small_world)
    token = await small_world.user("ana", Role.VIEWER)

    answer = await small_world.client(token, range=asked).get(f"{path}/log")

    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(LOG)}")


@pytest.mark.parametrize(("lines", "expected"), [("0", b""), ("1", LOG[14:]), ("2", LOG[8:]), ("4", LOG), ("100", LOG)])
async def test_the_last_lines_are_counted_from_the_end(small_world: World, lines: str, expected: bytes) -> None:
    path = await run_with_log(small_world)
    client = small_world.client(await small_world.user("ben", Role.VIEWER))

    answer = await client.get(f"{path}/log", params={"tail": lines})

    assert answer.content == expected


async def test_a_run_without_an_attempt_has_an_empty_log(small_world: World) -> None:
    client = await small_world.administrator()
    run = (await client.post("/api/v1/projects/ops/jobs/backup/runs", json={})).json()["id"]

    answer = await client.get(f"/api/v1/runs/{run}/log")
    missing = await client.get(f"/api/v1/runs/{run}/attempts/1/log")

    assert (answer.status_code, answer.content, answer.headers["x-log-complete"]) == (200, b"", "false")
    assert (missing.status_code, missing.json()["detail"]) == (404, "there is no attempt #1")


async def test_a_run_that_is_not_over_says_how_much_of_its_log_there_is(small_world: World) -> None:
    path = await run_with_log(small_world)
    await small_world.change_run(int(path.rpartition("/")[2]), attempt=1)
    client = small_world.client(await small_world.user("ana", Role.VIEWER))

    run, listed = (await client.get(path)).json(), (await client.get("/api/v1/runs")).json()["items"][0]

    assert (run["log_length"], listed["log_length"]) == (len(LOG), len(LOG))
