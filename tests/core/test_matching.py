"""Which workers can run a job, and which requirement excludes the others, in words."""

import msgspec
import pytest

from orchestra.definition.reader import read_definition
from orchestra.matching import describe, describe_wishes, exclusion, favour, properties_of, quantity, signature_of
from orchestra.specification import Matching, PropertyValue

LINUX: dict[str, PropertyValue] = {"os": "linux", "gpu": "2", "memory": 33_500_000_000, "fast": True}


def matching(worker: str, slots: int = 1) -> Matching:
    """What a file asks for."""
    text = f"orchestra: 1\nproject: p\njobs:\n  a: {{ run: x, slots: {slots}, worker: {{ {worker} }} }}\n"
    return read_definition(text, "p.yaml").jobs[0].specification.matching


@pytest.mark.parametrize(
    "worker",
    [
        "os: linux",
        "os: [windows, linux]",
        "gpu: 2",
        "gpu: '2'",
        'gpu: ">= 1"',
        'gpu: "< 3"',
        'memory: ">= 32GB"',
        'memory: "<= 32GiB"',
        "os: { not: windows }",
        "pool: { not: [quarantine, old] }",
        "fast: true",
        'fast: "true"',
        "prefer: { cache: warm }",
    ],
)
def test_a_worker_that_has_what_is_asked_is_not_excluded(worker: str) -> None:
    assert exclusion(matching(worker), LINUX) is None


@pytest.mark.parametrize(
    ("worker", "words"),
    [
        ("os: windows", "`os` is linux, needs windows"),
        ("os: [windows, macos]", "`os` is linux, needs windows or macos"),
        ("os: { not: linux }", "`os` is linux, must not be"),
        ("pool: gold", "`pool` is not set, needs gold"),
        ('gpu: ">= 3"', "`gpu` is 2, needs >= 3"),
        ('gpu: "> 2"', "`gpu` is 2, needs > 2"),
        ('cpus: ">= 3"', "`cpus` is not set, needs >= 3"),
        ('os: ">= 3"', "`os` is linux, which is no number, needs >= 3"),
        ('memory: ">= 64GB"', "`memory` is 33500000000, needs >= 64GB"),
        ("fast: false", "`fast` is true, needs false"),
    ],
)
def test_the_first_requirement_that_is_not_met_is_said(worker: str, words: str) -> None:
    assert exclusion(matching(worker), LINUX) == words


def test_the_name_of_a_worker_is_a_property_whatever_it_says_of_itself() -> None:
    assert properties_of("atlas", {"os": "linux"}) == {"os": "linux", "name": "atlas"}
    assert exclusion(matching("name: atlas"), properties_of("wing", {"name": "atlas"})) == "`name` is wing, needs atlas"


def test_a_worker_with_too_few_slots_can_never_run_the_job() -> None:
    assert exclusion(matching("os: linux", slots=4), LINUX, slots=1) == "it has 1 slot, the job needs 4"
    assert exclusion(matching("os: linux", slots=4), LINUX, slots=4) is None


@pytest.mark.parametrize(
    ("worker", "welcome"),
    [
        ("os: linux", 0),
        ('prefer: { cache: warm, gpu: ">= 1", os: [linux, bsd] }', 2),
        ("prefer: { os: { value: linux, weight: 5 }, gpu: 2 }", 6),
        ('prefer: { gpu: { value: ">= 1", weight: 3 }, os: { value: [bsd, linux], weight: 4 } }', 7),
        ("prefer: { os: { not: windows, weight: 9 }, pool: { not: [old, slow] } }", 10),
        ("avoid: { pool: spot }", 0),
        ("avoid: { os: linux }", -1),
        ("avoid: { os: { value: linux, weight: 4 }, cache: { not: warm } }", -5),
        ("prefer: { fast: { value: true, weight: 3 } }, avoid: { os: { value: linux, weight: 5 } }", -2),
    ],
)
def test_wishes_weigh_for_and_against_a_worker_and_exclude_nobody(worker: str, welcome: int) -> None:
    wishes = matching(worker)

    assert favour(wishes, LINUX) == welcome
    assert exclusion(wishes, LINUX) is None


def test_the_signature_is_that_of_what_is_asked_and_not_of_its_order() -> None:
    assert signature_of(matching("os: linux, gpu: 1")) == signature_of(matching("gpu: 1, os: linux"))
    assert len({signature_of(matching(each)) for each in ("os: a", "os: [a, b]", "os: { not: a }", "")}) == 4
    assert signature_of(matching("os: a")) != signature_of(matching("os: a", slots=2))
    placed = ("avoid: { os: a }", "prefer: { os: a }", "placement: pack", "sticky: true", "os: a", "")
    assert len({signature_of(matching(each)) for each in placed}) == len(placed)
    for key in ("prefer", "avoid"):
        two = matching(f"{key}: {{ os: a, gpu: {{ value: 1, weight: 2 }} }}")
        assert signature_of(two) == signature_of(matching(f"{key}: {{ gpu: {{ value: 1, weight: 2 }}, os: a }}"))
        assert signature_of(two) != signature_of(matching(f"{key}: {{ gpu: 1, os: a }}"))


def test_what_was_stored_before_wishes_had_weights_has_the_signature_that_it_had() -> None:
    stored = b'{"requirements":[{"name":"os","operator":"in","values":["linux"]}],' + (
        b'"prefer":[{"name":"disk","operator":"in","values":["ssd"]}]}'
    )

    asked = msgspec.json.decode(stored, type=Matching)

    assert asked == matching("os: linux, prefer: { disk: ssd }")
    assert msgspec.json.encode(asked) == stored
    assert signature_of(asked) == "4b0b6fa9e06d100575fad77a01f32c72"


@pytest.mark.parametrize(
    ("worker", "words"),
    [
        ("os: linux, placement: spread, sticky: false", []),
        ("prefer: { disk: ssd, zone: { value: [a, b], weight: 5 } }", ["rather disk: ssd, zone: a or b (weight 5)"]),
        ("avoid: { pool: spot }", ["rather not pool: spot"]),
        (
            "placement: pack, sticky: true",
            ["where the job last succeeded", "packed: the fewest free slots that still fit"],
        ),
    ],
)
def test_wishes_are_said_in_the_order_in_which_they_decide(worker: str, words: list[str]) -> None:
    assert [*describe_wishes(matching(worker))] == words


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (4, 4.0),
        ("4", 4.0),
        ("1.5k", 1500.0),
        ("32GB", 32e9),
        ("32 GiB", 32 * 2**30),
        ("7B", 7.0),
        ("2T", 2e12),
        (True, None),
        ("linux", None),
        ("", None),
        ("3.11.2", None),
    ],
)
def test_a_quantity_is_a_number_or_a_size(value: PropertyValue, number: float | None) -> None:
    assert quantity(value) == number


def test_a_requirement_is_said_as_people_say_it() -> None:
    asked = matching('os: [linux, bsd], gpu: ">= 1", pool: { not: old }')

    assert [describe(each) for each in asked.requirements] == ["os: linux or bsd", "gpu >= 1", "pool: not old"]
