"""A log by windows: any line by its number, its steps, a search through all of it, and nothing of it ever markup."""

import html
import re

import httpx2
import pytest
from sqlalchemy import insert, update

from orchestra.storage.tables import attempts, run_steps
from tests.service.given import World

BACKUP = "/api/v1/projects/ops/jobs/backup/runs"
LONG = b"".join(b"line %d\n" % number for number in range(1, 10_001))


async def logged(world: World, log: bytes, **values: object) -> tuple[httpx2.AsyncClient, int]:
    """A run that is over, with this log."""
    client = await world.administrator()
    run = (await client.post(BACKUP, json={})).json()["id"]
    await world.worker("atlas")
    now = world.clock.now()
    await world.attempt(run, 1, log, **{"state": "succeeded", "ended_at": now, "started_at": now, **values})
    await world.change_run(run, state="succeeded", started_at=now, ended_at=now, worker_id=1, attempt=1)
    return client, run


def numbers(page: httpx2.Response) -> list[int]:
    return [int(number) for number in re.findall(r'id="L(\d+)"', page.text)]


def links(page: httpx2.Response) -> dict[str, str]:
    found = re.findall(r'<a href="([^"]*)"[^>]*>([A-Z][a-z]+)</a>', page.text)
    return {text: html.unescape(address) for address, text in found}


async def test_a_log_opens_at_its_end_and_is_read_window_by_window(world: World) -> None:
    client, run = await logged(world, LONG)

    end = await client.get(f"/runs/{run}/log")
    seen, page = [numbers(end)], end
    while "Earlier" in links(page):
        page = await client.get(links(page)["Earlier"])
        seen.insert(0, numbers(page))
    later = await client.get(links(page)["Later"])

    assert [number for window in seen for number in window] == list(range(1, 10_001))
    assert max(map(len, seen)) == 2000
    assert (end.text.count('<pre class="log"'), "Later" in links(end)) == (4, False)
    assert numbers(later) == seen[1]
    assert links(later)["Start"] == f"/runs/{run}/log?attempt=1&line=1"
    assert "lines 8,001 to 10,000 of 10,000" in end.text


async def test_the_link_of_a_line_opens_the_window_that_holds_it(world: World) -> None:
    client, run = await logged(world, LONG)
    end = await client.get(f"/runs/{run}/log")

    link = re.search(r'id="L9000"><a href="([^"#]*)#L9000">', end.text)
    assert link is not None
    page = await client.get(html.unescape(link[1]))

    assert 9000 in numbers(page)
    assert 'id="L9000"><a href="#L9000">9000</a>line 9000\n' in page.text


@pytest.mark.parametrize(("line", "first"), [(1, 1), (1204, 501), (10_000, 9001), (10**17, 9001)])
async def test_a_line_far_away_is_found_at_once(small_world: World, line: int, first: int) -> None:
    client, run = await logged(small_world, LONG)

    page = await client.get(f"/runs/{run}/log?attempt=1&line={line}")

    assert numbers(page)[0] == first


async def test_readers_see_nothing_behind_what_is_committed(small_world: World) -> None:
    client, run = await logged(small_world, b"one\ntwo\nsecret\n")
    await small_world.database.write(lambda connection: connection.execute(update(attempts).values(log_length=8)))

    page = await client.get(f"/runs/{run}/log")
    found = await client.get(f"/runs/{run}/log?q=secret")

    assert numbers(page) == [1, 2]
    assert "No line has it" in found.text


async def steps(world: World, run: int, *rows: dict[str, object]) -> None:
    now = world.clock.now()
    common = {"run_id": run, "attempt": 1, "started_at": now, "ended_at": now, "exit_code": 0, "reason": ""}
    full = [{**common, "number": place, **row} for place, row in enumerate(rows)]
    await world.database.write(lambda connection: connection.execute(insert(run_steps), full))


async def test_steps_are_folded_unless_they_failed_and_can_be_jumped_to(world: World) -> None:
    client, run = await logged(world, b"a\nb\nc\nd\ne\n", state="failed")
    await steps(
        world,
        run,
        {"name": "Build", "log_start": 0, "log_end": 4},
        {"name": "Test", "log_start": 4, "log_end": 8, "exit_code": 1, "reason": "exit code 1"},
        {"name": "Tidy", "log_start": 8, "log_end": 10},
    )

    page = await client.get(f"/runs/{run}/log")
    jumped = await client.get(f"/runs/{run}/log?offset=4")

    folds = re.findall(r'<details class="step"( open)?>\s*<summary>.*?</span>(\w+)</span> (\w+)', page.text)
    assert folds == [("", "succeeded", "Build"), (" open", "failed", "Test"), (" open", "succeeded", "Tidy")]
    assert f'<a href="/runs/{run}/log?attempt=1&amp;line=3#L3">' in page.text
    assert jumped.text.count('<details class="step" open>') == 3


