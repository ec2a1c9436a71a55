"""The list of runs: every filter in the address, in the same words as API and command line."""

import html
import re

import httpx2
import pytest

from orchestra.commands.bearer_texts import BearerText
from orchestra.policy import Role
from tests.service.given import SECRET_PARAMETERS, World, job

BACKUP = "/api/v1/projects/ops/jobs/backup/runs"


async def runs_of(world: World, count: int) -> tuple[httpx2.AsyncClient, list[int]]:
    client = await world.administrator()
    return client, [(await client.post(BACKUP, json={})).json()["id"] for _ in range(count)]


def shown(text: str) -> list[int]:
    """The numbers in the table, in its order."""
    return [int(number) for number in re.findall(r'<a href="/runs/(\d+)">#', text)]


def links(text: str) -> dict[str, str]:
    """Every link by its words."""
    found = re.findall(r'<a href="([^"]*)"[^>]*>(.*?)</a>', text, re.DOTALL)
    return {re.sub(r"<[^>]*>|\s+", " ", words).strip(): html.unescape(address) for address, words in found}


async def test_runs_are_listed_newest_first_with_what_they_did(world: World) -> None:
    client, (first, second) = await runs_of(world, 2)
    await world.worker("atlas")
    await world.change_run(first, state="failed", reason="exit code 3", ended_at=world.clock.now(), worker_id=1)

    page = await client.get("/runs")

    assert page.status_code == 200
    assert shown(page.text) == [second, first]
    assert "exit code 3" in page.text
    assert '<a href="/workers/atlas">atlas</a>' in page.text
    assert 'aria-sort="descending"' in page.text


async def test_filters_of_one_name_are_alternatives_and_each_can_be_dropped(world: World) -> None:
    client, (first, second, third) = await runs_of(world, 3)
    for run, state in ((first, "failed"), (second, "aborted")):
        await world.change_run(run, state=state, ended_at=world.clock.now())

    page = await client.get("/runs?status=failed&status=aborted&job=backup")
    none = await client.get("/runs?status=exception&job=backup")

    assert shown(page.text) == [second, first]
    assert "/api/v1/runs?status=failed&amp;status=aborted&amp;job=backup" in page.text
    assert "orchestra runs --status failed,aborted --job backup" in page.text
    assert "No run matches" in none.text
    assert links(none.text)["status=exception"] == "/runs?job=backup"
    assert links(none.text)["job=backup"] == "/runs?status=exception"
    assert third not in shown(page.text)


async def test_no_runs_yet_is_told_apart_from_no_match(small_world: World) -> None:
    client = await small_world.administrator()

    assert "No runs yet" in (await client.get("/runs")).text
    assert "No run matches" in (await client.get("/runs?job=nothing")).text


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("colour=red", "<code>colour</code>: is no filter here"),
        ("status=broken", "is no state"),
        ("sort=took", "must be id or -id"),
        ("limit=0", "must be a whole number from 1"),
        ("cursor=zzz", "is no cursor"),
        ("took_min=long", "must be a duration"),
        ("created_after=yesterday", "must be an instant"),
    ],
)
async def test_what_is_no_filter_is_refused_by_a_page_that_says_which(
    small_world: World, query: str, sentence: str
) -> None:
    client = await small_world.administrator()

    page = await client.get(f"/runs?{query}")

    assert page.status_code == 400
    assert sentence in html.unescape(page.text)


async def test_a_form_is_turned_into_the_words_of_the_address(small_world: World) -> None:
    client = await small_world.administrator()

    answer = await client.get(
        "/runs?status=&project=&job=deploy&param=env%3Dprod&result=version%3D1.2&created_after=2026-11-21T08:00"
    )

    assert answer.status_code == 303
    assert answer.headers["location"] == (
        "/runs?job=deploy&param.env=prod&result.version=1.2&created_after=2026-11-21T08%3A00Z"
    )


async def test_pages_lead_to_older_runs_and_back_in_both_orders(world: World) -> None:
    client, numbers = await runs_of(world, 60)

    newest = await client.get("/runs?limit=25")
    middle = await client.get(links(newest.text)["Older"])
    oldest = await client.get(links(middle.text)["Older"])
    back = await client.get(links(oldest.text)["Newer"])
    turned = await client.get("/runs?limit=25&sort=id")
    onward = await client.get(links(turned.text)["Newer"])

    assert shown(newest.text) == numbers[:-26:-1]
    assert shown(middle.text) == shown(back.text) == numbers[34:9:-1]
    assert shown(oldest.text) == numbers[9::-1]
    assert "Older" not in links(oldest.text)
    assert "Newer" not in links(newest.text)
    assert (shown(turned.text), shown(onward.text)) == (numbers[:25], numbers[25:50])
    assert "60 runs" in newest.text


