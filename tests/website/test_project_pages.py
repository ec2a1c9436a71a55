"""Projects: the list with its strips, one project, and definitions that are pasted."""

import html
import re

import pytest

from orchestra.commands.definition_changes import NOTHING_YET
from orchestra.policy import Role
from orchestra.queries.addresses import API
from orchestra.storage.database import Database
from tests.service.given import World, job
from tests.support.pages import HOSTILE, ended_runs, hidden_value, links_of, words_of
from tests.support.schedules import scheduled

TEXT = """orchestra: 1
project: shop
description: Sells things.
jobs:
  sync:
    run: echo hello
    timeout: 1m
    schedule: { cron: "30 2 * * *", zone: Europe/Paris }
"""


async def test_the_list_shows_each_job_with_its_newest_runs_as_links(world: World) -> None:
    client = await world.administrator()
    runs = await ended_runs(world, client, ["succeeded"] * 3 + ["failed"] * 9)

    answer = await client.get("/projects")

    shown = words_of(answer)
    assert "1 of 10 succeeded" in shown
    assert "1 failing · 2 jobs" in shown
    assert "resize never run" in shown
    assert [link for link in links_of(answer) if link.startswith("/runs/")] == [f"/runs/{run}" for run in runs[2:]]
    assert f"#{runs[-1]} failed" in shown


async def test_projects_are_found_by_name_description_and_job(world: World) -> None:
    await world.project("shop", job("sync"))
    client = await world.administrator()

    by_name = words_of(await client.get("/projects?q=SHO"))
    by_job = words_of(await client.get("/projects?q=back"))
    by_wildcard = words_of(await client.get("/projects?q=%25"))
    failing = words_of(await client.get("/projects?failing=yes"))

    assert "sync" in by_name
    assert "backup" not in by_name
    assert "backup" in by_job
    assert "sync" not in by_job
    assert "No project matches. Drop the filters" in by_wildcard
    assert "No project matches" in failing


async def test_only_projects_with_failing_jobs_can_be_asked_for(world: World) -> None:
    await world.project("shop", job("sync"))
    client = await world.administrator()
    await ended_runs(world, client, ["failed"])

    shown = words_of(await client.get("/projects?failing=yes"))

    assert "backup" in shown
    assert "sync" not in shown


async def test_without_any_project_the_page_takes_the_first_definition(sqlite_database: Database) -> None:
    world = World(sqlite_database)
    client = await world.administrator()
    viewer = world.client(await world.user("vera", Role.VIEWER))

    empty, of_viewer = await client.get("/projects"), await viewer.get("/projects")

    assert "No project yet." in words_of(empty)
    assert "orchestra init" in words_of(empty)
    assert '<form method="post" action="/define">' in empty.text
    assert "An administrator can put it in force." in words_of(of_viewer)
    assert "<textarea" not in of_viewer.text


async def test_one_project_has_its_jobs_its_definition_and_the_versions_before(world: World) -> None:
    await world.project("ops", scheduled("backup"), job("tidy"))
    await world.project("ops", scheduled("backup"))
    client = await world.administrator()

    shown = words_of(await client.get("/projects/ops"))

    assert "backup 1 step At 02:30 (Europe/Paris) in 20 h never run never" in shown
    assert "In no definition any more, but their history is kept: resize, tidy" in shown
    assert "3 versions" in shown
    assert '"project"' not in shown
    assert '"name": "ops"' in shown


async def test_a_project_outside_the_scope_is_not_there(small_world: World) -> None:
    await small_world.project("shop", job("sync"))
    client = small_world.client(await small_world.user("vera", (Role.VIEWER, "shop")))

    statuses = [
        (await client.get(path)).status_code
        for path in ("/projects/ops", f"{API}/projects/ops", f"{API}/projects/ops/definition", "/projects/shop")
    ]

    assert statuses == [404, 404, 404, 200]


