"""What a run demands by its job's policies, and its place among the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.clock import Instant
from orchestra.demands import (
    Demand,
    ResourceKind,
    demands_of,
    filled_in,
    is_demanding,
    project_of,
    rank_of,
    signature_for,
    signature_of_job,
)
from orchestra.elements import Pipeline
from orchestra.formatter import UnknownValue
from orchestra.identifiers import ProjectId
from orchestra.limits import POINT_OF_PRIORITY_SECONDS, RESOURCE_CHARACTERS_MAX
from orchestra.matching import PIPELINE
from orchestra.policies import Concurrency, LockDemand, Policies, Rate, Uniqueness
from orchestra.specification import Execution, JobSpecification, Matching

OPS, SHOP = ProjectId(1), ProjectId(22)


def demanded(policies: Policies, **parameters: str) -> tuple[Demand, ...]:
    return demands_of(policies, project="ops", job="deploy", parameters=parameters)


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        (Policies(), ()),
        (Policies(unique=Uniqueness(key="x")), ()),
        (Policies(concurrency=Concurrency()), (Demand(resource="group ops/deploy"),)),
        (
            Policies(concurrency=Concurrency(group="to-{parameters.env}", limit=3)),
            (Demand(resource="group ops/to-north", most=3),),
        ),
        (
            Policies(locks=(LockDemand(name="license", count=2), LockDemand(name="{parameters.env}"))),
            (Demand(resource="lock license", amount=2), Demand(resource="lock north")),
        ),
        (
            Policies(locks=(LockDemand(name="north"), LockDemand(name="{parameters.env}", count=2))),
            (Demand(resource="lock north", amount=3),),
        ),
        (
            Policies(rate=Rate(starts=5, per_seconds=60.0)),
            (Demand(resource="rate ops/deploy", most=5, window_seconds=60.0),),
        ),
        (
            Policies(rate=Rate(starts=1, per_seconds=1.0), locks=(LockDemand(name="b"),), concurrency=Concurrency()),
            (
                Demand(resource="group ops/deploy"),
                Demand(resource="lock b"),
                Demand(resource="rate ops/deploy", window_seconds=1.0),
            ),
        ),
    ],
)
def test_what_policies_come_to(policies: Policies, expected: tuple[Demand, ...]) -> None:
    assert demanded(policies, env="north") == expected
    assert policies.are_demanding == bool(expected)


def test_a_demand_knows_what_limits_it() -> None:
    demand = Demand(resource="lock with spaces in it")

    assert (demand.kind, demand.name) == (ResourceKind.LOCK, "with spaces in it")


def test_a_template_that_the_parameters_do_not_fill_in_is_refused() -> None:
    with pytest.raises(UnknownValue, match=r"parameters\.env"):
        demanded(Policies(concurrency=Concurrency(group="{parameters.env}")))


@given(st.text(max_size=400), st.text(max_size=400))
def test_a_name_is_one_short_line_and_different_for_different_values(one: str, other: str) -> None:
    names = [
        filled_in("{parameters.text}", {"text": text.replace("\0", "").replace("\ud800", "")}) for text in (one, other)
    ]

    assert all(len(name) <= RESOURCE_CHARACTERS_MAX and name.isprintable() for name in names)
    assert (names[0] == names[1]) == (one.replace("\0", "") == other.replace("\0", ""))


def test_a_signature_says_whose_it_is_and_whether_it_demands_anything() -> None:
    plain, demanding = signature_for(SHOP, Matching()), signature_for(SHOP, Matching(), [Demand(resource="lock a")])

    assert (project_of(plain), project_of(demanding)) == (SHOP, SHOP)
    assert (is_demanding(plain), is_demanding(demanding)) == (False, True)
    several = [
        plain,
        demanding,
        signature_for(OPS, Matching()),
        signature_for(SHOP, Matching(slots=2)),
        signature_for(SHOP, Matching(), [Demand(resource="lock a", amount=2)]),
        signature_for(SHOP, Matching(), [Demand(resource="lock b")]),
    ]
    assert len(set(several)) == len(several)


def test_no_worker_is_to_have_a_pipeline() -> None:
    execution = Execution(steps=())

    assert signature_of_job(OPS, JobSpecification(execution=execution, pipeline=Pipeline(elements=()))) == PIPELINE
    assert signature_of_job(OPS, JobSpecification(execution=execution)) == signature_for(OPS, Matching())


@given(st.integers(0, 10**6), st.integers(-100, 100), st.integers(0, 10**6), st.integers(-100, 100))
def test_the_order_is_that_of_the_waiting_with_priority_counted_as_waiting(
    one: int, urgent: int, other: int, usual: int
) -> None:
    def aged(ready: int, priority: int, now: int) -> int:
        return (now - ready) + priority * POINT_OF_PRIORITY_SECONDS

    ranks = [rank_of(Instant(ready * 1_000_000), priority) for ready, priority in ((one, urgent), (other, usual))]

    for now in (10**6, 10**7):
        assert (ranks[0] < ranks[1]) == (aged(one, urgent, now) > aged(other, usual, now))
