"""Signing in, by link and by password, with scripts and without; and coming back to where one was."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.website.browser.browsing import Browsing
from tests.website.browser.seeded import PASSWORD

with_and_without_script = pytest.mark.parametrize("script", [True, False], ids=["with scripts", "without scripts"])


def give_name_and_password(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_the_printed_link_signs_in_once_and_opens_on_the_first_page(browsing: Browsing) -> None:
    link = browsing.seeded.link()
    page, later = browsing.page(None, script=False), browsing.page(None, script=False)

    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    later.goto(link)
    later.get_by_role("button", name="Sign in").click()

    expect(page).to_have_url(f"{browsing.seeded.address}/")
    expect(page.locator(".me summary")).to_have_text("admin")
    expect(later.get_by_role("alert")).to_contain_text("used already")
    expect(later.locator(".me")).to_have_count(0)


@with_and_without_script
def test_a_password_signs_in_and_leads_back_to_where_one_wanted_to_go(browsing: Browsing, script: bool) -> None:
    page = browsing.page(None, script=script)

    page.goto("/runs?status=failed&job=report")
    expect(page).to_have_url(re.compile(r"/sign-in\?next="))
    give_name_and_password(page, "vera")

    expect(page).to_have_url(f"{browsing.seeded.address}/runs?status=failed&job=report")
    expect(page.locator("h1")).to_have_text("Runs")


@with_and_without_script
def test_a_wrong_password_is_said_beside_the_name_that_was_typed(browsing: Browsing, script: bool) -> None:
    page = browsing.page(None, script=script)

    page.goto("/sign-in?next=/runs")
    give_name_and_password(page, "vera", "not the password")
    expect(page.get_by_role("alert")).to_contain_text("do not fit")
    expect(page.get_by_label("Name")).to_have_value("vera")
    expect(page.get_by_label("Password")).to_have_value("")
    give_name_and_password(page, "vera")

    expect(page).to_have_url(f"{browsing.seeded.address}/runs")


@with_and_without_script
def test_a_session_that_has_ended_returns_to_its_page_after_the_sign_in(browsing: Browsing, script: bool) -> None:
    page = browsing.page(None, script=script)
    value = browsing.seeded.new_cookie("vera")
    page.context.add_cookies([{"name": "orchestra", "value": value, "url": browsing.seeded.address}])
    page.goto("/runs?status=succeeded")
    other = browsing.context(None, script=False)
    other.add_cookies([{"name": "orchestra", "value": value, "url": browsing.seeded.address}])
    elsewhere = other.new_page()
    elsewhere.goto("/runs")
    elsewhere.locator(".me summary").click()
    elsewhere.get_by_role("button", name="Sign out").click()
    expect(elsewhere).to_have_url(re.compile("/sign-in"))

    page.reload()
    expect(page).to_have_url(re.compile("/sign-in"))
    give_name_and_password(page, "vera")

    expect(page).to_have_url(f"{browsing.seeded.address}/runs?status=succeeded")


@with_and_without_script
def test_the_colours_that_one_chooses_stay_on_every_page(browsing: Browsing, script: bool) -> None:
    page = browsing.page("vera", script=script, scheme="light")
    ground = "() => getComputedStyle(document.documentElement).backgroundColor"

    page.goto("/runs?status=failed")
    light = page.evaluate(ground)
    page.get_by_role("button", name="dark").click()

    expect(page).to_have_url(f"{browsing.seeded.address}/runs?status=failed")
    expect(page.get_by_role("button", name="dark")).to_have_attribute("aria-pressed", "true")
    dark = page.evaluate(ground)
    page.goto("/")
    assert page.evaluate(ground) == dark != light


@with_and_without_script
def test_filters_stand_in_the_address_and_are_kept_in_the_form(browsing: Browsing, script: bool) -> None:
    page = browsing.page("vera", script=script)
    runs = browsing.seeded.runs

    page.goto("/runs")
    page.locator("summary", has_text="State").click()
    page.get_by_label("failed").check()
    page.get_by_label("Job", exact=True).fill("report")
    page.get_by_role("button", name="Filter").click()

    expect(page).to_have_url(re.compile(r"status=failed"))
    expect(page.get_by_label("failed")).to_be_checked()
    expect(page.get_by_label("Job", exact=True)).to_have_value("report")
    expect(page.get_by_role("link", name=f"#{runs['failed']}", exact=True).first).to_be_visible()
    expect(page.get_by_role("link", name=f"#{runs['greeted']}", exact=True)).to_have_count(0)
