"""Pipelines over HTTP: what elements show, who may answer an approval, and what a retry does again."""

import httpx2
import pytest
from sqlalchemy import Connection

from orchestra.definition.reader import read_definition
from orchestra.identifiers import RunId
from orchestra.policy import Role
from orchestra.queries.addresses import API
from orchestra.storage.pipelines import begin_pipeline
from tests.service.given import World

DEFINITION = """
orchestra: 1
project: ops
jobs:
  build: { run: make, parameters: { os: { options: [linux, mac] } } }
  deploy: { run: ./deploy.sh }
  release:
    parameters: { env: { default: staging } }
    elements:
      build: { matrix: { os: [linux, mac] }, with: { os: "{matrix.os}" } }
      ask: { approval: { by: [ana, administrator], message: "Deploy to {parameters.env}?", timeout: 2d } }
      deploy: { after: { build: succeeded, ask: succeeded } }
"""
ELEMENTS = f"{API}/runs/1/elements"


async def released(world: World, root: httpx2.AsyncClient, definition: str = DEFINITION) -> None:
    """Run #1 of the release, begun as by a master."""
    await world.project("ops", *read_definition(definition, "test").jobs)
    assert (await root.post(f"{API}/projects/ops/jobs/release/runs", json={})).status_code == 201

    def begin(connection: Connection) -> None:
        begin_pipeline(connection, RunId(1), actor="master m1", now=world.clock.now())

    await world.database.write(begin)


async def test_the_elements_of_a_run_are_shown_with_what_they_wait_for(world: World) -> None:
    root = await world.administrator()
    await released(world, root)

    told = {each["name"]: each for each in (await root.get(ELEMENTS)).json()["elements"]}

    assert {name: each["state"] for name, each in told.items()} == {
        "build": "running", "ask": "waiting", "deploy": "blocked",
    }  # fmt: skip
    assert [(each["key"], each["state"], each["run"]) for each in told["build"]["instances"]] == [
        ("os=linux", "running", 2), ("os=mac", "running", 3),
    ]  # fmt: skip
    assert told["deploy"]["after"] == {"build": ["succeeded"], "ask": ["succeeded"]}
    assert (told["build"]["column"], told["deploy"]["column"]) == (0, 1)
    asked = told["ask"]["approval"]
    assert (asked["message"], asked["by"], asked["due_at"]) == (
        "Deploy to staging?", ["ana", "administrator"], "2025-11-23T04:40:00Z",
    )  # fmt: skip
    child = (await root.get(f"{API}/runs/2")).json()
    assert [child[name] for name in ("parent", "element", "element_key", "source")] == [
        1, "build", "os=linux", "pipeline #1",
    ]  # fmt: skip


async def test_a_run_that_is_no_pipeline_has_no_elements(small_world: World) -> None:
    root = await small_world.administrator()
    await small_world.project("ops")
    await root.post(f"{API}/projects/ops/jobs/backup/runs", json={})

    answer = await root.get(ELEMENTS)

    assert (answer.status_code, answer.json()["detail"]) == (404, "there is no pipeline 'run #1'")


async def test_only_those_who_are_asked_may_answer_and_only_once(world: World) -> None:
    root = await world.administrator()
    await released(world, root)
    ben = world.client(await world.user("ben", Role.OPERATOR))
    ana = world.client(await world.user("ana", Role.OPERATOR))
    eve = world.client(await world.user("eve", Role.VIEWER))

    refused = await ben.post(f"{ELEMENTS}/ask/approve", json={})
    viewer = await eve.post(f"{ELEMENTS}/ask/approve", json={})
    said = await ana.post(f"{ELEMENTS}/ask/approve", json={"reason": "tested by hand"})
    again = await root.post(f"{ELEMENTS}/ask/reject", json={})

    words = "ask asks ana, administrator, and you are none of them: let one of them answer"
    assert (refused.status_code, refused.json()["detail"]) == (403, words)
    assert viewer.status_code == 403
    told = {each["name"]: each for each in said.json()["elements"]}
    assert (told["ask"]["state"], told["ask"]["reason"]) == ("succeeded", "approved by user ana: tested by hand")
    assert (again.status_code, again.json()["detail"]) == (
        409, "ask of run #1 does not wait for anybody: it is succeeded",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        ({"from_element": "nix"}, "/from_element"),
        ({"failed_only": True, "newest": True}, "/failed_only"),
        ({"parameters": {"nix": 1}}, "/parameters/nix"),
    ],
)
async def test_a_retry_that_cannot_be_is_refused(small_world: World, content: dict[str, object], pointer: str) -> None:
    root = await small_world.administrator()
    await released(small_world, root)
    await root.post(f"{API}/runs/1/abort", json={})

    answer = await root.post(f"{API}/runs/1/retry", json=content)

    assert answer.status_code == 422
    assert pointer in [each["pointer"] for each in answer.json()["errors"]]


async def test_a_run_of_one_job_has_no_part_to_be_retried(small_world: World) -> None:
    root = await small_world.administrator()
    await released(small_world, root)
    await root.post(f"{API}/runs/2/abort", json={})

    answer = await root.post(f"{API}/runs/2/retry", json={"failed_only": True})

    assert answer.json()["errors"][0]["message"] == "run #2 is no pipeline: leave it out"


async def test_a_retry_is_of_the_old_version_unless_it_is_asked_for_the_newest(small_world: World) -> None:
    root = await small_world.administrator()
    await released(small_world, root)
    await root.post(f"{API}/runs/1/abort", json={})
    changed = DEFINITION.replace("{ env: { default: staging } }", "{ env: { default: staging }, tag: { default: v1 } }")
    await small_world.project("ops", *read_definition(changed, "test").jobs)

    old = (await root.post(f"{API}/runs/1/retry", json={"failed_only": True})).json()
    newest = (await root.post(f"{API}/runs/1/retry", json={"newest": True})).json()

    assert (old["job_version"], old["parameters"], old["is_pipeline"]) == (1, {"env": "staging"}, True)
    assert (newest["job_version"], newest["parameters"]) == (2, {"env": "staging", "tag": "v1"})


async def test_a_pipeline_that_nobody_has_begun_says_so(small_world: World) -> None:
    root = await small_world.administrator()
    await small_world.project("ops", *read_definition(DEFINITION, "test").jobs)
    await root.post(f"{API}/projects/ops/jobs/release/runs", json={})

    told = (await root.get(f"{API}/runs/1/waiting")).json()

    assert (told["state"], told["reasons"]) == ("pending", ["a master begins it in a moment"])


async def test_an_element_that_asks_for_more_than_its_job_says_which_worker_lacks_it(small_world: World) -> None:
    root = await small_world.administrator()
    await small_world.worker("atlas")
    given = 'with: { os: "{matrix.os}" }'
    asking = DEFINITION.replace(given, given + ', worker: { os: "{matrix.os}" }')
    await released(small_world, root, asking)

    told = [(await root.get(f"{API}/runs/{run}/waiting")).json() for run in (2, 3)]

    assert [each["workers"][0]["matches"] for each in told] == [True, False]
    assert "linux" in told[1]["workers"][0]["reason"]


async def test_a_run_that_is_no_pipeline_has_no_approval(small_world: World) -> None:
    root = await small_world.administrator()
    await released(small_world, root)

    answers = [await root.post(f"{API}/runs/{run}/elements/ask/approve", json={}) for run in (2, 99)]

    assert [each.status_code for each in answers] == [404, 404]
