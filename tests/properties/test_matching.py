"""Whether a worker has what is asked, against a model that looks at one pair after the other; the words always agree
with the decision."""

import contextlib
import math
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.definition.canonical import decode_definition, encode_definition
from orchestra.definition.problems import DefinitionErrors
from orchestra.definition.reader import read_definition
from orchestra.matching import describe, exclusion, favour, is_fulfilled, quantity, signature_of
from orchestra.specification import Matching, Operator, PropertyValue, Requirement, Wish
from tests.properties.effort import effort
from tests.properties.fleets import (
    exact,
    matchings,
    meets,
    properties,
    property_values,
    requirements,
    sizes,
    words,
    written,
)

Asked = tuple[str, str, tuple[str, ...], int]


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
