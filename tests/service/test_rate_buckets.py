"""Buckets and settings of the limits, by themselves: exact sums, bounded memory, and what counts as what."""

import click
import pytest

from orchestra.identifiers import TokenId, UserId
from orchestra.limits import BUCKETS_MAX, PER_MINUTE_MAX
from orchestra.policy import Permission, Principal, Scope
from orchestra.web.errors import TooManyRequests
from orchestra.web.rate_limits import Buckets, Kind, RateLimits, Visit, kind_of
from orchestra.web.rate_settings import RateSettings, read_limits
from orchestra_service.policy import POLICY as SERVICE_POLICY
from orchestra_website.policy import POLICY as WEBSITE_POLICY
from tests.service.given import HandClock

EVERYWHERE = {Permission.RUN: Scope(everywhere=True)}


def principal(token: int) -> Principal:
    return Principal(user_id=UserId(1), name="bench", scopes=EVERYWHERE, token_id=TokenId(token))


def trigger() -> Visit:
    return Visit(kind=Kind.TRIGGER, address="127.0.0.1")


def test_unasked_a_benchmark_on_loopback_is_never_stopped() -> None:
    limits = RateLimits(settings=RateSettings(), clock=HandClock())

    for number in range(5_000):
        limits.count(trigger(), principal(number % 16))
        limits.count(Visit(kind=Kind.READ, address="127.0.0.1"), principal(1))


@pytest.mark.parametrize("quota", [1, 7, 60, 999, 100_000])
def test_a_bucket_holds_exactly_its_quota(quota: int) -> None:
    clock = HandClock()
    buckets = Buckets(name="reads", quota=quota, clock=clock)
    clock.advance(12_345.678)

    charges = [buckets.take("token 1") for _ in range(quota)]

    assert [charges[0].left, charges[-1].left] == [quota - 1, 0]
    assert not any(charge.wait_seconds for charge in charges)
    assert buckets.take("token 1").wait_seconds == max(1, -(-60 // quota))
    assert buckets.wait_seconds("token 2") == 0


def test_what_is_refused_takes_nothing_however_often_it_comes() -> None:
    clock = HandClock()
    limits = RateLimits(settings=RateSettings(writes=60), clock=clock)
    for _ in range(60):
        limits.count(trigger(), principal(1))

    for _ in range(1_000):
        with pytest.raises(TooManyRequests):
            limits.count(trigger(), principal(1))
    clock.advance(1.0)

    limits.count(trigger(), principal(1))


def test_the_memory_of_buckets_is_bounded_and_keeps_those_who_took_most() -> None:
    clock = HandClock()
    buckets = Buckets(name="reads", quota=60, clock=clock)
    for _ in range(60):
        buckets.take("flood")

    for number in range(3 * BUCKETS_MAX):
        buckets.take(f"address {number}")

    assert len(buckets) <= BUCKETS_MAX
    assert buckets.take("flood").wait_seconds == 1


def test_buckets_that_are_full_again_are_forgotten() -> None:
    clock = HandClock()
    buckets = Buckets(name="reads", quota=60, clock=clock)
    for number in range(BUCKETS_MAX):
        buckets.take(f"address {number}")
    clock.advance(1.0)

    buckets.take("another")

    assert len(buckets) == 1


def test_these_routes_make_runs_and_these_are_free() -> None:
    rows = {**SERVICE_POLICY, **WEBSITE_POLICY}
    kinds = {row: kind_of(row[0], row[1], need) for row, need in rows.items()}

    assert {path for (_, path), kind in kinds.items() if kind is Kind.TRIGGER} == {
        "/api/v1/projects/{project}/jobs/{job}/runs",
        "/api/v1/projects/{project}/jobs/{job}/wraps",
        "/api/v1/runs/{run}/retry",
        "/projects/{project}/jobs/{job}/trigger",
        "/runs/{run}/retry",
    }
    assert {path for (_, path), kind in kinds.items() if kind is Kind.FREE} == {
        "/api/v1/health/live",
        "/api/v1/health/ready",
        "/static/{digest}/{name}",
    }
    assert {kind for (method, _), kind in kinds.items() if method != "GET"} == {Kind.WRITE, Kind.TRIGGER}


def read(*given: str) -> RateSettings:
    return read_limits(click.Context(click.Command("up")), click.Option(["--limit"]), given)


def test_limits_are_chosen_by_name() -> None:
    assert read() == RateSettings()
    assert read("reads=600", "all-streams=5", "guesses=off", "reads=700") == RateSettings(
        reads=700, all_streams=5, guesses=None
    )


@pytest.mark.parametrize("given", ["reads", "reads=", "reads=0", "reads=-1", "reads=x", f"reads={PER_MINUTE_MAX + 1}"])
def test_a_limit_that_is_no_number_is_refused(given: str) -> None:
    with pytest.raises(click.BadParameter, match="write a whole number from 1 to 1000000, or off"):
        read(given)


def test_a_limit_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(click.BadParameter, match="'logins=3' is none of reads=NUMBER, writes=NUMBER, triggers=NUMBER"):
        read("logins=3")
