"""Jobs in quarantine on the website: what the pages say of them, and how a person lets them go."""

import pytest

from orchestra.policy import Role
from orchestra.queries.addresses import API
from orchestra_website.words import linked_text
from tests.service.given import World, job
from tests.support.pages import HOSTILE, links_of, triggered, words_of

BACKUP = "/projects/ops/jobs/backup"
REASON = "2 attempts were lost within 1h: #12, #15 attempt 2"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("lost: #12, #15 attempt 2", 'lost: <a href="/runs/12">#12</a>, <a href="/runs/15">#15</a> attempt 2'),
        ("<b>#3</b>", '&lt;b&gt;<a href="/runs/3">#3</a>&lt;/b&gt;'),
        ("it's & C#7 #0 #x #7a #", "it&#39;s &amp; C#7 #0 #x #7a #"),
        ("", ""),
    ],
)
def test_runs_in_a_text_become_links_and_all_else_stays_text(text: str, html: str) -> None:
    assert linked_text(text) == html


async def test_the_page_of_the_job_says_by_what_and_since_when_and_offers_the_release(world: World) -> None:
    await world.quarantine("backup", REASON)
    client = await world.administrator()

    answer = await client.get(BACKUP)

    assert (
        "quarantined since 2025-11-21 04:40:00 +00:00: 2 attempts were lost within 1h: #12, #15 attempt 2. "
        "Nothing of it starts; new runs are made and wait. Release backup"
    ) in words_of(answer)
    assert {"/runs/12", "/runs/15", f"{BACKUP}/release", f"{BACKUP}/trigger"} <= set(links_of(answer))


async def test_the_form_that_triggers_it_says_that_the_run_will_wait(small_world: World) -> None:
    await small_world.quarantine("backup", REASON)
    client = await small_world.administrator()

    shown = words_of(await client.get(f"{BACKUP}/trigger"))

    assert "#15 attempt 2. The run will wait until somebody releases the job." in shown


async def test_lists_of_jobs_mark_it_and_put_it_first(world: World) -> None:
    await world.quarantine("resize", REASON)
    client = await world.administrator()

    projects, project = words_of(await client.get("/projects")), words_of(await client.get("/projects/ops"))

    assert projects.index("resize never run ! quarantined") < projects.index("backup never run")
    assert "resize ! quarantined" in project
    assert "backup ! quarantined" not in projects + project


async def test_the_first_page_names_it_before_anything_else_that_needs_a_person(world: World) -> None:
    client = await world.administrator()
    await triggered(client)
    await world.worker("absent", master=None)
    await world.quarantine("backup", REASON)
    world.clock.advance(400)

    answer = await client.get("/")

    shown = words_of(answer)
    said = (
        "Nothing of ops/backup starts since 04:40: 2 attempts were lost within 1h: #12, #15 attempt 2. "
        "Somebody has to release it; 1 run of it waits"
    )
    assert shown.index(said) < shown.index("absent is out of contact")
    assert "waits for 6 min" not in shown, "it is said once"
    assert {f"{BACKUP}/release", "/runs/12"} <= set(links_of(answer))


async def test_a_release_asks_first_and_is_said_when_it_is_done(world: World) -> None:
    await world.quarantine("backup", REASON)
    client = await world.administrator()

    question = await client.get(f"{BACKUP}/release")
    still = (await client.get(f"{API}{BACKUP}")).json()["quarantined_at"]
    done = await client.post(f"{BACKUP}/release", data={"reason": "more memory"})
    page = await client.get(done.headers["location"])

    assert "Whatever waits of it may start at once." in words_of(question)
    assert "/runs/15" in links_of(question)
    assert still is not None
    assert (done.status_code, done.headers["location"]) == (303, f"{BACKUP}?done=released")
    assert "The job is released: what waits of it may start." in words_of(page)
    assert "quarantined" not in words_of(page)
    audit = words_of(await client.get("/admin/audit"))
    assert "job released" in audit
    assert "more memory" in audit


async def test_a_job_that_is_released_already_is_no_riddle(small_world: World) -> None:
    client = await small_world.administrator()

    question = await client.get(f"{BACKUP}/release")
    answer = await client.post(f"{BACKUP}/release", data={"reason": ""})

    assert (question.status_code, answer.status_code) == (200, 409)
    for page in (question, answer):
        assert "ops/backup is not in quarantine There is nothing to release." in words_of(page)


async def test_a_reason_that_does_not_fit_is_refused_at_its_field(small_world: World) -> None:
    await small_world.quarantine("backup")
    client = await small_world.administrator()

    answer = await client.post(f"{BACKUP}/release", data={"reason": "x" * 501})

    assert answer.status_code == 422
    assert 'href="#f-reason"' in answer.text
    assert (await client.get(f"{API}{BACKUP}")).json()["quarantined_at"] is not None


async def test_a_reader_is_told_and_cannot_release(world: World) -> None:
    await world.project("shop", job("sync"))
    await world.quarantine("backup", REASON)
    viewer = world.client(await world.user("vera", Role.VIEWER))
    mixed = world.client(await world.user("mia", Role.VIEWER, (Role.OPERATOR, "shop")))
    outside = world.client(await world.user("otto", (Role.OPERATOR, "shop")))

    pages = [await viewer.get(BACKUP), await mixed.get(BACKUP), await viewer.get("/")]
    refused = [await each.post(f"{BACKUP}/release", data={"reason": ""}) for each in (viewer, mixed, outside)]

    assert all("2 attempts were lost within 1h" in words_of(page) for page in pages)
    assert all(f"{BACKUP}/release" not in page.text for page in pages)
    assert [answer.status_code for answer in refused] == [403, 403, 404]
    assert "You lack the permission" in words_of(await mixed.get(f"{BACKUP}/release"))


async def test_hostile_words_stay_text(small_world: World) -> None:
    await small_world.quarantine("backup", HOSTILE)
    client = await small_world.administrator()

    for path in ("/", BACKUP, f"{BACKUP}/release"):
        answer = await client.get(path)
        assert HOSTILE in words_of(answer)
        assert HOSTILE not in answer.text
