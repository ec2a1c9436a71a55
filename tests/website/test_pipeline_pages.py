"""Pipelines on their pages: the graph, the table that says the same, and answers to those that ask."""

import html
import re

import httpx2
import pytest

from orchestra.elements import Element, Pipeline
from orchestra.identifiers import RunId
from orchestra.policy import Role
from tests.service.given import World
from tests.support.pages import words_of
from tests.website.pipelines import (
    OWN,
    SUCCEEDED,
    begin,
    child,
    define,
    end,
    go_on,
    pipeline_job,
    release,
    to_the_approval,
)


async def released(world: World, *by: str) -> tuple[httpx2.AsyncClient, RunId]:
    """A release that waits for its approval."""
    client = await world.administrator()
    await define(world, release(*by))
    run = await begin(world, client)
    await to_the_approval(world, run)
    return client, run


def row(page: httpx2.Response, name: str) -> str:
    """The row of an element, as it is read."""
    found: list[str] = re.findall(r'<tr id="element-\d+">.*?</tr>', page.text, re.DOTALL)
    texts = [re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", each))).strip() for each in found]
    found = [text for text in texts if re.match(rf"\S+ \S+ {name}\b", text)]
    assert len(found) == 1, texts
    return found[0]


async def test_the_table_says_of_each_element_how_it_stands_and_what_it_waits_for(world: World) -> None:
    client, run = await released(world)

    page = await client.get(f"/runs/{run}/graph")

    assert page.status_code == 200
    plan = await child(world, run, "plan")
    assert row(page, "plan") == f"✔ succeeded plan backup #{plan} 1 min 0 s"
    assert "after: succeeded" not in row(page, "test")
    assert row(page, "approve").startswith("◇ waiting approve a person answers test")
    assert 'approve (succeeded or skipped) , plan, test if parameters.env != "<nowhere>"' in row(page, "deploy")
    assert "test (failed)" in row(page, "alarm")
    assert "at the end, whatever happened" in row(page, "tidy")
    assert "✔ succeeded 2" in row(page, "build")
    assert "os=linux" in row(page, "build")


async def test_the_graph_links_each_element_to_its_run_or_to_its_row(world: World) -> None:
    client, run = await released(world)

    page = await client.get(f"/runs/{run}/graph")

    plan = await child(world, run, "plan")
    nodes = re.findall(r'<a href="(\S+)" class="node (\w+)" transform="[^"]*" aria-label="([^"]*)">', page.text)
    assert (f"/runs/{plan}", "succeeded", "plan: succeeded") in nodes
    assert ("#element-2", "succeeded", "build: succeeded 2/2") in nodes
    assert ("#element-5", "blocked", "deploy: blocked") in nodes
    assert '<path class="edge failed off"' in page.text
    assert "at the end, always" in page.text


async def test_an_approval_is_answered_where_it_is_asked(world: World) -> None:
    client, run = await released(world)
    asked = await client.get(f"/runs/{run}")

    answer = await client.post(
        f"/runs/{run}/elements/approve/answer", content="verdict=approve&reason=tested+by+hand", headers=OWN
    )

    assert "approve: Deploy to <b>all</b>?" in words_of(asked)
    assert "<b>all</b>" not in asked.text
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run}?done=approve")
    after = await client.get(answer.headers["location"])
    assert "It is approved, and the pipeline goes on." in words_of(after)
    assert "approved by user root: tested by hand" in words_of(after)
    assert "Approve approve" not in words_of(after)
    assert "&lt;db&gt;" in after.text


@pytest.mark.parametrize("verdict", ["approve", "reject"])
async def test_an_answer_that_comes_too_late_says_so(small_world: World, verdict: str) -> None:
    client, run = await released(small_world)
    path = f"/runs/{run}/elements/approve/answer"
    await client.post(path, content="verdict=reject", headers=OWN)

    again = await client.post(path, content=f"verdict={verdict}", headers=OWN)

    assert again.status_code == 409
    assert "does not wait for anybody: it is failed" in words_of(again)