async def test_a_search_goes_through_the_whole_log(world: World) -> None:
    client, run = await logged(world, LONG)

    page = await client.get(f"/runs/{run}/log", params={"q": "LINE 77"})
    case = await client.get(f"/runs/{run}/log", params={"q": "LINE 77", "case": "1"})

    found = re.findall(r'<li><a href="([^"]*)">([\d,]+)</a> <code><mark>line 77</mark>(\d*)', page.text)
    assert [text for _, text, _ in found][:3] == ["77", "770", "771"]
    assert len(found) == 111
    assert html.unescape(found[1][0]) == f"/runs/{run}/log?attempt=1&line=770#L770"
    assert "No line has it" in case.text


async def test_many_hits_are_read_in_pieces(small_world: World) -> None:
    client, run = await logged(small_world, LONG)

    first = await client.get(f"/runs/{run}/log", params={"q": "line"})
    onward = re.search(r'<a href="([^"]*)">Search on from there', first.text)
    assert onward is not None
    second = await client.get(html.unescape(onward[1]))

    assert "200+ lines with" in first.text
    assert '#L201">201</a>' in second.text


@pytest.mark.parametrize("query", ["line=0", "line=x", "q=" + "x" * 201, "colour=1", "attempt=-1", "offset=z"])
async def test_an_address_that_means_nothing_is_refused(small_world: World, query: str) -> None:
    client, run = await logged(small_world, b"one\n")

    assert (await client.get(f"/runs/{run}/log?{query}")).status_code == 400


HOSTILE = (
    b"<script>alert(1)</script>\n"
    b"</pre><img src=x onerror=alert(2)>\n"
    b"\x1b]8;;javascript:alert(3)\x07click\x1b]8;;\x07\n"
    b"\x1b[31m<b>\x1b[0m\x1b]0;title\x07\n"
    b"\xff\xfe\xc3\n" + b"\x00\x07\x08\x1b[2J\x1b[H\n" + "\u202eevil\u2028\n".encode() + b"10%\r100%\r\n"
)


async def test_a_hostile_log_is_text_in_every_view(small_world: World) -> None:
    client, run = await logged(small_world, HOSTILE)

    for path in (f"/runs/{run}", f"/runs/{run}/log", f"/runs/{run}/log?q=alert", f"/runs/{run}/log/live"):
        page = await client.get(path)

        assert page.status_code == 200, path
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
        assert 'href="javascript' not in page.text
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028]", page.text)
        assert len(re.findall(r"<pre", page.text)) == len(re.findall(r"</pre>", page.text))


async def test_a_line_of_ten_megabytes_makes_no_large_page(small_world: World) -> None:
    client, run = await logged(small_world, b"first\n" + b"<" * 10_000_000 + b"\nlast\n")

    page = await client.get(f"/runs/{run}/log")

    assert numbers(page) == [1, 2, 3]
    assert "9.5 MiB left out" in page.text
    assert len(page.content) < 100_000


@pytest.mark.parametrize(("log", "words"), [(b"", "printed nothing"), (b"\n\n", 'id="L2"')])
async def test_logs_with_little_in_them(small_world: World, log: bytes, words: str) -> None:
    client, run = await logged(small_world, log)

    assert words in (await client.get(f"/runs/{run}/log")).text


async def test_a_log_folder_that_lacks_the_log_is_said_to(small_world: World) -> None:
    client, run = await logged(small_world, b"one\n")
    small_world.logs.content.clear()

    page = await client.get(f"/runs/{run}/log")

    assert page.status_code == 200
    assert "The log is not where it should be" in page.text


async def test_a_run_that_never_ran_has_no_log(small_world: World) -> None:
    client = await small_world.administrator()
    run = (await client.post(BACKUP, json={})).json()["id"]
    await small_world.change_run(run, state="cancelled", ended_at=small_world.clock.now())

    assert "It never ran" in (await client.get(f"/runs/{run}/log")).text
