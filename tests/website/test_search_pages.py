"""The search box, and the help page."""

import pytest

from orchestra.lifecycle import RunState, WorkerState
from orchestra.policy import Role
from orchestra_website.help_pages import meanings_of
from tests.service.given import World, job
from tests.support.pages import HOSTILE, links_of, triggered, words_of


@pytest.mark.parametrize("text", ["{run}", "#{run}", "  #{run} "])
async def test_a_number_goes_to_its_run(small_world: World, text: str) -> None:
    client = await small_world.administrator()
    run = await triggered(client)

    answer = await client.get("/search", params={"q": text.format(run=run)})

    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run}")


@pytest.mark.parametrize("text", ["#99", "9" * 18, "9" * 30])
async def test_a_number_without_a_run_says_so(small_world: World, text: str) -> None:
    client = await small_world.administrator()

    answer = await client.get("/search", params={"q": text})

    assert answer.status_code == 200
    assert "There is no run" in answer.text or "No job, project or worker has" in answer.text


async def test_filters_go_to_the_list_of_runs(small_world: World) -> None:
    client = await small_world.administrator()

    answer = await client.get("/search", params={"q": "status:failed status:exception job:ops/backup param.env:prod"})

    assert answer.status_code == 303
    wanted = "/runs?status=failed&status=exception&job=ops%2Fbackup&param.env=prod"
    assert answer.headers["location"] == wanted


async def test_names_of_jobs_projects_and_workers_are_found(world: World) -> None:
    await world.worker("backup-host")
    client = await world.administrator()

    answer = await client.get("/search?q=BACK")
    in_project = await client.get("/search?q=ops/size")
    both = await client.get("/search?q=back+status:failed")
    wild = await client.get("/search", params={"q": "%"})

    assert "2 names with" in words_of(answer)
    assert {"/projects/ops/jobs/backup", "/workers/backup-host"} <= set(links_of(answer))
    assert "/projects/ops/jobs/resize/trigger" in links_of(in_project)
    assert "/runs?status=failed" in links_of(both)
    assert "/projects/ops/jobs/backup" in links_of(both)
    assert "No job, project or worker has “%” in its name." in words_of(wild)


async def test_an_empty_search_shows_examples_and_hostile_text_stays_text(small_world: World) -> None:
    client = await small_world.administrator()

    empty, hostile = await client.get("/search"), await client.get("/search", params={"q": HOSTILE})

    assert "What can be searched" in words_of(empty)
    assert HOSTILE not in hostile.text
    assert HOSTILE in words_of(hostile)


async def test_what_the_reader_may_not_see_is_not_found(world: World) -> None:
    await world.project("shop", job("sync"))
    root = await world.administrator()
    run = await triggered(root)
    client = world.client(await world.user("vera", (Role.VIEWER, "shop")))

    by_number = await client.get(f"/search?q={run}")
    by_name = await client.get("/search?q=s")

    assert by_number.status_code == 200
    assert f"There is no run #{run}." in words_of(by_number)
    assert "/projects/shop/jobs/sync" in links_of(by_name)
    assert "/projects/ops/jobs/resize" not in links_of(by_name)
    assert "Trigger" not in words_of(by_name)


async def test_help_tells_every_state_in_the_words_of_the_code(small_world: World) -> None:
    client = await small_world.administrator()

    shown = words_of(await client.get("/help"))

    assert "failed The job said no: exit code, signal, timeout. it is over" in shown
    assert "scheduled Waits for a time: a delay, or the back-off before a retry. pending, cancelled, skipped" in shown
    assert "quarantined Two live instances took the name" in shown
    assert "orchestra trigger Run a job now." in shown
    assert all(state in shown for state in (*RunState, *WorkerState))
    assert meanings_of(RunState)[RunState.SUCCEEDED] == ""
