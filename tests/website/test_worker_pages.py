"""The pages of workers: the list, one worker, steering it, and adding one."""

import html
import re
import shlex

import httpx2
import pytest

from orchestra.clock import after
from orchestra.policy import Role
from orchestra.queries.addresses import API
from orchestra.specification import Matching, Operator, Requirement
from orchestra.storage.tables import workers
from tests.service.given import START, World, job

GPU = Matching(requirements=(Requirement(name="gpu", operator=Operator.AT_LEAST, values=(1,)),))
HOSTILE = "<script>alert(1)</script>"
MASTER = "https://orchestra.example:7780"


def text_of(answer: httpx2.Response) -> str:
    """What a reader sees, on one line."""
    main = answer.text.partition("<main")[2].partition("</main>")[0].partition(">")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


async def given_run(world: World, client: httpx2.AsyncClient, **values: object) -> int:
    """A run that the first worker has."""
    made = await client.post(f"{API}/projects/ops/jobs/backup/runs", json={})
    run = int(made.json()["id"])
    await world.change_run(run, worker_id=1, state="running", started_at=START, **values)
    return run


async def test_the_list_shows_slots_runs_contact_version_and_properties(world: World) -> None:
    client = await world.administrator()
    await world.worker("atlas", version="0.0.1", properties='{"os":"linux","fast":true}', slots=4)
    run = await given_run(world, client, slots=3)

    answer = await client.get("/workers")

    shown = text_of(answer)
    assert "online" in shown
    assert "3/4" in shown
    assert 'max="4" value="3"' in answer.text
    assert f'href="/runs/{run}"' in answer.text
    assert "fast=true" in shown
    assert "0.0.1 this server has" in shown


async def test_without_a_worker_the_list_says_how_to_add_one(small_world: World) -> None:
    root = await small_world.administrator()
    viewer = small_world.client(await small_world.user("ana", Role.VIEWER))

    assert 'href="/add-worker"' in (await root.get("/workers")).text
    assert "An administrator makes a token for it" in text_of(await viewer.get("/workers"))
    assert "/add-worker" not in (await viewer.get("/workers")).text


async def test_a_worker_that_is_silent_is_out_of_contact_and_not_online(small_world: World) -> None:
    await small_world.worker("atlas", last_contact_at=after(START, -3600))
    client = await small_world.administrator()

    listed, one = await client.get("/workers"), await client.get("/workers/atlas")

    assert "out of contact since 2025-11-21" in text_of(listed)
    assert "online" not in text_of(listed)
    assert "What it runs goes on there" in text_of(one)


async def test_one_worker_shows_its_runs_and_which_jobs_it_can_do(world: World) -> None:
    await world.project("ops", job("backup"), job("render", matching=GPU))
    client = await world.administrator()
    await world.worker("atlas", properties='{"gpu":0}')
    held = await given_run(world, client)
    ended = await given_run(world, client)
    await world.change_run(ended, state="failed", ended_at=after(START, 12))

    answer = await client.get("/workers/atlas")

    shown = text_of(answer)
    assert f"running #{held} ops/backup" in shown
    assert f"failed #{ended} ops/backup" in shown
    assert "12 s" in shown
    assert "ops/backup ✔ yes only this worker" in shown
    assert "<code>gpu</code> is 0, needs &gt;= 1" in answer.text
    assert [change for change in ("enable", "drain", "disable") if f"/workers/atlas/{change}" in answer.text] == [
        "drain",
        "disable",
    ]


async def test_a_quarantined_worker_says_why_and_how_to_mend_it(small_world: World) -> None:
    await small_world.worker("atlas", state="quarantined", reason="two instances took the name from each other")
    client = await small_world.administrator()

    shown = text_of(await client.get("/workers/atlas"))
    page = text_of(await client.get("/workers/atlas/enable"))

    assert "Quarantined : two instances took the name from each other." in shown
    assert "stop the agent on the other" in shown
    assert "Be sure that one of them is stopped" in page


async def test_draining_says_first_what_happens_to_each_run(world: World) -> None:
    client = await world.administrator()
    await world.worker("atlas")
    run = await given_run(world, client)

    page = await client.get("/workers/atlas/drain")
    done = await client.post("/workers/atlas/drain", data={"reason": HOSTILE})
    shown = await client.get(done.headers["location"])

    assert f"#{run} ops/backup : goes on to its end here" in text_of(page)
    assert (done.status_code, done.headers["location"]) == (303, "/workers/atlas?done=drain")
    assert "atlas is draining, its runs go on." in text_of(shown)
    assert f"draining by root: {HOSTILE}" in text_of(shown)
    assert HOSTILE not in shown.text
    assert (await client.get(f"{API}/runs/{run}")).json()["state"] == "running"


async def test_a_run_on_a_worker_out_of_contact_is_said_to_go_on_there(small_world: World) -> None:
    client = await small_world.administrator()
    await small_world.worker("atlas", last_contact_at=after(START, -3600))
    await given_run(small_world, client)

    assert "goes on there, although it is out of contact" in text_of(await client.get("/workers/atlas/disable"))


async def test_a_change_that_the_state_does_not_allow_says_what_to_do_first(small_world: World) -> None:
    client = await small_world.administrator()
    await small_world.worker("atlas", state="disabled")

    page = await client.get("/workers/atlas/drain")
    refused = await client.post("/workers/atlas/drain", data={})
    already = await client.get("/workers/atlas/disable")

    assert "that cannot become draining. Enable it first." in text_of(page)
    assert "<form" not in page.text.partition("<main")[2].partition("</main>")[0]
    assert refused.status_code == 422
    assert "It is disabled already" in text_of(already)


