"""Which worker gets a run, against a model that looks at one pair after the other; the words always agree with the
decision."""

import contextlib
import math
import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from itertools import islice, permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.definition.canonical import decode_definition, encode_definition
from orchestra.definition.problems import DefinitionErrors
from orchestra.definition.reader import read_definition
from orchestra.identifiers import WorkerId, WorkerName
from orchestra.matching import RunHistory, describe, exclusion, favour, is_fulfilled, quantity, signature_of
from orchestra.specification import Matching, Operator, Placement, PropertyValue, Requirement, Wish
from orchestra_master.selection import Candidate, SpreadingSelector, able
from tests.properties.effort import effort

ORDERINGS = (Operator.AT_LEAST, Operator.AT_MOST, Operator.ABOVE, Operator.BELOW)
UNITS = {"": 1, "B": 1, "k": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "T": 10**12}
Asked = tuple[str, str, tuple[str, ...], int]
NAMES = ("os", "gpu", "memory", "fast")

numbers = st.one_of(st.integers(-3, 3), st.integers(-(2**53), 2**53), st.sampled_from((0.5, 2.0, -1.25, 1e300)))
sizes = st.builds(
    lambda number, gap, unit: f"{number}{gap}{unit}",
    st.sampled_from(("0", "1", "2", "1.5", "+2", "-1", "007", "9" * 30)),
    st.sampled_from(("", " ")),
    st.sampled_from(sorted(UNITS)),
)
words = st.sampled_from(("linux", "windows", "true", "false", "1", "2", "2.0", "", " 2", "3.11.2", "1 kg", "٣", "1e3"))
property_values: st.SearchStrategy[PropertyValue] = st.one_of(words, sizes, numbers, st.booleans(), st.text(max_size=4))
properties = st.dictionaries(st.sampled_from(NAMES), property_values)
requirements = st.one_of(
    st.builds(
        Requirement,
        name=st.sampled_from(NAMES),
        operator=st.sampled_from((Operator.IN, Operator.NOT_IN)),
        values=st.lists(property_values, min_size=1, max_size=3).map(tuple),
    ),
    st.builds(
        Requirement,
        name=st.sampled_from(NAMES),
        operator=st.sampled_from(ORDERINGS),
        values=st.tuples(st.one_of(sizes, numbers, words)),
    ),
)
wishes = st.builds(
    lambda asked, weight: Wish(name=asked.name, operator=asked.operator, values=asked.values, weight=weight),
    requirements,
    st.integers(1, 3),
)


def asking(requirements_most: int, slots_most: int) -> st.SearchStrategy[Matching]:
    """Everything that a job may ask of a worker, with so much of it."""
    return st.builds(
        Matching,
        requirements=st.lists(requirements, max_size=requirements_most).map(tuple),
        prefer=st.lists(wishes, max_size=3).map(tuple),
        avoid=st.lists(wishes, max_size=2).map(tuple),
        placement=st.sampled_from(Placement),
        sticky=st.booleans(),
        slots=st.integers(1, slots_most),
    )


matchings = asking(3, 4)
modest_matchings = asking(1, 2)
"""So that mostly some worker can run it."""
candidate_lists = st.lists(
    st.builds(
        Candidate,
        worker=st.integers(1, 9).map(WorkerId),
        name=st.text(alphabet="abc", min_size=1, max_size=3).map(WorkerName),
        properties=properties,
        slots=st.integers(1, 4),
        free_slots=st.integers(0, 4),
    ),
    max_size=6,
    unique_by=(lambda each: each.name, lambda each: each.worker),
)
histories = st.builds(
    RunHistory,
    warm=st.none() | st.integers(1, 9).map(WorkerId),
    failed=st.frozensets(st.integers(1, 9).map(WorkerId), max_size=4),
)


# --- the model: values are written texts, and numbers are exact ---


def written(value: PropertyValue) -> str:
    """As a person writes it into a file."""
    if isinstance(value, bool):
        return str(value).lower()
    whole = isinstance(value, float) and value == int(value)
    return str(int(value)) if whole else str(value)


def exact(value: PropertyValue) -> Fraction | None:
    """The number that it stands for."""
    if isinstance(value, bool):
        return None
    if not isinstance(value, str):
        return Fraction(value)
    match = re.fullmatch(r"\s*([+-]?[0-9]+)(?:\.([0-9]+))?(?:\s*([kKMGTP]))?(i)?(B)?\s*", value, re.ASCII)
    spaced_byte = re.fullmatch(r"\s*([+-]?[0-9]+(?:\.[0-9]+)?)\s*B?\s*", value, re.ASCII)
    if spaced_byte:
        return Fraction(spaced_byte[1])
    if match is None or (match[4] and not match[3]):
        return None
    number = Fraction(f"{match[1]}.{match[2] or 0}")
    for _ in range("KMGTP".index(match[3].upper()) + 1):
        number *= 1024 if match[4] else 1000
    return number


