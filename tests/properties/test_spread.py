"""`H`: a number that a job's name chooses, the same one for ever, and another one for another name."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.cron.expression import HASHED_DAY_MAX, parse_cron
from tests.properties.effort import effort

NAMES = 6000
names = st.text(min_size=1, max_size=40)


def numbers(expression: str, name: str) -> list[str]:
    """The fields that are left of it."""
    return parse_cron(expression, name).text.split(" ")


@pytest.mark.parametrize(
    ("expression", "name", "text"),
    # A release that chose other numbers would move every such job, and run some of them twice that day.
    [
        ("H H * * *", "ops/nightly", "0 39 18 * * *"),
        ("H H * * *", "ops/backup", "0 23 23 * * *"),
        ("H/15 * * * *", "ops/nightly", "0 9-59/15 * * * *"),
        ("H H H * H", "web/deploy", "0 3 12 26 * 3"),
    ],
)
def test_a_name_has_the_numbers_that_it_always_had(expression: str, name: str, text: str) -> None:
    assert parse_cron(expression, name).text == text


@effort(200)
@given(names)
def test_every_name_has_one_number_in_each_field(name: str) -> None:
    second, minute, hour, day, month, weekday = map(int, numbers("H H H H H H", name))

    assert numbers("H H H H H H", name) == numbers("H H H H H H", name)
    assert second in range(60)
    assert minute in range(60)
    assert hour in range(24)
    assert 1 <= day <= HASHED_DAY_MAX
    assert 1 <= month <= 12
    assert weekday in range(7)


@effort(200)
@given(names, st.integers(0, 59), st.integers(0, 59), st.integers(1, 60))
def test_a_range_keeps_the_number_inside_and_a_step_begins_within_its_first(
    name: str, one: int, other: int, step: int
) -> None:
    low, high = sorted((one, other))
    step = min(step, high - low + 1)

    alone = int(numbers(f"H({low}-{high}) * * * *", name)[1])
    first = int(numbers(f"H({low}-{high})/{step} * * * *", name)[1].split("-")[0])

    assert low <= alone <= high
    assert low <= first < low + step


@pytest.mark.parametrize(("field", "expression", "most"), [(1, "H 2 * * *", 60), (2, "0 H * * *", 24)])
def test_many_names_are_spread_over_all_numbers(field: int, expression: str, most: int) -> None:
    counts = Counter(int(numbers(expression, f"team-{number % 40}/job-{number}")[field]) for number in range(NAMES))

    # By the usual measure: beyond 1.8 times what is expected of chance, one in a million times.
    expected = NAMES / most
    assert len(counts) == most
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 1.8 * (most - 1) + 10


def test_the_fields_of_a_name_do_not_follow_each_other() -> None:
    together = Counter(tuple(numbers("H H * * *", f"ops/job-{number}")[1:3]) for number in range(NAMES))

    assert len(together) > 0.95 * 60 * 24 * (1 - 0.0155)
    assert max(together.values()) < 20
