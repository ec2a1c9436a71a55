"""What a definition says that a run takes of locks is what the worst of its runs demands."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from orchestra.definition.policy_names import COMBINATIONS_MAX, locks_taken
from orchestra.demands import demands_of
from orchestra.policies import LockDemand, Policies
from orchestra.specification import Parameter, ParameterType, PropertyValue

CHOICES = {"x": ("a", "b", "ab"), "y": ("b", "a")}
PARAMETERS = (
    *(Parameter(name=name, type=ParameterType.CHOICE, options=each, required=True) for name, each in CHOICES.items()),
    Parameter(name="z", type=ParameterType.BOOLEAN, default=False),
    Parameter(name="free", default="a"),
)
KNOWN = st.lists(
    st.sampled_from(["a", "b", "{parameters.x}", "{parameters.y}", "{parameters.z}"]), min_size=1, max_size=3
)
DEMANDS = st.lists(st.builds(LockDemand, name=KNOWN.map("".join), count=st.integers(1, 5)), max_size=4)


@given(demands=DEMANDS)
def test_it_is_what_the_worst_run_demands(demands: list[LockDemand]) -> None:
    policies = Policies(locks=tuple(demands))
    worst: dict[str, int] = {}
    choices: list[tuple[PropertyValue, ...]] = [*CHOICES.values(), (False, True)]
    for combination in product(*choices):
        values = {**dict(zip("xyz", combination, strict=True)), "free": "a"}
        for demand in demands_of(policies, project="ops", job="a", parameters=values):
            worst[demand.name] = max(demand.amount, worst.get(demand.name, 0))

    taken = locks_taken(demands, PARAMETERS)

    assert {name: each.count for name, each in taken.items()} == worst
    assert all(each.count == sum(demands[index].count for index in each.places) for each in taken.values())


@given(demands=DEMANDS, free=st.sampled_from(["{parameters.free}", "{parameters.none}", "{", "{run.number}"]))
def test_a_name_that_nobody_knows_beforehand_is_left_out(demands: list[LockDemand], free: str) -> None:
    unknown = LockDemand(name=free, count=9)

    taken = locks_taken([unknown, *demands], PARAMETERS)

    assert {name: each.count for name, each in taken.items()} == {
        name: each.count for name, each in locks_taken(demands, PARAMETERS).items()
    }


def test_of_very_many_combinations_only_some_are_looked_at() -> None:
    options = tuple(f"option-{number}" for number in range(1000))
    many = [Parameter(name=name, type=ParameterType.CHOICE, options=options, required=True) for name in ("x", "y")]

    taken = locks_taken([LockDemand(name="{parameters.x}-{parameters.y}")], many)

    assert len(taken) == COMBINATIONS_MAX
