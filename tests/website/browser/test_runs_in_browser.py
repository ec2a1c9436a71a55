"""What people do with runs: trigger by form, follow a log, stop, send others to a line; without scripts too."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.journey import wait_until
from tests.website.browser.browsing import Browsing

with_and_without_script = pytest.mark.parametrize("script", [True, False], ids=["with scripts", "without scripts"])
FOLLOWED_LINES = 40
FOLLOW_BOX = ".follow-box"
# Without a script the box runs from its end upwards: then nought is the end.
IS_AT_END = """box => getComputedStyle(box).flexDirection === "column-reverse"
  ? box.scrollTop === 0 : box.scrollHeight - box.scrollTop - box.clientHeight < 24"""
TOP_LINE = """box => {
  const place = box.getBoundingClientRect();
  return document.elementFromPoint(place.left + 60, place.top + 12).textContent.slice(0, 40);
}"""


@with_and_without_script
def test_a_job_is_triggered_by_its_form(browsing: Browsing, script: bool) -> None:
    page = browsing.page("ana", script=script)

    page.goto("/projects/shop/jobs/greet")
    page.get_by_role("link", name="Trigger").first.click()
    page.get_by_label("name").fill("Grace")
    page.get_by_role("button", name="Trigger greet").click()

    expect(page).to_have_url(re.compile(r"/runs/\d+"))
    number = int(page.url.rpartition("/runs/")[2].partition("?")[0])
    browsing.seeded.orchestra.finish(number)
    if script:
        # The page loads itself again once the run has begun, which would get in the way of what we open.
        expect(page.locator("#run-head")).to_contain_text("succeeded")
    page.goto(f"/runs/{number}/log")
    expect(page.locator("main")).to_contain_text("Hello, Grace.")


@with_and_without_script
def test_wrong_input_keeps_what_was_typed_and_says_where_it_is_wrong(browsing: Browsing, script: bool) -> None:
    page = browsing.page("ana", script=script)

    page.goto("/projects/ops/jobs/backup/trigger")
    # The browser's own checks are off, as those of a program are.
    page.locator("main form").evaluate("form => { form.noValidate = true; }")
    page.get_by_label("keep").fill("91")
    page.get_by_label("wait").fill("soon")
    page.get_by_label("notes").fill("two\nlines")
    page.get_by_label("passphrase").fill("a secret of twenty")
    page.get_by_role("button", name="Trigger backup").click()

    summary = page.get_by_role("alert")
    expect(summary).to_be_visible()
    expect(summary).to_be_focused()
    expect(summary.get_by_role("link")).to_have_count(2)
    expect(page.get_by_label("keep")).to_have_value("91")
    expect(page.get_by_label("wait")).to_have_value("soon")
    expect(page.get_by_label("notes")).to_have_value("two\nlines")
    expect(page.get_by_label("passphrase")).to_have_value("")
    summary.get_by_role("link").first.click()
    expect(page.get_by_label("keep")).to_be_focused()


def lines_in(page: Page) -> int:
    """How many lines of the followed log are there."""
    return page.locator(FOLLOW_BOX).inner_text().count("beat ")


@pytest.mark.parametrize(
    ("script", "path"), [(False, "/runs/{}/log/live"), (True, "/runs/{}")], ids=["without scripts", "with scripts"]
)
def test_a_log_is_followed_holds_still_and_ends_with_the_result(browsing: Browsing, script: bool, path: str) -> None:
    number, gate = browsing.seeded.watching(f"gate of the follower {script}")
    page = browsing.page("vera", script=script)

    page.goto(path.format(number), wait_until="commit")
    box = page.locator(FOLLOW_BOX)
    expect(box).to_contain_text(f"beat {FOLLOWED_LINES}", timeout=30_000)
    follows = box.evaluate(IS_AT_END)
    box.hover()
    page.mouse.wheel(0, -200)
    wait_until(lambda: not box.evaluate(IS_AT_END), what="the box to scroll")
    before, seen = box.evaluate(TOP_LINE), lines_in(page)
    wait_until(lambda: lines_in(page) > seen + 10, what="more lines below")
    after = box.evaluate(TOP_LINE)
    gate.touch()

    expect(page.locator("main")).to_contain_text("the gate is open", timeout=15_000)
    expect(page.locator("#result, .headline").first).to_contain_text("succeeded", timeout=15_000)
    assert follows, "the box does not follow at its end"
    assert after == before, "the lines move under the reader"


def test_a_page_goes_on_by_itself_after_a_proxy_has_answered_for_a_server_that_was_away(browsing: Browsing) -> None:
    number, gate = browsing.seeded.watching("gate of the page behind a proxy")
    page = browsing.page("vera", script=True)
    answers = []

    def away_once(route: Route) -> None:
        answers.append(route.request.url)
        if len(answers) == 1:
            route.fulfill(status=502, content_type="text/html", body="Bad Gateway")
        else:
            route.continue_()

    page.route("**/log/follow*", away_once)
    page.goto(f"/runs/{number}")

    expect(page.locator("#follow-state")).to_contain_text("retrying")
    expect(page.locator("#follow-state")).to_have_text("Live", timeout=15_000)
    gate.touch()
    expect(page.locator(FOLLOW_BOX)).to_contain_text("the gate is open", timeout=15_000)
    assert len(answers) == 2


def test_why_a_run_waits_changes_before_the_readers_eyes(browsing: Browsing) -> None:
    orchestra = browsing.seeded.orchestra
    first, second = browsing.seeded.trigger("ops/render"), browsing.seeded.trigger("ops/render")
    page = browsing.page("vera", script=True)
    page.goto(f"/runs/{second}")
    expect(page.get_by_text("2 runs with the same demands are before it")).to_be_visible()

    orchestra.api.post(f"/api/v1/runs/{first}/cancel", {"reason": "not needed"})

    expect(page.get_by_text("1 run with the same demands is before it")).to_be_visible(timeout=15_000)
    orchestra.api.post(f"/api/v1/runs/{second}/cancel", {"reason": "not needed"})
    expect(page.locator(".headline")).to_contain_text("cancelled", timeout=15_000)


@with_and_without_script
def test_a_run_is_aborted_after_a_page_that_says_what_will_happen(browsing: Browsing, script: bool) -> None:
    number, _ = browsing.seeded.watching(f"gate of the aborted {script}")
    page = browsing.page("ana", script=script)

    page.goto(f"/runs/{number}")
    page.get_by_role("link", name="Abort").click()
    expect(page.locator("h1")).to_contain_text(f"Abort run #{number}")
    expect(page.locator("main")).to_contain_text("SIGTERM")
    assert browsing.seeded.orchestra.run(number).stop_requested is None
    page.get_by_label("Reason").fill("wrong machine")
    page.get_by_role("button", name=f"Abort run #{number}").click()

    expect(page).to_have_url(re.compile(rf"/runs/{number}"))
    assert browsing.seeded.orchestra.finish(number).state == "aborted"
    page.goto(f"/runs/{number}")
    expect(page.locator(".headline")).to_contain_text("wrong machine")
    expect(page.get_by_role("link", name="Abort")).to_have_count(0)


@with_and_without_script
def test_an_address_of_a_line_opens_a_long_log_at_this_line(browsing: Browsing, script: bool) -> None:
    page = browsing.page("vera", script=script)
    number = browsing.seeded.runs["long"]

    page.goto(f"/runs/{number}/log?line=1204#L1204")

    line = page.locator("#L1204")
    expect(line).to_contain_text("line 1204 of a long log")
    expect(line).to_be_in_viewport()


def test_a_viewer_is_offered_nothing_to_change(browsing: Browsing) -> None:
    page = browsing.page("vera", script=False)
    runs = browsing.seeded.runs

    for path in (f"/runs/{runs['running']}", f"/runs/{runs['failed']}", "/projects/ops/jobs/backup", "/workers/atlas"):
        page.goto(path)
        expect(page.locator("main form button")).to_have_count(0)
        expect(page.locator("main .danger")).to_have_count(0)
    refused = page.goto("/projects/ops/jobs/backup/trigger")

    assert refused is not None
    assert refused.status == 403
    expect(page.locator("main")).to_contain_text("trigger and stop runs")