def meets(requirement: Requirement, worker: Mapping[str, PropertyValue]) -> bool:
    """One requirement, read aloud."""
    have = worker.get(requirement.name)
    if requirement.operator in ORDERINGS:
        number, bound = None if have is None else exact(have), exact(requirement.values[0])
        if number is None or bound is None:
            return False
        left, right = float(number), float(bound)
        return {
            Operator.AT_LEAST: left >= right,
            Operator.AT_MOST: left <= right,
            Operator.ABOVE: left > right,
            Operator.BELOW: left < right,
        }[requirement.operator]
    is_one_of_them = have is not None and any(written(have) == written(value) for value in requirement.values)
    return is_one_of_them == (requirement.operator is Operator.IN)


# --- the properties ---


@effort(400)
@given(requirements, properties)
def test_a_requirement_is_met_if_the_model_says_so(requirement: Requirement, worker: dict[str, PropertyValue]) -> None:
    assert is_fulfilled(requirement, worker) == meets(requirement, worker)


@effort(200)
@given(property_values)
def test_a_quantity_is_the_number_that_people_mean(value: PropertyValue) -> None:
    number, expected = quantity(value), exact(value)

    assert (number is None) == (expected is None)
    assert number is None or expected is None or math.isclose(number, float(expected), rel_tol=1e-15)


@effort(400)
@given(matchings, properties, st.one_of(st.none(), st.integers(1, 4)))
def test_the_explanation_is_empty_exactly_if_the_worker_can_run_it_and_names_what_is_in_the_way(
    matching: Matching, worker: dict[str, PropertyValue], slots: int | None
) -> None:
    words = exclusion(matching, worker, slots=slots)

    in_the_way = [each for each in matching.requirements if not meets(each, worker)]
    if in_the_way:
        assert words is not None
        first = in_the_way[0]
        have = f"is {written(worker[first.name])}" if first.name in worker else "is not set"
        assert words.startswith(f"`{first.name}` {have}")
        assert words.endswith(needed(first))
    elif slots is not None and matching.slots > slots:
        assert words == f"it has {slots} slot{'s' * (slots != 1)}, the job needs {matching.slots}"
    else:
        assert words is None


def needed(requirement: Requirement) -> str:
    """How an explanation ends."""
    if requirement.operator is Operator.NOT_IN:
        return ", must not be"
    asked = " or ".join(map(written, requirement.values))
    return f", needs {asked}" if requirement.operator is Operator.IN else f", needs {requirement.operator} {asked}"


@effort(200)
@given(matchings, properties)
def test_a_worker_is_as_welcome_as_the_wishes_that_the_model_finds_weigh(
    matching: Matching, worker: dict[str, PropertyValue]
) -> None:
    weighed = [(1, wish) for wish in matching.prefer] + [(-1, wish) for wish in matching.avoid]

    assert favour(matching, worker) == sum(sign * wish.weight for sign, wish in weighed if meets(wish, worker))


@effort(200)
@given(requirements)
def test_a_requirement_is_said_with_everything_that_it_asks(requirement: Requirement) -> None:
    asked = " or ".join(map(written, requirement.values))
    sign = {Operator.IN: ": ", Operator.NOT_IN: ": not "}.get(requirement.operator, f" {requirement.operator} ")

    assert describe(requirement) == f"{requirement.name}{sign}{asked}"


@effort(300)
@given(modest_matchings, candidate_lists, histories)
def test_the_choice_is_the_best_of_those_that_can(
    matching: Matching, candidates: list[Candidate], history: RunHistory
) -> None:
    can = able(matching, candidates)

    assert can == [
        each
        for each in candidates
        if all(meets(one, each.properties) for one in matching.requirements)
        and each.slots >= matching.slots
        and each.free_slots >= matching.slots
    ]
    if can:
        chosen = SpreadingSelector().select(matching, can, history)
        assert any(each is chosen for each in can)
        assert all(rank(matching, history, chosen) <= rank(matching, history, other) for other in can)
        assert all(
            SpreadingSelector().select(matching, order, history) is chosen for order in islice(permutations(can), 24)
        )


def rank(matching: Matching, history: RunHistory, each: Candidate) -> tuple[bool, bool, int, int, str]:
    """Smaller is better: not where it failed, then the warm one, then the heavier wishes, then room, then names."""
    is_cold = not matching.sticky or history.warm is None or each.worker != history.warm
    for_it = sum(wish.weight for wish in matching.prefer if meets(wish, each.properties))
    against_it = sum(wish.weight for wish in matching.avoid if meets(wish, each.properties))
    room = each.free_slots if matching.placement is Placement.PACK else -each.free_slots
    return each.worker in history.failed, is_cold, against_it - for_it, room, each.name