async def test_steering_twice_is_no_error(small_world: World) -> None:
    client = await small_world.administrator()
    await small_world.worker("atlas")

    answers = [await client.post("/workers/atlas/disable", data={"reason": "disk"}) for _ in range(2)]

    assert [each.status_code for each in answers] == [303, 303]


async def test_a_bad_reason_keeps_what_was_typed(small_world: World) -> None:
    client = await small_world.administrator()
    await small_world.worker("atlas")

    refused = await client.post("/workers/atlas/drain", data={"reason": "x" * 501})

    assert refused.status_code == 422
    assert f'value="{"x" * 501}"' in refused.text


@pytest.mark.parametrize("path", ["/workers/none", "/workers/none/drain", "/workers/atlas/explode"])
async def test_what_is_not_there_is_a_page_that_says_so(small_world: World, path: str) -> None:
    await small_world.worker("atlas")
    client = await small_world.administrator()

    assert (await client.get(path)).status_code == 404


async def test_who_may_not_steer_sees_no_button_and_is_refused(small_world: World) -> None:
    await small_world.worker("atlas")
    client = small_world.client(await small_world.user("ana", Role.VIEWER, (Role.OPERATOR, "ops")))

    shown = await client.get("/workers/atlas")

    assert "/workers/atlas/drain" not in shown.text
    for method, path in (("GET", "/workers/atlas/drain"), ("POST", "/workers/atlas/drain"), ("GET", "/add-worker")):
        assert (await client.request(method, path)).status_code == 403


async def test_runs_of_hidden_projects_are_counted_but_not_named(small_world: World) -> None:
    await small_world.project("shop", job("sync"))
    root = await small_world.administrator()
    await small_world.worker("atlas")
    await given_run(small_world, root)
    client = small_world.client(await small_world.user("ana", (Role.VIEWER, "shop")))

    answer = await client.get("/workers/atlas")

    assert "1/2 in use" in text_of(answer)
    assert "ops/backup" not in answer.text
    assert "It has runs in projects that you may not read." in text_of(answer)


async def test_adding_a_worker_shows_its_secret_once_with_one_line_to_paste(world: World) -> None:
    client = await world.administrator()

    form = await client.get("/add-worker")
    made = await client.post("/add-worker", data={"name": "build-07", "master": MASTER})
    awaited = await client.get("/add-worker?name=build-07")

    assert 'value="http://orchestra.test"' in form.text
    assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
    (line,) = re.findall(r"<code>(\(umask.*?)</code>", made.text)
    words = shlex.split(html.unescape(line).strip("()"))
    secret = words[words.index("echo") + 1]
    assert html.unescape(line).endswith(
        f"orchestra worker start --master {MASTER} --token-file build-07.token --name build-07"
    )
    assert secret.startswith("orc_w_")
    assert secret not in awaited.text
    assert "Waiting for build-07" in text_of(awaited)
    tokens = (await client.get(f"{API}/tokens")).json()["items"]
    assert ("build-07", "build-07", "worker") in [(each["user"], each["name"], each["kind"]) for each in tokens]


async def test_the_waiting_page_says_when_the_worker_has_connected(small_world: World) -> None:
    client = await small_world.administrator()
    await small_world.worker("build-07")

    shown = text_of(await client.get("/add-worker?name=build-07"))

    assert "build-07 is connected" in shown
    assert "with 2 slots" in shown


@pytest.mark.parametrize(
    ("name", "master", "words"),
    [
        ("Build 07", MASTER, "name"),
        ("", MASTER, "name"),
        ("build-07", "ftp://x", "Write an address such as https://orchestra.example:7780."),
        ("build-07", "https://a b", "Write an address such as https://orchestra.example:7780."),
        ("build-07", "http://[", "Write an address such as https://orchestra.example:7780."),
        ("root", MASTER, "lacks the role"),
        (HOSTILE, HOSTILE, "name"),
    ],
)
async def test_bad_input_keeps_the_form_and_makes_no_token(
    small_world: World, name: str, master: str, words: str
) -> None:
    client = await small_world.administrator()
    before = (await client.get(f"{API}/tokens")).json()["total"]["value"]

    refused = await client.post("/add-worker", data={"name": name, "master": master})

    assert refused.status_code == 422
    assert words in text_of(refused)
    assert f'value="{html.escape(name)}"' in refused.text
    assert f'value="{html.escape(master)}"' in refused.text
    assert HOSTILE not in refused.text
    assert (await client.get(f"{API}/tokens")).json()["total"]["value"] == before


async def test_what_a_worker_says_of_itself_is_only_ever_text(small_world: World) -> None:
    said = HOSTILE.replace("/", "\\/")
    await small_world.worker("atlas", properties=f'{{"{said}":"{said}"}}', version=HOSTILE, reason=HOSTILE)
    await small_world.database.write(
        lambda connection: connection.execute(workers.update().values(state="quarantined"))
    )
    client = await small_world.administrator()

    for path in ("/workers", "/workers/atlas", "/workers/atlas/enable", "/add-worker?name=atlas"):
        answer = await client.get(path)
        assert answer.status_code == 200
        assert HOSTILE not in answer.text
