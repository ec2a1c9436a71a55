"""Guessing becomes slow, for a name and for an address; nobody is locked out, and the answers tell nothing."""

import asyncio

import httpx2
import pytest
from passlib.hash import pbkdf2_sha256
from sqlalchemy import func, select

from orchestra.clock import after
from orchestra.commands.passwords import Passwords
from orchestra.commands.sign_in import Origin, SignIn
from orchestra.commands.sign_in_throttle import wait_seconds
from orchestra.errors import Overloaded
from orchestra.limits import (
    ACCOUNT_FAILURES_MAX,
    ADDRESS_FAILURES_MAX,
    SIGN_IN_DELAY_SECONDS_MAX,
    SIGN_IN_FAILURE_SECONDS,
)
from orchestra.storage.sign_in_failures import forget_old_failures
from orchestra.storage.tables import sign_in_failures, users
from tests.service.given import START, World

PASSWORD = "correct horse battery"
OWN = {"sec-fetch-site": "same-origin"}


async def given_ana(world: World) -> httpx2.AsyncClient:
    root = await world.administrator()
    made = await root.post("/api/v1/users", json={"name": "ana", "password": PASSWORD, "roles": [{"role": "operator"}]})
    assert made.status_code == 201
    return root


async def try_it(world: World, name: str, password: str = "wrong", address: str = "192.0.2.7") -> httpx2.Response:
    transport = httpx2.ASGITransport(app=world.app, client=(address, 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://orchestra.test") as client:
        return await client.post("/api/v1/sign-in", json={"name": name, "password": password})


def test_the_wait_begins_at_the_bound_doubles_and_has_an_end() -> None:
    waits = [wait_seconds([START] * count, ACCOUNT_FAILURES_MAX, START) for count in range(16)]

    assert waits == [0.0] * 5 + [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0, 300.0]
    assert max(waits) == SIGN_IN_DELAY_SECONDS_MAX


@pytest.mark.parametrize("name", ["ana", "nobody"])
async def test_after_five_failures_each_next_try_has_to_wait_whoever_it_is(world: World, name: str) -> None:
    await given_ana(world)

    for _ in range(ACCOUNT_FAILURES_MAX):
        assert (await try_it(world, name)).status_code == 401
    refused = await try_it(world, name)
    world.clock.advance(2.0)
    again = await try_it(world, name)
    refused_longer = await try_it(world, name)

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert refused.json()["detail"] == "too many sign-ins failed: try again in 2 s"
    assert again.status_code == 401
    assert (refused_longer.status_code, refused_longer.headers["retry-after"]) == (429, "4")


async def test_the_right_password_signs_in_after_the_wait_and_clears_the_name(world: World) -> None:
    await given_ana(world)
    for _ in range(ACCOUNT_FAILURES_MAX):
        await try_it(world, "ana")

    early = await try_it(world, "ana", PASSWORD)
    world.clock.advance(2.0)
    entered = await try_it(world, "ana", PASSWORD)
    wrong_again = await try_it(world, "ana")

    assert [each.status_code for each in (early, entered, wrong_again)] == [429, 200, 401]


async def test_failures_are_forgotten_after_a_quarter_of_an_hour_and_tidied_away(world: World) -> None:
    await given_ana(world)
    for _ in range(ACCOUNT_FAILURES_MAX):
        await try_it(world, "ana")

    world.clock.advance(SIGN_IN_FAILURE_SECONDS)
    answer = await try_it(world, "ana")
    await world.database.write(lambda connection: forget_old_failures(connection, now=after(world.clock.now(), 1.0)))

    assert answer.status_code == 401
    assert await world.database.read(lambda c: c.execute(select(func.count(sign_in_failures.c.id))).scalar_one()) == 2


async def test_many_names_from_one_address_have_to_wait_and_another_address_does_not(world: World) -> None:
    await given_ana(world)

    for number in range(ADDRESS_FAILURES_MAX):
        assert (await try_it(world, f"somebody-{number}")).status_code == 401
    refused = await try_it(world, "ana", PASSWORD)
    elsewhere = await try_it(world, "ana", PASSWORD, address="192.0.2.8")

    assert (refused.status_code, elsewhere.status_code) == (429, 200)


async def test_neighbours_in_one_ipv6_network_are_one_address(world: World) -> None:
    await given_ana(world)

    for number in range(ADDRESS_FAILURES_MAX):
        await try_it(world, f"somebody-{number}", address=f"2001:db8:0:7::{number:x}")
    refused = await try_it(world, "ana", PASSWORD, address="2001:db8:0:7:ffff::1")
    elsewhere = await try_it(world, "ana", PASSWORD, address="2001:db8:0:8::1")

    assert (refused.status_code, elsewhere.status_code) == (429, 200)


async def test_one_known_password_does_not_buy_free_guesses_from_the_address(world: World) -> None:
    await given_ana(world)
    for number in range(ADDRESS_FAILURES_MAX - 1):
        await try_it(world, f"somebody-{number}")

    own = await try_it(world, "ana", PASSWORD)
    last = await try_it(world, "root")
    refused = await try_it(world, "root")

    assert [each.status_code for each in (own, last, refused)] == [200, 401, 429]


async def test_many_guesses_at_the_same_moment_are_not_as_many_free_ones(world: World) -> None:
    await given_ana(world)

    answers = await asyncio.gather(*(try_it(world, "ana") for _ in range(20)))

    assert sorted(each.status_code for each in answers) == [401] * ACCOUNT_FAILURES_MAX + [429] * 15


async def test_a_restart_forgives_nothing(world: World) -> None:
    await given_ana(world)
    for _ in range(ACCOUNT_FAILURES_MAX):
        await try_it(world, "ana")

    assert (await try_it(World(world.database), "ana", PASSWORD)).status_code == 429


async def test_guessing_the_old_password_with_a_stolen_session_is_as_slow(small_world: World) -> None:
    await given_ana(small_world)
    thief = small_world.client(None, **OWN)
    await thief.post("/api/v1/sign-in", json={"name": "ana", "password": PASSWORD})
    change = {"password": "another long enough one", "old_password": "guess"}

    answers = [await thief.patch("/api/v1/users/ana", json=change) for _ in range(ACCOUNT_FAILURES_MAX + 1)]

    assert [each.status_code for each in answers] == [422] * ACCOUNT_FAILURES_MAX + [429]


async def test_the_page_says_how_long_to_wait_and_keeps_the_name(small_world: World) -> None:
    await given_ana(small_world)
    client = small_world.client()
    for _ in range(ACCOUNT_FAILURES_MAX):
        await client.post("/sign-in", data={"name": "ana", "password": "wrong"}, headers=OWN)

    page = await client.post("/sign-in", data={"name": "ana", "password": PASSWORD}, headers=OWN)

    assert (page.status_code, page.headers["retry-after"]) == (429, "2")
    assert "Too many sign-ins failed: try again in 2 s." in page.text
    assert 'value="ana"' in page.text
    assert PASSWORD not in page.text


async def test_what_was_typed_as_a_name_is_kept_nowhere(small_world: World) -> None:
    typed = "my password \0 in the wrong field"

    answer = await try_it(small_world, typed)

    rows = await small_world.database.read(lambda c: c.execute(select(sign_in_failures)).all())
    assert answer.status_code == 401
    assert "password" not in repr(rows)


async def test_a_password_is_hashed_anew_when_the_rounds_have_changed(small_world: World) -> None:
    await given_ana(small_world)
    fewer = str(pbkdf2_sha256.using(rounds=5).hash(PASSWORD))
    await small_world.database.write(lambda c: c.execute(users.update().values(password_hash=fewer)))

    entered = await try_it(small_world, "ana", PASSWORD)
    again = await try_it(small_world, "ana", PASSWORD)

    stored = await small_world.database.read(
        lambda c: c.execute(select(users.c.password_hash).where(users.c.name == "ana")).scalar_one()
    )
    assert (entered.status_code, again.status_code) == (200, 200)
    assert stored.startswith("$pbkdf2-sha256$10$")


async def test_a_try_that_found_no_place_in_the_queue_is_no_failure(small_world: World) -> None:
    await given_ana(small_world)
    full = Passwords(rounds=10, waiting_max=0)
    sign_in = SignIn(
        database=small_world.database, clock=small_world.clock, passwords=full, random_bytes=small_world.randomness
    )

    refused = []
    for _ in range(ACCOUNT_FAILURES_MAX + 3):
        with pytest.raises(Overloaded) as caught:
            await sign_in.by_password("ana", PASSWORD, Origin(address="192.0.2.7"))
        refused.append(type(caught.value))
    full.close()

    assert refused == [Overloaded] * (ACCOUNT_FAILURES_MAX + 3)
