"""`orchestra up` behind a reverse proxy with TLS: whom it believes, and what it gives browsers."""

import re
from collections.abc import Mapping
from pathlib import Path

import httpx2
import msgspec

from orchestra.network.client import API
from tests.support.journey import Orchestra, started, wait_until

CLIENT = "203.0.113.7"
FORWARDED = {"x-forwarded-for": CLIENT, "x-forwarded-proto": "https", "sec-fetch-site": "same-origin"}
BEHIND_TLS = ("--trusted-proxy", "127.0.0.1", "--secure-cookies")


class Entry(msgspec.Struct, frozen=True):
    """What is looked at of the audit."""

    action: str
    address: str


class Entries(msgspec.Struct, frozen=True):
    """A page of it."""

    items: tuple[Entry, ...]


def signed_in(up: Orchestra, headers: Mapping[str, str]) -> tuple[str, str]:
    """What a browser that signs in gets as its cookie, and from where it came by the audit."""
    found = wait_until(lambda: re.search(r"/sign-in\?link=(\S+)", up.program.output), what="a sign-in link")
    answer = httpx2.post(f"{up.address}/sign-in", data={"link": found[1]}, headers=dict(headers))
    assert answer.status_code == 303
    entries = up.api.get(f"{API}/audit").read(Entries).items
    return answer.headers["set-cookie"], next(each.address for each in entries if "sign" in each.action)


def test_the_named_proxy_says_where_a_request_came_from_and_cookies_travel_over_tls_alone(tmp_path: Path) -> None:
    with started(Orchestra(tmp_path, slots=0, more=BEHIND_TLS)) as up:
        cookie, address = signed_in(up, FORWARDED)

    assert "secure" in cookie.lower().split("; ")
    assert address == CLIENT


def test_without_a_named_proxy_nobody_is_believed(tmp_path: Path) -> None:
    with started(Orchestra(tmp_path, slots=0)) as up:
        cookie, address = signed_in(up, FORWARDED)

    assert "secure" not in cookie.lower().split("; ")
    assert address == "127.0.0.1"
