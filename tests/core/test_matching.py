"""Which workers can run a job, and which requirement excludes the others, in words."""

import pytest

from orchestra.definition.reader import read_definition
from orchestra.matching import describe, exclusion, quantity, signature_of, wishes_fulfilled
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


def test_a_worker_with_too_few_slots_can_never_run_the_job() -> None:
    assert exclusion(matching("os: linux", slots=4), LINUX, slots=1) == "it has 1 slot, the job needs 4"
    assert exclusion(matching("os: linux", slots=4), LINUX, slots=4) is None


def test_wishes_are_counted_and_exclude_nobody() -> None:
    wishes = matching('os: linux, prefer: { cache: warm, gpu: ">= 1", os: [linux, bsd] }')

    assert wishes_fulfilled(wishes, LINUX) == 2
    assert exclusion(wishes, LINUX) is None


def test_the_signature_is_that_of_what_is_asked_and_not_of_its_order() -> None:
    assert signature_of(matching("os: linux, gpu: 1")) == signature_of(matching("gpu: 1, os: linux"))
    assert len({signature_of(matching(each)) for each in ("os: a", "os: [a, b]", "os: { not: a }", "")}) == 4
    assert signature_of(matching("os: a")) != signature_of(matching("os: a", slots=2))


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
