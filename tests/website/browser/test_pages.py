"""Every page there is, in both themes, on a wide screen and a phone, with and without scripts."""

import pytest
from playwright.sync_api import Page

from tests.website.browser.browsing import (
    PHONE,
    WIDE,
    Browsing,
    Weight,
    axe_violations,
    keyboard_faults,
    resize,
    shown_markup,
    too_wide,
)
from tests.website.browser.samples import ERRORS, SAMPLES, Sample, pages_of_the_policy

KIBI = 1024
TOTAL_BYTES_MAX = 45 * KIBI
LOG_WINDOW_BYTES_MAX = 35 * KIBI
SCRIPT_BYTES_MAX = 20 * KIBI
STYLE_BYTES_MAX = 12 * KIBI
FAULTS_TOLD_MAX = 12

PAGES = [sample for path in pages_of_the_policy() for sample in SAMPLES.get(path, ())]


def named(sample: Sample) -> str:
    return f"{sample.path} as {sample.name}"


def test_every_page_of_the_policy_table_has_a_sample() -> None:
    missing = [path for path in pages_of_the_policy() if not SAMPLES.get(path)]
    gone = [path for path in SAMPLES if path not in pages_of_the_policy()]

    assert not missing, f"add an address to samples.py for {missing}"
    assert not gone, f"these pages are gone: {gone}"


def open_page(browsing: Browsing, page: Page, sample: Sample, status: int) -> None:
    answer = page.goto(sample.path.format_map(browsing.seeded.numbers))
    assert answer is not None
    assert answer.status == status, f"{page.url} answers {answer.status}"
    assert page.locator("h1").count() == 1, f"{page.locator('h1').count()} main headings"
    assert page.title().strip()


def look(page: Page, *, with_axe: bool) -> list[str]:
    """Everything that is wrong with the open page, in both themes and on both screens."""
    faults = shown_markup(page)
    for size in (WIDE, PHONE):
        resize(page, size)
        faults += [f"{size['width']} px: {fault}" for fault in too_wide(page)]
        if with_axe:
            faults += [f"light, {size['width']} px: {fault}" for fault in axe_violations(page)]
    if with_axe:
        # The colours change with the scheme, the layout does not.
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        faults += [f"dark: {fault}" for fault in axe_violations(page)]
    return (faults + keyboard_faults(page))[:FAULTS_TOLD_MAX]


def weigh(weight: Weight, path: str) -> list[str]:
    """What of the first view is too heavy."""
    limit = TOTAL_BYTES_MAX + (LOG_WINDOW_BYTES_MAX if "/log" in path else 0)
    measures = {"all": (weight.total, limit), ".js": (weight.of(".js"), SCRIPT_BYTES_MAX)}
    measures[".css"] = (weight.of(".css"), STYLE_BYTES_MAX)
    return [f"{what} weighs {size} B, more than {most} B" for what, (size, most) in measures.items() if size > most]


@pytest.mark.parametrize("sample", PAGES, ids=named)
def test_a_page_is_whole_with_scripts(browsing: Browsing, sample: Sample) -> None:
    page, weight = browsing.page(sample.name), Weight()
    page.on("response", weight.note)

    open_page(browsing, page, sample, 200)
    faults = weigh(weight, sample.path) + look(page, with_axe=True)

    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("sample", PAGES, ids=named)
def test_a_page_is_whole_without_scripts(browsing: Browsing, sample: Sample) -> None:
    page = browsing.page(sample.name, script=False)

    open_page(browsing, page, sample, 200)
    faults = look(page, with_axe=False)

    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("sample", ERRORS, ids=named)
def test_a_refusal_is_a_page_too(browsing: Browsing, sample: Sample) -> None:
    page = browsing.page(sample.name)

    open_page(browsing, page, sample, 404 if sample.path.startswith("/nothing") else 400)
    faults = look(page, with_axe=True)

    assert not faults, "\n".join(faults)
