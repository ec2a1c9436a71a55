"""What administrators and operators do without a script: workers, users, tokens. Secrets are shown once."""

import re

from playwright.sync_api import expect

from orchestra.network.client import API
from tests.website.browser.browsing import Browsing


def test_a_worker_is_disabled_after_a_question_and_enabled_again(browsing: Browsing) -> None:
    page = browsing.page("ana", script=False)

    page.goto("/workers/atlas")
    page.get_by_role("link", name="Disable").click()
    expect(page.locator("h1")).to_have_text("Disable atlas?")
    page.get_by_label("Why").fill("new disk")
    page.get_by_role("button", name=re.compile("Disable")).click()
    expect(page.locator("main")).to_contain_text("new disk")
    expect(page.locator("main .state.disabled").first).to_be_visible()
    page.get_by_role("link", name="Enable").click()
    page.get_by_role("button", name=re.compile("Enable")).click()

    expect(page.locator("main .state.online").first).to_be_visible()


def test_a_new_user_comes_by_a_link_that_is_shown_once(browsing: Browsing) -> None:
    page, guest = browsing.page("ada", script=False), browsing.page(None, script=False)

    page.goto("/admin/users")
    page.get_by_role("link", name="Add a user").click()
    page.get_by_label("Name").fill("grace")
    page.get_by_label("viewer").check()
    page.get_by_role("button", name="Add the user").click()
    found = re.search(r"http\S+/sign-in\?link=[\w-]+", page.locator("main").inner_text())
    assert found, "there is no link"
    page.goto("/admin/users/grace")
    assert found.group().partition("link=")[2] not in page.content()
    guest.goto(found.group())
    guest.get_by_role("button", name="Sign in").click()

    expect(guest.locator(".me summary")).to_have_text("grace")


def test_a_token_is_shown_once_and_works_until_it_is_revoked(browsing: Browsing) -> None:
    page = browsing.page("ada", script=False)

    page.goto("/me")
    page.get_by_text("Make a token").click()
    page.locator("#f-token_name").fill("laptop")
    page.get_by_role("button", name="Make the token").click()
    found = re.search(r"orc_u_[0-9a-f]+", page.locator("main").inner_text())
    assert found, "there is no secret"
    client = browsing.seeded.orchestra.client(found.group())
    assert client.get(f"{API}/me").status == 200
    page.goto("/me")
    assert found.group() not in page.content()
    page.get_by_role("row", name=re.compile("laptop")).get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name=re.compile("Revoke")).click()

    expect(page.locator("main")).to_contain_text("The token is revoked")
    expect(page.get_by_role("row", name=re.compile("laptop"))).to_have_count(0)
