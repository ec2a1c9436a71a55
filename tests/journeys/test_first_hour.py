"""The first hour of a newcomer, in a terminal and in a browser, in the order in which people do these things."""

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import Error as PlaywrightError

from tests.support.journey import PYTHON, Orchestra, Program, running, wait_until
from tests.support.proxy import Proxy
from tests.website.browser.browsing import chromium

DEFINITION = """orchestra: 1
project: shop
jobs:
  backup:
    run: |
      echo "copying the shop"
      for beat in 1 2 3 4 5 6; do
        echo "beat $beat"; sleep 0.2
        while [ -e "$HOLD" ]; do sleep 0.1; done
      done
      orchestra result set copied 6 --parse
    worker: { machine: two }
"""


PATIENCE_MILLISECONDS = 60_000


class Newcomer:
    """Somebody with a terminal in a folder, a browser, and a watch."""

    def __init__(self, *, folder: Path, browser: Browser) -> None:
        self.folder = folder
        self.up = Orchestra(folder, slots=2, more=("--demo",))
        self._begun_at = time.monotonic()
        self._context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        self._context.set_default_timeout(PATIENCE_MILLISECONDS)
        expect.set_options(timeout=PATIENCE_MILLISECONDS)
        self.page: Page = self._context.new_page()

    def close(self) -> None:
        """Closes the browser and stops the instance."""
        self._context.close()
        if self.up.program.process is not None:
            self.up.stop()

    def note(self, what: str, since: float | None = None) -> None:
        """Tells how long it took: figures for people, not limits."""
        print(f"{time.monotonic() - (since or self._begun_at):6.1f} s  {what}")

    def types(self, *words: str, code: int = 0) -> str:
        """Types a command of ours and gives all that it says."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("ORCHESTRA", "XDG"))}
        done = subprocess.run(
            [PYTHON, "-m", "orchestra", *words],
            cwd=self.folder,
            env={**kept, "HOME": str(self.folder / "home"), "COLUMNS": "120"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, f"orchestra {' '.join(words)} → {done.returncode}\n{said}"
        assert "Traceback" not in said
        return said

    def opens(self, path: str) -> Page:
        """Opens a page of the website, twice if the page before has just reloaded itself because its run began."""
        try:
            self.page.goto(f"{self.up.address}{path}")
        except PlaywrightError as error:
            if "ERR_ABORTED" not in error.message and "interrupted by another navigation" not in error.message:
                raise
            self.page.goto(f"{self.up.address}{path}")
        return self.page

    def rewrites(self, old: str, new: str) -> None:
        """Changes a word in the definition."""
        file = self.folder / "orchestra.yaml"
        file.write_text(file.read_text().replace(old, new))


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    folder = tmp_path / "here"
    folder.mkdir()
    with chromium() as browser:
        newcomer = Newcomer(folder=folder, browser=browser)
        yield newcomer
        newcomer.close()


@pytest.mark.timeout(240)
def test_the_first_hour(newcomer: Newcomer) -> None:
    start_and_sign_in(newcomer)
    watch_the_demo(newcomer)
    write_a_definition(newcomer)
    with Proxy(("127.0.0.1", newcomer.up.port)) as proxy, running(second_worker(newcomer, proxy)):
        see_why_it_waits(newcomer)
        pull_the_plug(newcomer, proxy)
    break_and_mend(newcomer)
    start_again(newcomer)
    let_others_in(newcomer)


def start_and_sign_in(newcomer: Newcomer) -> None:
    newcomer.up.start()
    said = wait_until(lambda: re.search(r"http\S+/sign-in\?link=\S+", newcomer.up.program.output), what="the link")
    wait_until(lambda: "The demo is running" in newcomer.up.program.output, what="the demo")
    assert len(newcomer.up.program.output.splitlines()) <= 15, "a wall of words"

    newcomer.page.goto(said.group())
    newcomer.page.get_by_role("button", name="Sign in").click()

    expect(newcomer.page.get_by_role("heading", name="Your first hour")).to_be_visible()
    expect(newcomer.page.get_by_text("All good")).to_be_visible()
    newcomer.note("signed in, the checklist is there")


def watch_the_demo(newcomer: Newcomer) -> None:
    page = newcomer.page
    page.locator("main a[href^='/runs/']").first.click()
    expect(page.locator("h1")).to_contain_text("Run #")
    expect(page.locator(".headline")).to_contain_text("succeeded")
    newcomer.note("first green run")

    build = re.search(r"The demo is running: #(\d+)", newcomer.up.program.output)
    assert build is not None
    newcomer.opens(f"/runs/{build.group(1)}")
    # Nothing is reloaded: the page gets there by itself.
    expect(page.locator(".headline")).to_contain_text("succeeded")
    expect(page.get_by_role("row", name=re.compile("passed"))).to_contain_text("6")


def write_a_definition(newcomer: Newcomer) -> None:
    assert "orchestra validate" in newcomer.types("init")
    newcomer.rewrites("max-attempts", "max-atempts")
    bad = newcomer.types("validate", code=1)
    assert re.search(r"orchestra\.yaml:\d+:\d+", bad)
    assert "^^^" in bad
    assert "did you mean `max-attempts`?" in bad
    newcomer.rewrites("max-atempts", "max-attempts")
    plan = newcomer.types("apply", "--yes")
    assert "+ job backup" in plan
    assert "fires next" in plan
    followed = newcomer.types("trigger", "ops/backup", "--follow")
    assert "/etc/hostname is kept in" in followed
    assert "succeeded" in followed
    newcomer.note("own job has run")
    page = newcomer.opens("/")
    expect(page.locator(".first-steps li.done")).to_have_count(3)


def second_worker(newcomer: Newcomer, proxy: Proxy) -> Program:
    """The line that the page shows, typed on the second machine: only its link is one that the test can cut."""
    page = newcomer.opens("/workers")
    page.get_by_role("link", name=re.compile("Add a worker")).first.click()
    page.get_by_label("Name of the worker").fill("two")
    page.get_by_label("Address of the master").fill(f"http://127.0.0.1:{proxy.port}")
    page.get_by_role("button", name="Make its token").click()
    line = page.locator("main pre").first.inner_text()
    machine = newcomer.folder.parent / "machine two"
    machine.mkdir()
    programs = f"{Path(PYTHON).parent}:{os.environ['PATH']}"
    environment = {"PATH": programs, "HOME": str(machine)}
    # As typed into a shell, which then becomes the worker, so that the test can stop it.
    typed = line.strip().replace("orchestra worker start", "exec orchestra worker start", 1)
    typed += " --property machine=two"
    return Program(["/bin/sh", "-c", f"cd '{machine}' && {typed}"], log=machine / "log", environment=environment)


def see_why_it_waits(newcomer: Newcomer) -> None:
    began, page = time.monotonic(), newcomer.page
    page.get_by_role("link", name="Has it connected?").click()
    wait_until(lambda: newcomer.up.connected("two"), what="the second worker")
    newcomer.note("second worker is there", began)
    newcomer.opens("/workers/two")
    expect(page.get_by_text("machine").first).to_be_visible()

    (newcomer.folder / "orchestra.yaml").write_text(DEFINITION.replace("machine: two", "gpu: '>= 1'"))
    newcomer.types("apply", "--yes")
    newcomer.types("trigger", "shop/backup")
    number = newest(newcomer)
    words = re.compile("none of 3 workers has what the job asks", re.IGNORECASE)
    assert words.search(newcomer.types("run", "show", str(number), "--why"))
    newcomer.opens(f"/runs/{number}")
    expect(page.locator("main")).to_contain_text(words)
    expect(page.get_by_role("row", name=re.compile("^two"))).to_contain_text("gpu")
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name=re.compile("Cancel")).click()
    expect(page.locator(".headline")).to_contain_text("cancelled")


def pull_the_plug(newcomer: Newcomer, proxy: Proxy) -> None:
    page = newcomer.page
    hold = newcomer.folder / "hold"
    hold.touch()
    (newcomer.folder / "orchestra.yaml").write_text(DEFINITION.replace("$HOLD", str(hold)))
    newcomer.types("apply", "--yes")
    newcomer.types("trigger", "shop/backup")
    number = newest(newcomer)
    wait_until(lambda: newcomer.up.log(number), what="the first line")

    proxy.cut()
    wait_until(lambda: not newcomer.up.connected("two"), what="the master to notice")
    newcomer.opens(f"/runs/{number}")
    expect(page.locator(".headline")).to_contain_text("running")
    expect(page.locator("main")).to_contain_text(re.compile("out of contact", re.IGNORECASE))
    hold.unlink()  # what comes now nobody hears
    proxy.mend()

    run = newcomer.up.finish(number)
    assert (run.state, run.attempts_counted, run.results) == ("succeeded", 1, {"copied": 6})
    assert newcomer.up.log(number).count(b"beat 6\n") == 1
    newcomer.opens(f"/runs/{number}")
    expect(page.locator(".headline")).to_contain_text("succeeded")
    newcomer.note("plug pulled, nothing lost")


def break_and_mend(newcomer: Newcomer) -> None:
    page = newcomer.page
    broken = DEFINITION.replace("    worker: { machine: two }\n", "").replace('echo "copying', 'ecco "copying')
    (newcomer.folder / "orchestra.yaml").write_text(broken)
    newcomer.types("apply", "--yes")
    assert "ecco" in newcomer.types("trigger", "shop/backup", "--follow", code=20)
    newcomer.opens(f"/runs/{newest(newcomer)}")
    lines = page.locator("pre.log").first
    expect(lines).to_contain_text("ecco")
    box = lines.bounding_box()
    assert box is not None
    assert box["y"] < 800, "the failing lines are not in the first view"

    newcomer.rewrites("ecco", "echo")
    newcomer.types("apply", "--yes")
    page.get_by_role("button", name="Retry", exact=True).click()
    expect(page.locator(".headline")).to_contain_text("succeeded")
    expect(page.locator("dl.facts")).to_contain_text("retry of")
    newcomer.note("broken, mended, retried")


def start_again(newcomer: Newcomer) -> None:
    before = [each["id"] for each in json.loads(newcomer.types("runs", "--json"))["items"]]
    assert newcomer.up.program.stop() == 0
    newcomer.up.start()

    after = [each["id"] for each in json.loads(newcomer.types("runs", "--json"))["items"]]
    assert set(before) <= set(after)
    # The session is still good: nobody has to sign in again.
    page = newcomer.opens("/schedules")
    expect(page.locator("main")).to_contain_text("ops/backup")
    newcomer.note("everything is there after a restart")


def let_others_in(newcomer: Newcomer) -> None:
    newcomer.types("user", "create", "ana", "--role", "operator@shop")
    token = newcomer.types("token", "create", "ci", "--user", "ana", "--expires", "30").split()[0]
    page = newcomer.opens("/runs")
    twin = page.get_by_role("link", name="JSON").get_attribute("href")
    request = urllib.request.Request(f"{newcomer.up.address}{twin}", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert {each["project"] for each in json.load(answer)["items"]} == {"shop"}
    assert "fail" not in newcomer.types("doctor")
    newcomer.note("somebody else is in; the hour is over")


def newest(newcomer: Newcomer) -> int:
    """The number of the newest run of the project `shop`."""
    found = json.loads(newcomer.types("runs", "--project", "shop", "--json"))["items"]
    return int(found[0]["id"])