@effort(300)
@given(modest_matchings, candidate_lists, histories)
def test_a_worker_where_it_failed_is_taken_only_if_there_is_no_other(
    matching: Matching, candidates: list[Candidate], history: RunHistory
) -> None:
    can = able(matching, candidates)

    if can:
        chosen = SpreadingSelector().select(matching, can, history)
        assert chosen.worker not in history.failed or all(each.worker in history.failed for each in can)


@effort(100)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.lists(st.integers(1, 2), max_size=8))
def test_what_is_packed_fills_a_worker_before_it_begins_the_next_and_what_is_spread_keeps_the_most_room(
    sizes: list[int], runs: list[int]
) -> None:
    for placement in Placement:
        free = dict(enumerate(sizes))
        for slots in runs:
            matching = Matching(placement=placement, slots=slots)
            fleet = [
                Candidate(
                    worker=WorkerId(number), name=WorkerName(str(number)), properties={}, slots=size,
                    free_slots=free[number],
                )
                for number, size in enumerate(sizes)
            ]  # fmt: skip
            fitting = [free[each.worker] for each in able(matching, fleet)]
            if fitting:
                chosen = SpreadingSelector().select(matching, able(matching, fleet))
                assert free[chosen.worker] == (min if placement is Placement.PACK else max)(fitting)
                free[chosen.worker] -= slots


@effort(300)
@given(matchings, matchings, st.permutations(range(3)))
def test_the_signature_tells_what_is_asked_whatever_its_order(one: Matching, other: Matching, order: list[int]) -> None:
    mixed = msgspec.structs.replace(
        one,
        requirements=tuple(one.requirements[place] for place in order if place < len(one.requirements)),
        prefer=one.prefer[::-1],
        avoid=one.avoid[::-1],
    )

    # Two that only differ in a number's type (1 and "1") keep their order; to the matcher they are the same anyway.
    if all(len(set(map(said_with_name, each))) == len(each) for each in (one.requirements, one.prefer, one.avoid)):
        assert signature_of(mixed) == signature_of(one)
    if signature_of(one) == signature_of(other):
        assert as_asked(one) == as_asked(other)


def said_with_name(requirement: Requirement) -> Asked:
    """What it asks, as it is written."""
    weight = requirement.weight if isinstance(requirement, Wish) else 1
    return requirement.name, requirement.operator, tuple(map(written, requirement.values)), weight


def as_asked(matching: Matching) -> tuple[object, ...]:
    """The same for two that ask the same."""
    return (
        Counter(map(said_with_name, matching.requirements)),
        Counter(map(said_with_name, matching.prefer)),
        Counter(map(said_with_name, matching.avoid)),
        matching.placement,
        matching.sticky,
        matching.slots,
    )


yaml_values = st.one_of(
    st.sampled_from((".inf", "-.inf", ".nan", ".NaN", "1e999", "0x10", "1_000", "~", "''", "2026-01-01", "on", "-0.0")),
    property_values.map(lambda value: msgspec.json.encode(value).decode()),
    st.tuples(st.sampled_from((">= ", "<", "> ", "<=", "= ", "!= ")), st.one_of(sizes, words)).map(
        lambda pair: msgspec.json.encode("".join(pair)).decode()
    ),
)


@effort(300)
@given(yaml_values, yaml_values, st.sampled_from(("{0}", "[{0}, {1}]", "{{ not: {0} }}", "{{ not: [{0}, {1}] }}")))
def test_what_a_file_may_ask_for_is_the_same_after_it_was_stored(one: str, other: str, form: str) -> None:
    asked = form.format(one, other)
    wishes = f"prefer: {{ os: {asked} }}, avoid: {{ os: {{ value: {one}, weight: 2 }} }}"
    text = f"orchestra: 1\nproject: p\njobs:\n  a: {{ run: x, worker: {{ gpu: {asked}, {wishes} }} }}\n"

    with contextlib.suppress(DefinitionErrors):
        definition = read_definition(text, "p.yaml")
        assert decode_definition(encode_definition(definition)) == definition


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan", "[1, .inf]", "{ not: .nan }"])
def test_a_number_that_cannot_be_stored_is_refused(number: str) -> None:
    text = f"orchestra: 1\nproject: p\njobs:\n  a: {{ run: x, worker: {{ gpu: {number} }} }}\n"

    with pytest.raises(DefinitionErrors, match="must be a text, a finite number or a truth value, got"):
        read_definition(text, "p.yaml")
