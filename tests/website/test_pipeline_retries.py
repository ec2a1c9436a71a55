"""Retrying a pipeline from its pages: all of it, the failed part, from an element, or by the newest definition."""

import re
from urllib.parse import urlencode

import httpx2
import msgspec
import pytest

from orchestra.identifiers import RunId
from orchestra.specification import Parameter
from tests.service.given import World
from tests.support.pages import words_of
from tests.website.pipelines import OWN, begin, child, define, end, go_on, release

FORM = "/projects/ops/jobs/release/trigger"


async def failed(world: World) -> tuple[httpx2.AsyncClient, RunId]:
    """A release whose test failed, and that is over."""
    client = await world.administrator()
    await define(world, release())
    run = await begin(world, client)
    await end(world, run, "plan", targets=["web"])
    for system in ("linux", "mac"):
        await end(world, run, "build", key=f"os={system}")
    await end(world, run, "test", "failed")
    await end(world, run, "alarm")
    await end(world, run, "tidy")
    return client, run


async def sent(world: World, client: httpx2.AsyncClient, path: str, **fields: str) -> RunId:
    """The run that a form makes, begun."""
    answer = await client.post(path, content=urlencode(fields), headers=OWN)
    assert answer.status_code == 303, words_of(answer)
    run = RunId(int(answer.headers["location"].partition("?")[0].removeprefix("/runs/")))
    await go_on(world, run)
    return run


async def states(client: httpx2.AsyncClient, run: int) -> dict[str, str]:
    """Of the elements."""
    found = (await client.get(f"/api/v1/runs/{run}/elements")).json()
    return {each["name"]: each["state"] for each in found["elements"]}


async def test_the_failed_part_is_one_button(world: World) -> None:
    client, run = await failed(world)
    page = await client.get(f"/runs/{run}")

    again = await sent(world, client, f"/runs/{run}/retry", scope="failed")

    assert "Retry failed part" in words_of(page)
    assert await child(world, again, "plan") == await child(world, run, "plan")
    assert (await states(client, again))["test"] == "running"
    shown = await client.get(f"/runs/{again}/graph")
    assert f'used again from <a href="/runs/{run}">#{run}</a>' in shown.text
    assert f'retry of <a href="/runs/{run}">#{run}</a>' in shown.text


async def test_all_of_it_is_done_again_by_the_plain_button(small_world: World) -> None:
    client, run = await failed(small_world)

    again = await sent(small_world, client, f"/runs/{run}/retry")

    assert (await states(client, again))["plan"] == "running"
    assert "used again" not in words_of(await client.get(f"/runs/{again}/graph"))


async def test_the_form_offers_what_can_be_done_again(small_world: World) -> None:
    client, run = await failed(small_world)
    table = await client.get(f"/runs/{run}/graph")
    (path,) = re.findall(rf'href="({FORM}\?retry_of={run}[^"]*from=build)"', table.text)

    page = await client.get(path.replace("&amp;", "&"))

    assert "What is done again" in words_of(page)
    assert re.search(r'value="from" checked', page.text)
    assert "<option selected>build</option>" in page.text
    assert f"orchestra retry {run} --from build" in words_of(page)


async def test_from_an_element_with_other_values(world: World) -> None:
    client, run = await failed(world)

    fields = {"retry_of": str(run), "scope": "from", "from": "build", "param.env": "production"}
    again = await sent(world, client, FORM, **fields)

    assert await child(world, again, "plan") == await child(world, run, "plan")
    assert await child(world, again, "build", "os=mac") != await child(world, run, "build", "os=mac")
    assert (await client.get(f"/api/v1/runs/{again}")).json()["parameters"] == {"env": "production"}


async def test_by_the_newest_definition_it_begins_anew_without_what_that_does_not_know(small_world: World) -> None:
    client, run = await failed(small_world)
    changed = release()
    specification = msgspec.structs.replace(
        changed.specification, parameters=(Parameter(name="speed", default="high"),)
    )
    await define(small_world, msgspec.structs.replace(changed, specification=specification))
    pinned = await client.get(f"{FORM}?retry_of={run}")

    fields = {"retry_of": str(run), "scope": "newest", "param.env": "production", "param.speed": "low"}
    again = await sent(small_world, client, FORM, **fields)

    assert 'name="param.env"' in pinned.text
    assert 'name="param.speed"' not in pinned.text
    made = (await client.get(f"/api/v1/runs/{again}")).json()
    assert (made["parameters"], made["job_version"]) == ({"speed": "low"}, 2)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"scope": "from"}, "Choose the element."),
        ({"scope": "some"}, "Must be one of all, failed, from, newest."),
        ({"scope": "from", "from": "nothing"}, "is no element of run"),
    ],
)
async def test_a_choice_that_cannot_be_is_told_at_the_form(
    small_world: World, fields: dict[str, str], sentence: str
) -> None:
    client, run = await failed(small_world)

    answer = await client.post(FORM, content=urlencode({"retry_of": str(run), **fields}), headers=OWN)

    assert answer.status_code == 422
    assert sentence in words_of(answer)


async def test_a_button_with_an_unknown_choice_is_refused(small_world: World) -> None:
    client, run = await failed(small_world)

    assert (await client.post(f"/runs/{run}/retry", content="scope=some", headers=OWN)).status_code == 422


async def test_no_other_run_is_asked_what_is_done_again(small_world: World) -> None:
    client, run = await failed(small_world)
    plan = await child(small_world, run, "plan")

    page = await client.get(f"/projects/ops/jobs/backup/trigger?retry_of={plan}")

    assert page.status_code == 200
    assert "What is done again" not in words_of(page)
    assert "Retry failed part" not in words_of(await client.get(f"/runs/{plan}"))
