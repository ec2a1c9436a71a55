"""The archive of a run: everything is in it, whole, under fixed names, and never in memory at once."""

import io
import json
import zipfile

import httpx2
import pytest
from sqlalchemy import insert

from orchestra.identifiers import AttemptNumber, RunId
from orchestra.limits import LOG_PIECE_BYTES
from orchestra.policy import Role
from orchestra.storage.tables import run_results
from tests.service.given import World, job
from tests.service.listening import listening

HOSTILE_RESULT = "../../etc/passwd"
DOCUMENTS = ["run.json", "job.json", "parameters.json", "events.json", "steps.json", "results.json"]


async def archived_run(world: World) -> int:
    """A run with two attempts, a result, and a secret that must not be told."""
    root = await world.administrator()
    wish = {"parameters": {"replicas": 3}, "secrets": {"api-key": "correct-horse-battery"}}
    made = await root.post("/api/v1/projects/ops/jobs/resize/runs", json=wish)
    run = int(made.json()["id"])
    await world.worker("atlas")
    await world.attempt(run, 1, b"first\n", ended_at=world.clock.now(), state="failed")
    await world.attempt(run, 2, b"second \xff\xfe\n" + bytes(range(256)) * 4096)
    await world.database.write(
        lambda connection: connection.execute(
            insert(run_results).values(run_id=run, name=HOSTILE_RESULT, value='"42"', text="42")
        )
    )
    return run


async def test_the_archive_holds_everything_of_the_run_byte_for_byte(world: World) -> None:
    run = await archived_run(world)
    ana = world.client(await world.user("ana", Role.VIEWER))

    answer = await ana.get(f"/api/v1/runs/{run}/archive")
    shown = (await ana.get(f"/api/v1/runs/{run}")).json()

    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="run-{run}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as opened:
        assert opened.testzip() is None
        logs = ["attempts/1/log.txt", "attempts/2/log.txt"]
        assert opened.namelist() == [f"run-{run}/{name}" for name in [*DOCUMENTS, *logs]]
        assert opened.read(f"run-{run}/attempts/1/log.txt") == b"first\n"
        assert opened.read(f"run-{run}/attempts/2/log.txt") == world.logs.content[run, 2]
        documents = {name: json.loads(opened.read(f"run-{run}/{name}")) for name in DOCUMENTS}
        assert opened.infolist()[0].date_time[:3] == (2025, 11, 21)
    assert documents["run.json"] == shown
    assert documents["parameters.json"] == {"replicas": 3}
    assert documents["results.json"] == {HOSTILE_RESULT: "42"}
    assert documents["job.json"]["job"] == "resize"
    assert [step["name"] for step in documents["job.json"]["specification"]["execution"]["steps"]] == ["hello"]
    assert [event["kind"] for event in documents["events.json"]] == ["created"]
    assert b"correct-horse" not in answer.content


async def test_the_archive_of_a_run_without_attempts_has_no_logs(small_world: World) -> None:
    root = await small_world.administrator()
    run = (await root.post("/api/v1/projects/ops/jobs/backup/runs", json={})).json()["id"]

    answer = await root.get(f"/api/v1/runs/{run}/archive")

    with zipfile.ZipFile(io.BytesIO(answer.content)) as opened:
        assert opened.namelist() == [f"run-{run}/{name}" for name in DOCUMENTS]


async def test_only_the_head_is_sent_to_whoever_asks_for_the_head(small_world: World) -> None:
    run = await archived_run(small_world)
    ana = small_world.client(await small_world.user("ana", Role.VIEWER))

    answer = await ana.head(f"/api/v1/runs/{run}/archive")

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-disposition"] == f'attachment; filename="run-{run}.zip"'


async def test_an_archive_outside_the_scope_does_not_exist(world: World) -> None:
    await world.project("shop", job("deploy"))
    root = await world.administrator()
    foreign = (await root.post("/api/v1/projects/shop/jobs/deploy/runs", json={})).json()["id"]
    ana = world.client(await world.user("ana", (Role.VIEWER, "ops")))

    answer = await ana.get(f"/api/v1/runs/{foreign}/archive")

    assert answer.status_code == 404


class CountedLogs:
    """A log of zeros without end, which remembers the largest piece that was asked for."""

    def __init__(self) -> None:
        self.largest = 0
        self.read_bytes = 0

    def read(self, run: RunId, attempt: AttemptNumber, offset: int, length: int) -> bytes:
        self.largest = max(self.largest, length)
        self.read_bytes += length
        return bytes(length)


async def test_a_long_log_is_read_and_sent_in_small_pieces(small_world: World) -> None:
    run = await archived_run(small_world)
    token = await small_world.user("ana", Role.VIEWER)
    length = 40 * LOG_PIECE_BYTES + 1
    await small_world.attempt(run, 3, b"", log_length=length)
    logs = CountedLogs()
    world = World(small_world.database, sealing=small_world.sealing, logs=logs)

    answer = await world.client(token).get(f"/api/v1/runs/{run}/archive")

    with zipfile.ZipFile(io.BytesIO(answer.content)) as opened:
        assert opened.getinfo(f"run-{run}/attempts/3/log.txt").file_size == length
        assert opened.testzip() is None
    assert logs.largest == LOG_PIECE_BYTES


async def test_an_archive_with_missing_log_bytes_breaks_off_and_cannot_be_opened(small_world: World) -> None:
    run = await archived_run(small_world)
    small_world.logs.content[run, 2] = b"only the beginning"
    token = await small_world.user("ana", Role.VIEWER)
    received = io.BytesIO()

    async def download(client: httpx2.AsyncClient, address: str) -> None:
        async with client.stream("GET", f"{address}/api/v1/runs/{run}/archive") as answer:
            async for piece in answer.aiter_bytes():
                received.write(piece)

    async with (
        listening(small_world.app, closing=small_world.closing) as server,
        httpx2.AsyncClient(headers={"authorization": f"Bearer {token.text}"}) as client,
    ):
        with pytest.raises(httpx2.RemoteProtocolError):
            await download(client, server.address)

    assert not zipfile.is_zipfile(received)
