"""What the page of pipelines says of elements and of the whole is what the code does."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestra.definition.reader import read_definition
from orchestra.elements import Element
from orchestra.pipeline.states import ElementState, counted_as, is_allowed, state_of_pipeline
from tests.core.pipeline.played import Played

PAGE = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text()


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the table that begins with this, its head included."""
    table = PAGE[PAGE.index(heading) :].split("\n\n")[0]
    for number, line in enumerate(table.split("\n")):
        if number != 1:
            yield [cell.strip() for cell in line.split("|")[1:-1]]


def second(keys: str) -> Element:
    """The second of two elements, with these keys."""
    elements = f"{{ first: {{ job: job, if: 1 > 0 }}, second: {{ job: job, {keys} }} }}"
    text = f"orchestra: 1\nproject: x\njobs:\n  job: {{ run: x }}\n  p: {{ elements: {elements} }}\n"
    pipeline = read_definition(text, "page").jobs[-1].specification.pipeline
    assert pipeline is not None
    return pipeline.elements[1]


def test_the_example_is_a_definition() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    assert read_definition(block, "docs/pipelines.md").jobs[-1].specification.pipeline is not None


RULES = list(rows("| asked for |"))


@pytest.mark.parametrize(
    ("asked", "end", "outcome"),
    [(row[0], end, cell) for row in RULES[1:] for end, cell in zip(RULES[0][1:], row[1:], strict=True)],
)
def test_an_element_begins_after_the_ends_of_the_table(asked: str, end: str, outcome: str) -> None:
    first = Element(name="first", job="job", condition="1 > 2" if end == "skipped" else "")
    played = Played(first, second(f"after: {{ first: {asked.strip('`')} }}"))
    if end != "skipped":
        played.end("first", end)

    assert played.states["second"] == {"begins": "running", "skipped": "skipped"}[outcome]


ALLOWED = list(rows("| `allow-failure` | failed"))


@pytest.mark.parametrize("row", ALLOWED[1:], ids=lambda row: row[0])
def test_an_allowed_failure_counts_as_the_table_says(row: list[str]) -> None:
    said = row[0].strip("`")
    element = second("after: first" if said == "not said" else f"allow-failure: {said}")
    for end, counted in zip(ALLOWED[0][1:], row[1:], strict=True):
        word, _, code = end.partition(", exit ")
        state = ElementState(word)

        found = counted_as(state, is_allowed=is_allowed(element, state, int(code) if code else None))

        assert found == counted, end


@pytest.mark.parametrize(("among", "outcome"), list(rows("| among what"))[1:])
def test_the_whole_comes_to_what_the_table_says(among: str, outcome: str) -> None:
    states = [ElementState(word) for word in among.split(", ")]

    assert state_of_pipeline(states, was_stopped=False) == outcome
    assert state_of_pipeline(states, was_stopped=True) == "aborted"
