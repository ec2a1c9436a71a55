"""One run: its state in words, what failed first, its tabs, and what can be asked of it."""

import html
import re

import httpx2
import pytest
from sqlalchemy import insert

from orchestra.policy import Role
from orchestra.storage.tables import run_results, run_steps
from tests.service.given import START, World

BACKUP = "/api/v1/projects/ops/jobs/backup/runs"
OWN = {"sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded"}
LOG = b"connected\n" + b"".join(b"row %d\n" % number for number in range(1, 41)) + b"error: disk full\n"


async def run_of(world: World) -> tuple[httpx2.AsyncClient, int]:
    client = await world.administrator()
    return client, (await client.post(BACKUP, json={})).json()["id"]


async def failed_run(world: World) -> tuple[httpx2.AsyncClient, int]:
    """Its second step failed."""
    client, run = await run_of(world)
    await world.worker("atlas")
    begun = world.clock.now()
    world.clock.advance(252.0)
    ended = world.clock.now()
    await world.attempt(
        run, 1, LOG, state="failed", reason="exit code 3", started_at=begun, ended_at=ended, exit_code=3
    )
    await world.change_run(
        run,
        state="failed",
        reason="step 'Dump': exit code 3",
        started_at=begun,
        ended_at=ended,
        exit_code=3,
        attempt=1,
        attempts_counted=1,
        worker_id=1,
    )
    rows = [
        {"number": 0, "name": "Connect", "exit_code": 0, "reason": "", "log_start": 0, "log_end": 10},
        {"number": 1, "name": "Dump", "exit_code": 3, "reason": "exit code 3", "log_start": 10, "log_end": len(LOG)},
    ]
    common = {"run_id": run, "attempt": 1, "started_at": begun, "ended_at": ended}
    await world.database.write(
        lambda connection: connection.execute(insert(run_steps), [{**common, **row} for row in rows])
    )
    return client, run