async def test_a_run_that_comes_while_somebody_reads_shifts_no_page(world: World) -> None:
    client, numbers = await runs_of(world, 30)
    newest = await client.get("/runs?limit=25")
    await client.post(BACKUP, json={})

    older = await client.get(links(newest.text)["Older"])

    assert shown(older.text) == numbers[4::-1]


@pytest.fixture
async def deployer(world: World) -> tuple[httpx2.AsyncClient, list[int]]:
    """Runs with parameters, results, durations and times."""
    client = await world.administrator()
    numbers = []
    for replicas in (2, 3, 2):
        body = {"parameters": {"replicas": replicas}}
        numbers.append((await client.post("/api/v1/projects/ops/jobs/resize/runs", json=body)).json()["id"])
        begun = world.clock.now()
        world.clock.advance(60.0 * replicas)
        await world.change_run(numbers[-1], state="succeeded", started_at=begun, ended_at=world.clock.now())
    return client, numbers


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("param.replicas=2", [2, 0]),
        ("param.replicas=4", []),
        ("took_min=3m", [1]),
        ("took_min=120&param.replicas=2", [2, 0]),
        ("source=user", [2, 1, 0]),
        ("source=user+root&status=succeeded", [2, 1, 0]),
        ("source=schedule", []),
        ("created_after=2025-11-21T04:41:30Z", [2, 1]),
        ("created_before=2025-11-21T04:41:30Z&param.replicas=2", [0]),
        ("status=succeeded&job=ops/resize&project=ops", [2, 1, 0]),
        ("worker=nobody", []),
    ],
)
async def test_each_filter_leaves_what_it_says(
    deployer: tuple[httpx2.AsyncClient, list[int]], query: str, expected: list[int]
) -> None:
    client, numbers = deployer

    page = await client.get(f"/runs?{query}")

    assert page.status_code == 200, page.text
    assert shown(page.text) == [numbers[place] for place in expected]


async def test_rare_runs_are_looked_for_in_pieces_and_the_page_says_how_far(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestra.queries.run_search.SCAN_ROWS_MAX", 5)
    client, numbers = await runs_of(world, 12)
    await world.change_run(numbers[0], source="schedule")

    first = await client.get("/runs?source=schedule")
    seen, address = [first], "/runs?source=schedule"
    while "Look further" in links(seen[-1].text):
        address = links(seen[-1].text)["Look further"]
        seen.append(await client.get(address))

    assert f"down to #{numbers[7]}" in first.text
    assert [shown(page.text) for page in seen] == [[], [], [numbers[0]]]
    assert "Newer" in links(seen[-1].text)


async def test_the_runs_of_a_project_are_those_of_that_project(world: World) -> None:
    client, (own,) = await runs_of(world, 1)
    await world.project("shop", job("backup"))
    await client.post("/api/v1/projects/shop/jobs/backup/runs", json={})

    page = await client.get("/projects/ops/runs")

    assert shown(page.text) == [own]
    assert "/api/v1/runs?project=ops" in page.text
    assert (await client.get("/projects/nothing/runs")).status_code == 404
    assert (await client.get("/projects/ops/runs?project=shop")).status_code == 400


async def test_a_reader_sees_only_the_runs_of_the_own_projects(world: World) -> None:
    client, (_hidden,) = await runs_of(world, 1)
    await world.project("shop", job("backup"))
    mine = (await client.post("/api/v1/projects/shop/jobs/backup/runs", json={})).json()["id"]
    reader = world.client(await viewer_of(world, "shop"))

    assert shown((await reader.get("/runs")).text) == [mine]
    assert shown((await reader.get("/runs?job=backup")).text) == [mine]
    assert shown((await reader.get("/runs?project=ops")).text) == []
    assert (await reader.get("/projects/ops/runs")).status_code == 404


async def viewer_of(world: World, project: str) -> BearerText:
    return await world.user("ana", (Role.VIEWER, project))


async def test_hostile_values_are_text(small_world: World) -> None:
    hostile = "<script>alert(1)</script>"
    await small_world.project("shop", job("resize", parameters=SECRET_PARAMETERS))
    client, (run,) = await runs_of(small_world, 1)
    await small_world.change_run(run, source=hostile, reason=hostile, parameters=f'{{"a":"{hostile}"}}')

    page = await client.get("/runs", params={"source": hostile})

    assert "<script>alert" not in page.text
    assert shown(page.text) == [run]
