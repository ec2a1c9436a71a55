"""Reading pages as a reader does, and giving jobs a history."""

import html
import re
from collections.abc import Sequence

import httpx2

from orchestra.clock import after
from orchestra.queries.addresses import API
from tests.service.given import World

HOSTILE = "<script>alert(1)</script>"


def words_of(answer: httpx2.Response) -> str:
    """What the main part says, on one line."""
    main = answer.text.partition("<main")[2].partition("</main>")[0].partition(">")[2]
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())
    return re.sub(r" ([,.:;])", r"\1", text)


def links_of(answer: httpx2.Response) -> list[str]:
    """Where the links of the page lead."""
    return [html.unescape(found) for found in re.findall(r'<a [^>]*?href="([^"]*)"', answer.text)]


def field_of(answer: httpx2.Response, name: str) -> str:
    """The tag of the field with this id, with the text in it if it is a textarea."""
    found = re.search(rf'<(?:input|select|textarea)\s[^>]*?id="f-{re.escape(name)}"[^>]*>', answer.text)
    return html.unescape(found[0]) if found else ""


def hidden_value(answer: httpx2.Response, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'<input type="hidden" name="{re.escape(name)}" value="([^"]*)"', answer.text)
    return html.unescape(found[1]) if found else ""


async def triggered(client: httpx2.AsyncClient, job: str = "backup", **content: object) -> int:
    """A new run of a job of `ops`."""
    answer = await client.post(f"{API}/projects/ops/jobs/{job}/runs", json=content)
    assert answer.status_code == 201, answer.text
    number: int = answer.json()["id"]
    return number


async def ended_runs(
    world: World, client: httpx2.AsyncClient, states: Sequence[str], *, job: str = "backup", seconds: float = 60.0
) -> list[int]:
    """Runs of a job that ended so, the oldest first, each a minute after the one before."""
    numbers = []
    for state in states:
        run = await triggered(client, job)
        begin = world.clock.now()
        world.clock.advance(60)
        end = after(begin, seconds)
        await world.change_run(run, state=state, started_at=begin, ended_at=end, reason="exit code 3")
        numbers.append(run)
    return numbers