async def test_a_definition_is_previewed_then_applied(world: World) -> None:
    client = await world.administrator()

    preview = await client.post("/define", data={"text": TEXT, "step": "preview"})
    before = await client.get("/projects/shop")
    expected = hidden_value(preview, "expected")
    done = await client.post(
        "/define", data={"text": hidden_value(preview, "text"), "step": "apply", "expected": expected}
    )
    after = await client.get(done.headers["location"])

    assert "+ add job sync" in words_of(preview)
    assert expected == NOTHING_YET
    assert before.status_code == 404
    assert done.status_code == 303
    assert "The definition is in force." in words_of(after)
    assert "the website" in words_of(after)


async def test_what_is_wrong_comes_with_its_line_and_what_was_typed_stays(small_world: World) -> None:
    client = await small_world.administrator()
    wrong = TEXT.replace("timeout: 1m", "timeuot: 1m").replace("echo hello", HOSTILE)

    answer = await client.post("/define", data={"text": wrong, "step": "apply"})

    assert answer.status_code == 422
    assert "orchestra.yaml:7:5" in words_of(answer)
    assert "did you mean `timeout`?" in words_of(answer)
    assert HOSTILE not in answer.text
    assert html.unescape(re.findall(r"<textarea.*?>\n(.*?)</textarea>", answer.text, re.DOTALL)[0]) == wrong


@pytest.mark.parametrize("text", ["", "a: [", "\0", "- x", "x" * 300_000])
async def test_a_text_that_is_no_definition_is_refused_on_the_page(small_world: World, text: str) -> None:
    client = await small_world.administrator()

    answer = await client.post("/define", data={"text": text, "step": "preview"})

    assert answer.status_code == 422
    assert "to mend" in answer.text


async def test_a_plan_that_somebody_overtook_is_shown_anew_and_changes_nothing(world: World) -> None:
    client = await world.administrator()
    await client.post("/define", data={"text": TEXT, "step": "apply", "expected": NOTHING_YET})

    late = TEXT.replace("sync:", "copy:")
    answer = await client.post("/define", data={"text": late, "step": "apply", "expected": NOTHING_YET})
    other = await client.post("/define", data={"text": late, "step": "apply", "expected": "0" * 64})
    again = await client.post(
        "/define", data={"text": late, "step": "apply", "expected": hidden_value(other, "expected")}
    )

    assert (answer.status_code, other.status_code, again.status_code) == (412, 412, 303)
    assert "Nothing was applied" in words_of(answer)
    assert "− remove job sync: its history is kept" in words_of(answer)


async def test_only_who_may_define_gets_the_page(small_world: World) -> None:
    client = small_world.client(await small_world.user("ana", Role.OPERATOR))

    refused = await client.post("/define", data={"text": TEXT, "step": "apply", "expected": ""})

    assert (await client.get("/define")).status_code == refused.status_code == 403
    assert "/define" not in (await client.get("/projects")).text


async def test_the_api_tells_the_definition_that_holds_and_its_version(world: World) -> None:
    await world.project("ops", scheduled("backup"))
    client = await world.administrator()

    found = await client.get(f"{API}/projects/ops/definition")
    project = (await client.get(f"{API}/projects/ops")).json()
    same = await client.get(f"{API}/projects/ops/definition", headers={"if-none-match": found.headers["etag"]})
    stored = await client.put(
        f"{API}/projects/ops/definition", json=found.json()["definition"], headers={"if-match": found.headers["etag"]}
    )
    stale = await client.put(
        f"{API}/projects/ops/definition", json={"name": "ops", "jobs": []}, headers={"if-match": '"0"'}
    )

    assert found.headers["etag"] == f'"{found.json()["version"]}"'
    assert project["definition"]["version"] == found.json()["version"]
    assert (same.status_code, stored.status_code, stale.status_code) == (304, 200, 412)
    assert stored.json()["version"] == found.json()["version"]
