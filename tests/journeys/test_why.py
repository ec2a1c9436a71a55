"""Why a run waits for a lock: the program's interface, the terminal and the page say the same words."""

import html
import re
import subprocess
from pathlib import Path

import httpx2
import msgspec

from orchestra.network.client import API
from tests.support.journey import PYTHON, Orchestra, running, wait_until

DEFINITION = """
orchestra: 1
project: ops
jobs:
  migrate:
    locks: database
    run: while [ ! -e {folder}/open ]; do sleep 0.1; done
"""


class Waiting(msgspec.Struct, frozen=True):
    """Why a run waits."""

    reasons: tuple[str, ...]


def told_by_api(up: Orchestra, number: int) -> tuple[str, ...]:
    """The reasons as a program reads them."""
    return up.api.get(f"{API}/runs/{number}/waiting").read(Waiting).reasons


def told_at_terminal(up: Orchestra, number: int) -> list[str]:
    """The reasons as `orchestra run show N --why` prints them."""
    words = [PYTHON, "-m", "orchestra", "run", "show", str(number), "--why"]
    done = subprocess.run(words, cwd=up.data.parent, capture_output=True, text=True, timeout=60, check=True)
    return [line.strip() for line in done.stdout.splitlines()]


def told_on_page(up: Orchestra, number: int) -> str:
    """The page of the run, as its reader reads it."""
    said = wait_until(lambda: re.search(r"/sign-in\?link=(\S+)", up.program.output), what="the link")
    with httpx2.Client(base_url=up.address, headers={"sec-fetch-site": "same-origin"}) as browser:
        assert browser.post("/sign-in", data={"link": said[1]}).status_code == 303
        page = browser.get(f"/runs/{number}")
    assert page.status_code == 200, page.text
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page.text)).split())


def test_api_terminal_and_page_name_the_lock_and_the_run_that_holds_it_in_the_same_words(
    up: Orchestra, tmp_path: Path
) -> None:
    up.apply(DEFINITION.format(folder=tmp_path))
    with running(up.worker(tmp_path, "atlas", slots=3)):
        holder, waiting = (up.trigger("ops/migrate") for _ in range(2))
        up.reach(holder, "running")
        # What changes by itself is the time: it stands still for none of the three.
        reasons = tuple(map(_without_times, told_by_api(up, waiting)))
        terminal = [_without_times(line) for line in told_at_terminal(up, waiting)]
        page = _without_times(told_on_page(up, waiting))
        (tmp_path / "open").touch()
        ended = [up.finish(number).state for number in (holder, waiting)]

    (lock,) = [reason for reason in reasons if "lock" in reason]
    assert re.search(r"\bdatabase\b", lock)
    assert re.search(rf"#{holder}\b", lock)
    assert [reason for reason in reasons if reason not in terminal] == []
    assert [reason for reason in reasons if f"{reason[:1].upper()}{reason[1:]}" not in page] == []
    assert ended == ["succeeded", "succeeded"]


def _without_times(text: str) -> str:
    """Durations that go on while one asks after the other."""
    return re.sub(r"\d+(\.\d+)? ?(ms|s|min|h|d)\b", "TIME", text)