async def test_a_reason_that_is_too_long_comes_back_with_what_was_typed(small_world: World) -> None:
    client, run = await released(small_world)

    answer = await client.post(
        f"/runs/{run}/elements/approve/answer", content="verdict=approve&reason=" + "x" * 600, headers=OWN
    )

    assert answer.status_code == 422
    assert f'value="{"x" * 600}"' in answer.text
    assert 'role="alert"' in answer.text
    assert row(answer, "approve").startswith("◇ waiting")


async def test_a_form_without_a_verdict_is_refused(small_world: World) -> None:
    client, run = await released(small_world)

    answer = await client.post(f"/runs/{run}/elements/approve/answer", content="reason=x", headers=OWN)

    assert answer.status_code == 422
    assert "must be approve or reject" in words_of(answer)


async def test_only_those_who_are_asked_see_the_form(world: World) -> None:
    client, run = await released(world, "ana")
    ana = world.client(await world.user("ana", (Role.OPERATOR, "ops")))
    ben = world.client(await world.user("ben", (Role.OPERATOR, "ops")))
    vera = world.client(await world.user("vera", (Role.VIEWER, "ops")))
    path = f"/runs/{run}/elements/approve/answer"

    for other in (client, ben, vera):
        page = await other.get(f"/runs/{run}/graph")
        assert path not in page.text
        assert "of ana" in words_of(page)
        assert (await other.post(path, content="verdict=approve", headers=OWN)).status_code == 403
    assert path in (await ana.get(f"/runs/{run}/graph")).text
    assert (await ana.post(path, content="verdict=approve", headers=OWN)).status_code == 303


async def test_a_run_of_an_element_leads_to_its_pipeline(world: World) -> None:
    client, run = await released(world)
    built = await child(world, run, "build", "os=mac")

    page = await client.get(f"/runs/{built}")
    listed = await client.get("/runs")

    assert (
        f'<a href="/runs/{run}/graph?element=build">build</a> <code>os=mac</code> of <a href="/runs/{run}">'
        in page.text
    )
    assert f'pipeline <a href="/runs/{run}">#{run}</a>' in page.text
    assert f'build of <a href="/runs/{run}">#{run}</a>' in listed.text
    assert '<span class="tag">pipeline</span>' in listed.text


async def test_the_elements_can_be_chosen_by_state_and_by_name(small_world: World) -> None:
    client, run = await released(small_world)

    blocked = await client.get(f"/runs/{run}/graph?state=blocked")
    alone = await client.get(f"/runs/{run}/graph?element=build")

    assert len(re.findall(r'<tr id="element-', blocked.text)) == 2
    assert len(re.findall(r'<tr id="element-', alone.text)) == 1
    assert (await client.get(f"/runs/{run}/graph?element=nothing")).status_code == 404
    for query in ("state=green", "scale=7", "first=0", "colour=red"):
        assert (await client.get(f"/runs/{run}/graph?{query}")).status_code == 400


async def test_a_pipeline_that_is_too_large_to_draw_is_a_table_in_parts(small_world: World) -> None:
    client = await small_world.administrator()
    elements = [Element(name="first", job="backup")]
    elements += [Element(name=f"e-{number}", job="backup", after={"first": SUCCEEDED}) for number in range(1, 420)]
    await define(small_world, pipeline_job("large", Pipeline(elements=tuple(elements))))
    run = await begin(small_world, client, "large")

    page = await client.get(f"/runs/{run}/graph")
    later = await client.get(f"/runs/{run}/graph?first=301")

    assert "<svg class" not in page.text
    assert "Its 420 elements and the lines between them are too many" in words_of(page)
    assert len(re.findall(r'<tr id="element-', page.text)) == 300
    assert f'href="/runs/{run}/graph?first=301"' in page.text
    assert "301 to 420 of 420" in words_of(later)


async def test_the_graph_of_a_run_that_is_no_pipeline_is_not_there(small_world: World) -> None:
    client, run = await released(small_world)
    plan = await child(small_world, run, "plan")

    assert (await client.get(f"/runs/{plan}/graph")).status_code == 404
    assert (await client.get("/runs/999/graph")).status_code == 404


