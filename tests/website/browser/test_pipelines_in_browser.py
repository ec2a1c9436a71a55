"""A pipeline before the reader's eyes: it asks, is answered, and goes on; its parts are found by keyboard and link."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.pipelines import PipelineOf
from tests.website.browser.browsing import Browsing

with_and_without_script = pytest.mark.parametrize("script", [True, False], ids=["with scripts", "without scripts"])
SECONDS_MAX = 30_000


def see(page: Page, script: bool, selector: str, words: str) -> None:
    """Waits for the words; without a script the page is loaded again for that."""
    if script:
        expect(page.locator(selector)).to_contain_text(words, timeout=SECONDS_MAX)
        return
    page.reload()
    expect(page.locator(selector)).to_contain_text(words)


@with_and_without_script
def test_a_pipeline_asks_is_answered_and_goes_on(browsing: Browsing, script: bool) -> None:
    up = browsing.seeded.orchestra
    number = up.trigger("web/release", {"env": "staging"})
    page = browsing.page("ada", script=script)

    page.goto(f"/runs/{number}/graph")
    PipelineOf(up, number).reach("approve", "waiting")
    see(page, script, "#run-head", "Release 1.4.2 to staging?")
    page.get_by_label("Reason").fill("looked at it")
    page.get_by_role("button", name="Approve approve").click()
    page.get_by_role("link", name="Graph").click()
    up.finish(number)

    see(page, script, "#run-head", "succeeded")
    see(page, script, "#run-pipeline", "approved by user ada: looked at it")
    node = page.locator("svg.graph a.node", has_text="deploy")
    expect(node).to_have_class(re.compile("succeeded"))
    expect(node).to_contain_text("3/3")


def test_what_was_unfolded_stays_so_and_the_focus_stays_where_it_was(browsing: Browsing) -> None:
    up = browsing.seeded.orchestra
    number = up.trigger("web/release", {"env": "staging"})
    PipelineOf(up, number).reach("approve", "waiting")
    page = browsing.page("ada")

    page.goto(f"/runs/{number}/graph")
    fold = page.locator("details", has_text="flavour=full").first
    fold.locator("summary").click()
    PipelineOf(up, number).answer("approve", "reject", "not today")
    expect(page.locator("#run-pipeline")).to_contain_text("not today", timeout=SECONDS_MAX)

    expect(fold).to_have_attribute("open", "")
    expect(fold.locator("summary")).to_be_focused()


def test_the_drawing_leads_to_runs_and_rows_and_grows(browsing: Browsing) -> None:
    number = browsing.seeded.runs["pipeline"]
    page = browsing.page("vera", script=False)

    page.goto(f"/runs/{number}/graph")
    page.get_by_role("link", name="build: succeeded 6/6").click()
    expect(page).to_have_url(re.compile("#element-"))
    page.get_by_role("link", name="200 %").click()
    width = page.locator("svg.graph").evaluate("each => each.getBoundingClientRect().width")
    page.get_by_role("link", name="plan: succeeded").click()

    assert width > 1500
    expect(page.get_by_role("heading", level=1)).to_contain_text("web/plan")
    page.get_by_role("link", name=f"#{number}").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("web/release")