def words(page: httpx2.Response) -> str:
    """What a reader sees, in one line."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", page.text.partition("<main")[2])))


async def test_a_failed_run_says_why_how_long_and_shows_the_lines_that_failed_first(world: World) -> None:
    client, run = await failed_run(world)

    page = await client.get(f"/runs/{run}")

    assert page.status_code == 200
    assert f"<title>✖ #{run} backup · Job Orchestra</title>" in page.text
    assert "failed: step 'Dump': exit code 3, in 4 min 12 s" in words(page)
    assert "Dump failed first" in words(page)
    assert f'<a href="/runs/{run}/log?attempt=1&amp;line=42#L42">42</a>error: disk full' in page.text
    assert "row 21" not in words(page)
    assert "row 22" in words(page)


async def test_the_usual_duration_is_the_median_of_what_succeeded(world: World) -> None:
    client, run = await failed_run(world)
    for seconds in (100, 230, 9000):
        made = (await client.post(BACKUP, json={})).json()["id"]
        begun = world.clock.now()
        world.clock.advance(seconds)
        await world.change_run(made, state="succeeded", started_at=begun, ended_at=world.clock.now())
    last = (await client.post(BACKUP, json={})).json()["id"]
    await world.change_run(last, state="running", started_at=world.clock.now())
    world.clock.advance(60)

    assert "running for 1 min 0 s, usually 3 min 50 s" in words(await client.get(f"/runs/{last}"))
    assert "usually" not in words(await client.get(f"/runs/{run}"))


async def test_a_run_that_waits_says_why_and_what_each_worker_says(world: World) -> None:
    client, run = await run_of(world)
    await world.worker("atlas", state="disabled", reason="moved")

    page = words(await client.get(f"/runs/{run}"))
    log = words(await client.get(f"/runs/{run}/log"))

    for text in (page, log):
        assert "is disabled (moved)" in text
    assert "pending for" in page
    assert "Cancel" in page


async def test_out_of_contact_is_a_note_and_no_failure(world: World) -> None:
    client, run = await run_of(world)
    await world.worker("atlas")
    await world.change_run(run, state="running", started_at=world.clock.now(), worker_id=1, attempt=1)
    world.clock.advance(100)

    page = words(await client.get(f"/runs/{run}"))

    assert "running for 1 min 40 s" in page
    assert "Out of contact with worker atlas since 2025-11-21 04:40:00 +00:00" in page
    assert "waited for until 2025-11-28 04:40:00 +00:00" in page


@pytest.mark.parametrize(
    ("state", "code", "reason", "text"),
    [
        ("failed", -9, "signal 9", "signal 9 (SIGKILL)"),
        ("exception", None, "worker lost", "exception: worker lost"),
        ("cancelled", None, "cancelled by user ana: no need", "cancelled by user ana: no need, after"),
        ("succeeded", 0, "", "succeeded after"),
    ],
)
async def test_a_run_that_is_over_says_how(
    small_world: World, state: str, code: int | None, reason: str, text: str
) -> None:
    client, run = await run_of(small_world)
    await small_world.change_run(run, state=state, reason=reason, exit_code=code, ended_at=small_world.clock.now())

    assert text in words(await client.get(f"/runs/{run}"))


async def test_every_tab_shows_its_part_and_keeps_the_attempt(world: World) -> None:
    client, run = await failed_run(world)
    await world.attempt(run, 2, b"second\n", state="succeeded", ended_at=world.clock.now(), exit_code=0)

    pages = {
        tab: await client.get(f"/runs/{run}{tab}?attempt=1")
        for tab in ("", "/log", "/steps", "/attempts", "/parameters", "/timeline")
    }

    assert all(page.status_code == 200 for page in pages.values())
    assert all(page.text.count("<h1>") == 1 for page in pages.values())
    assert all(f'href="/runs/{run}/log?attempt=1"' in page.text for page in pages.values())
    assert "Dump" in words(pages["/steps"])
    assert "second" not in words(pages["/log"])
    assert "created" in words(pages["/timeline"])
    assert "user root" in words(pages["/timeline"])
    assert (await client.get(f"/runs/{run}?attempt=3")).status_code == 404
    assert (await client.get(f"/runs/{run}?attempt=x")).status_code == 400


async def test_parameters_are_shown_and_secrets_are_not(world: World) -> None:
    client = await world.administrator()
    body = {"parameters": {"replicas": 4}, "secrets": {"api-key": "hunter2-hunter2"}}
    run = (await client.post("/api/v1/projects/ops/jobs/resize/runs", json=body)).json()["id"]

    page = await client.get(f"/runs/{run}/parameters")

    assert "replicas" in words(page)
    assert "kept encrypted until the run is over" in words(page)
    assert "hunter2" not in page.text


async def test_results_are_a_table_and_only_web_addresses_are_links(world: World) -> None:
    client, run = await failed_run(world)
    values = {"url": "https://example.org/a?b=c", "trap": "javascript:alert(1)", "html": "<b>x</b>"}
    rows = [{"run_id": run, "name": name, "value": f'"{text}"', "text": text} for name, text in values.items()]
    await world.database.write(lambda connection: connection.execute(insert(run_results), rows))

    page = await client.get(f"/runs/{run}")

    assert '<a href="https://example.org/a?b=c" rel="noreferrer nofollow">' in page.text
    assert 'href="javascript' not in page.text
    assert "&lt;b&gt;x&lt;/b&gt;" in page.text


async def test_a_retry_makes_one_run_however_often_the_form_is_sent(world: World) -> None:
    client, run = await failed_run(world)
    key = re.search(r'name="key" value="([0-9a-f]{30,})"', (await client.get(f"/runs/{run}")).text)
    assert key is not None

    first = await client.post(f"/runs/{run}/retry", content=f"key={key[1]}", headers=OWN)
    again = await client.post(f"/runs/{run}/retry", content=f"key={key[1]}", headers=OWN)

    assert (first.status_code, first.headers["location"]) == (303, f"/runs/{run + 1}?done=retry")
    assert again.headers["location"] == first.headers["location"]
    page = await client.get(first.headers["location"])
    assert f'retry of <a href="/runs/{run}">#{run}</a> by user root' in page.text
    assert "This is the new run." in words(page)


async def test_a_retry_that_the_job_refuses_leads_to_the_form(world: World) -> None:
    client, _ = await failed_run(world)
    body = {"parameters": {"replicas": 4}}
    run = (await client.post("/api/v1/projects/ops/jobs/resize/runs", json=body)).json()["id"]
    await world.change_run(run, state="failed", ended_at=world.clock.now(), parameters='{"replicas":400}')

    answer = await client.post(f"/runs/{run}/retry", content="", headers=OWN)

    assert answer.status_code == 422
    assert "replicas:" in words(answer)
    assert f"/projects/ops/jobs/resize/trigger?retry_of={run}&amp;param.replicas=400" in answer.text


@pytest.mark.parametrize(("what", "state"), [("cancel", "cancelled"), ("abort", "cancelled")])
async def test_stopping_asks_first_and_then_says_what_was_done(world: World, what: str, state: str) -> None:
    client, run = await run_of(world)

    asked = await client.get(f"/runs/{run}/{what}")
    unchanged = (await client.get(f"/api/v1/runs/{run}")).json()["state"]
    done = await client.post(f"/runs/{run}/{what}", content="reason=no+need", headers=OWN)

    assert f'action="/runs/{run}/{what}"' in asked.text
    assert unchanged == "pending"
    assert (done.status_code, done.headers["location"]) == (303, f"/runs/{run}?done={what}")
    after = await client.get(f"/api/v1/runs/{run}")
    assert (after.json()["state"], after.json()["reason"]) == (state, "cancelled by user root: no need")


async def test_a_stop_that_is_asked_for_is_not_shown_as_stopped(world: World) -> None:
    client, run = await run_of(world)
    await world.worker("atlas")
    await world.change_run(run, state="running", started_at=world.clock.now(), worker_id=1, attempt=1)

    await client.post(f"/runs/{run}/abort", content="reason=too+slow", headers=OWN)

    page = words(await client.get(f"/runs/{run}"))
    assert "running for" in page
    assert "Stop requested by user root" in page
    assert "too slow" in page
    assert ">Abort<" not in (await client.get(f"/runs/{run}")).text


async def test_a_reason_that_is_too_long_comes_back_with_what_was_typed(small_world: World) -> None:
    client, run = await run_of(small_world)

    answer = await client.post(f"/runs/{run}/cancel", content="reason=" + "x" * 600, headers=OWN)

    assert answer.status_code == 422
    assert 'href="#f-reason"' in answer.text
    assert "x" * 600 in answer.text


async def test_who_may_not_steer_sees_no_buttons_and_is_refused(world: World) -> None:
    _, run = await failed_run(world)
    reader = world.client(await world.user("ana", (Role.VIEWER, "ops")))
    stranger = world.client(await world.user("ben"))

    page = await reader.get(f"/runs/{run}")

    assert page.status_code == 200
    assert ">Retry<" not in page.text
    assert (await reader.post(f"/runs/{run}/retry", content="", headers=OWN)).status_code == 403
    assert (await reader.get(f"/runs/{run}/abort")).status_code == 403
    assert (await stranger.get(f"/runs/{run}")).status_code == 403


async def test_a_run_of_another_project_is_not_there(world: World) -> None:
    _, run = await failed_run(world)
    await world.project("shop")
    reader = world.client(await world.user("ana", (Role.OPERATOR, "shop")))

    for path in ("", "/log", "/log/live", "/log/follow", "/steps", "/attempts", "/parameters", "/timeline", "/abort"):
        assert (await reader.get(f"/runs/{run}{path}")).status_code == 404, path
    for path in ("retry", "cancel", "abort"):
        assert (await reader.post(f"/runs/{run}/{path}", content="", headers=OWN)).status_code == 404


async def test_reloading_by_itself_is_asked_for_and_ends_with_the_run(small_world: World) -> None:
    client, run = await run_of(small_world)

    waiting = await client.get(f"/runs/{run}?refresh=30")
    refused = await client.get(f"/runs/{run}?refresh=0")
    await small_world.change_run(run, state="skipped", ended_at=START)
    over = await client.get(f"/runs/{run}?refresh=30")

    assert waiting.headers["refresh"] == "30"
    assert refused.status_code == 400
    assert "refresh" not in over.headers