async def test_a_pipeline_that_has_not_begun_shows_its_elements_as_they_will_be(small_world: World) -> None:
    client = await small_world.administrator()
    await define(small_world, release())
    answer = await client.post("/api/v1/projects/ops/jobs/release/runs", json={})
    run = RunId(answer.json()["id"])

    before = await client.get(f"/runs/{run}/graph")
    timeline = await client.get(f"/runs/{run}/timeline")
    await go_on(small_world, run)
    begun = await client.get(f"/runs/{run}/graph")

    assert before.text.count('class="node blocked"') == 7
    assert timeline.text.count('<g class="node blocked">') == 7
    assert begun.text.count('class="node blocked"') == 6
    assert 'class="node running"' in begun.text


async def test_a_pipeline_that_was_withdrawn_says_that_it_never_began(small_world: World) -> None:
    client = await small_world.administrator()
    await define(small_world, release())
    answer = await client.post("/api/v1/projects/ops/jobs/release/runs", json={})
    run = answer.json()["id"]
    await client.post(f"/runs/{run}/cancel", content="reason=no+need", headers=OWN)

    assert "It never began" in words_of(await client.get(f"/runs/{run}"))
    assert "It never began" in words_of(await client.get(f"/runs/{run}/graph"))


async def test_stopping_a_pipeline_says_what_becomes_of_its_runs(small_world: World) -> None:
    client, run = await released(small_world)

    page = words_of(await client.get(f"/runs/{run}/abort"))

    assert "The runs that it has made and that are not over are aborted or cancelled" in page
    assert "SIGTERM" not in page


async def test_a_failed_element_says_why_and_where_to_go_on(world: World) -> None:
    client = await world.administrator()
    await define(world, release())
    run = await begin(world, client)
    await end(world, run, "plan", "failed")
    await end(world, run, "tidy")

    page = await client.get(f"/runs/{run}/graph")

    assert row(page, "plan").startswith("✖ failed")
    assert "Retry from here" in row(page, "plan")
    assert row(page, "deploy").startswith("» skipped")


async def test_the_timeline_says_when_each_run_waited_and_ran(world: World) -> None:
    client, run = await released(world)
    world.clock.advance(30)

    page = await client.get(f"/runs/{run}/timeline")

    assert page.status_code == 200
    plan = await child(world, run, "plan")
    assert 'aria-label="plan: succeeded, waiting 0 ms, running 1 min 0 s"' in page.text
    assert f'<a href="/runs/{plan}">#{plan}</a>' in page.text
    assert 'fill="url(#asking)"' in page.text
    assert "What happened" in words_of(page)
    assert ">now</text>" in page.text


async def test_the_timeline_of_any_other_run_is_its_history(small_world: World) -> None:
    client, run = await released(small_world)
    plan = await child(small_world, run, "plan")

    page = await client.get(f"/runs/{plan}/timeline")

    assert "<svg" not in page.text.partition("<main")[2]
    assert "created" in words_of(page)


async def test_the_first_page_says_what_waits_for_the_reader(world: World) -> None:
    client, run = await released(world, "ana")
    ana = world.client(await world.user("ana", (Role.OPERATOR, "ops")))

    asked = await ana.get("/")
    other = await client.get("/")

    assert "waits for you: approve: Deploy to <b>all</b>?" in words_of(asked)
    assert f'href="/runs/{run}/graph"' in asked.text
    assert "waits for you" not in words_of(other)
    assert "a pipeline" in words_of(other)
    await ana.post(f"/runs/{run}/elements/approve/answer", content="verdict=approve", headers=OWN)
    assert "waits for you" not in words_of(await ana.get("/"))


async def test_a_pipeline_that_never_ran_shows_what_it_would_do(small_world: World) -> None:
    client = await small_world.administrator()
    await define(small_world, release())

    page = await client.get("/projects/ops/jobs/release")

    assert 'aria-label="plan: backup"' in page.text
    assert 'aria-label="approve: a person answers"' in page.text
    assert '<tr id="element-1"><th scope="row">plan</th>' in page.text
    assert "blocked" not in words_of(page)
