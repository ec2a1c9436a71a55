"""Whatever people, jobs and workers write is shown as text: no script runs, nothing is reported, nothing is lost."""

from collections.abc import Iterator
from itertools import product
from string import Formatter
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from orchestra_website.policy import POLICY
from tests.support.journey import end_marked_processes
from tests.website.browser.browsing import Browsing
from tests.website.browser.hostile import PROJECT, Hostile, hostile_instance
from tests.website.browser.payloads import COUNT, hostile_texts, is_plain, mark_of
from tests.website.browser.samples import NOT_PAGES

_COUNT_CALLS = """() => {
  window.calls = 0;
  window.pwned = () => { window.calls += 1; };
}"""
# What the templates never make: a handler, an embedded document, a foreign script, a link that is a program.
_FOREIGN = """() => [...document.querySelectorAll("*")].filter(each =>
    [...each.attributes].some(one => one.name.startsWith("on") || one.name === "style" || one.name === "srcdoc")
    || ["IFRAME", "OBJECT", "EMBED", "BASE", "STYLE", "MARQUEE", "VIDEO", "MATH"].includes(each.tagName)
    || (each.tagName === "SCRIPT" && !(each.getAttribute("src") || "").startsWith("/static/"))
    || /^\\s*(javascript|data|vbscript):/i.test(each.getAttribute("href") || each.getAttribute("action") || ""))
  .map(each => each.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """The instance in which every text is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    try:
        with hostile_instance(folder) as hostile:
            yield hostile
    finally:
        end_marked_processes(str(folder))


@pytest.fixture
def context(browser: Browser, hostile: Hostile) -> Iterator[BrowserContext]:
    """A browser of an administrator that counts what runs; at the end nothing has run and nothing was reported."""
    browsing = Browsing(browser, hostile)
    context = browsing.context("ada")
    context.add_init_script(f"({_COUNT_CALLS})()")
    yield context
    browsing.close()
    assert browsing.watch.words == []
    assert browsing.watch.dialogs == 0


def read(page: Page, path: str) -> str:
    """Opens the page, looks that nothing foreign is in it, and gives all its text."""
    answer = page.goto(path)
    assert answer is not None
    assert answer.status < 500, f"{path} answers {answer.status}"
    page.mouse.move(200, 300)
    foreign = page.evaluate(_FOREIGN)
    assert not foreign, f"{path}: {foreign}"
    assert page.evaluate("() => window.calls") == 0, f"{path} runs a script"
    text: str = page.evaluate(
        "() => [...document.querySelectorAll('textarea, input')].reduce("
        "(all, each) => all + '\\n' + each.value, document.body.textContent)"
    )
    return text


def assert_shown(texts: tuple[str, ...], shown: str) -> None:
    marks = [mark_of(text) for text in texts if mark_of(text) not in shown]
    assert not marks, f"{len(marks)} of {len(texts)} are not there: {marks[:10]}"
    plain = squeezed(shown)
    changed = [text for text in texts if is_plain(text) and squeezed(text) not in plain]
    assert not changed, f"{len(changed)} are not shown as they are: {changed[:5]}"


def squeezed(text: str) -> str:
    """Without the white space that markup adds."""
    return "".join(text.split())


def test_there_are_enough_of_them() -> None:
    assert len(set(hostile_texts())) == COUNT == 500


def test_the_log_shows_all_of_them_as_text(context: BrowserContext, hostile: Hostile) -> None:
    shown = read(context.new_page(), f"/runs/{hostile.runs['log']}/log")

    # A carriage return overwrites what stands before it in its line, as in a terminal.
    assert_shown(tuple(text for text in hostile.texts if "\r" not in text), shown)
    assert squeezed(shown).count(squeezed("hidden <script>")) >= 5


def test_the_results_show_all_of_them_as_text(context: BrowserContext, hostile: Hostile) -> None:
    shown = read(context.new_page(), f"/runs/{hostile.runs['results']}")

    assert_shown(hostile.texts, shown)


def test_parameters_show_all_of_them_in_the_form_and_in_the_run(context: BrowserContext, hostile: Hostile) -> None:
    page = context.new_page()

    for number, texts in enumerate(hostile.parts(50)):
        assert_shown(texts, read(page, f"/projects/{PROJECT}/jobs/take-{number}/trigger"))
        assert_shown(texts, read(page, f"/runs/{hostile.runs[f'take-{number}']}/parameters"))


def test_descriptions_and_reasons_show_as_text(context: BrowserContext, hostile: Hostile) -> None:
    page = context.new_page()

    for number, texts in enumerate(hostile.parts(25)):
        assert_shown(texts, read(page, f"/projects/{PROJECT}/jobs/say-{number}"))
    for place, text in enumerate(hostile.reasons):
        assert_shown((text,), read(page, f"/runs/{hostile.runs[f'cancelled-{place}']}"))


def test_pipelines_show_what_is_asked_and_answered_as_text(context: BrowserContext, hostile: Hostile) -> None:
    page = context.new_page()
    number = hostile.runs["pipeline"]

    for tab in ("", "/graph", "/timeline"):
        assert_shown((hostile.question,), read(page, f"/runs/{number}{tab}"))
    assert_shown((hostile.reasons[3],), read(page, f"/runs/{number}/graph"))
    read(page, f"/runs/{number}/graph?element=many")


def test_what_is_searched_and_filtered_for_shows_as_text(context: BrowserContext, hostile: Hostile) -> None:
    page = context.new_page()

    for text in hostile.texts[::25]:
        asked = quote(text)
        read(page, f"/search?q={asked}")
        read(page, f"/runs?job={asked}&worker={asked}")
        read(page, f"/schedules/preview?cron={asked}&zone={asked}")
        read(page, f"/runs/{hostile.runs['log']}/log?q={asked}")


def test_no_page_at_all_runs_anything(context: BrowserContext, hostile: Hostile) -> None:
    page = context.new_page()
    values = {
        "project": (PROJECT,),
        "job": ("say-0", "take-0", "log"),
        "worker": ("atlas", "local"),
        "run": tuple(
            map(str, (hostile.runs[kind] for kind in ("log", "results", "steps", "ask-0", "cancelled-0", "pipeline")))
        ),
        "attempt": ("1",),
    }

    endless = {str(hostile.runs[kind]) for kind in ("ask-0", "pipeline")}
    opened = 0
    for method, path in POLICY:
        names = [name for _, name, _, _ in Formatter().parse(path) if name]
        if method != "GET" or path in NOT_PAGES or not set(names) <= set(values):
            continue
        for chosen in product(*(values[name] for name in names)):
            if path.endswith("/live") and endless & set(chosen):
                continue  # it waits for ever, and so does this page
            read(page, path.format_map(dict(zip(names, chosen, strict=True))))
            opened += 1
    assert opened >= 30
