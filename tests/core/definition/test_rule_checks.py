"""Rules that can never hold are found, and none is refused that could: judged by trying every end of every element."""

from graphlib import CycleError, TopologicalSorter
from itertools import pairwise, product

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestra.definition.rule_checks import impossible_rules
from orchestra.definition.surroundings import Surroundings
from orchestra.elements import Approval, Element, Pipeline, Rule
from orchestra.pipeline.graph import Graph, circle_in
from orchestra.pipeline.states import OPEN_STATES, ElementState, counted_as, holds, is_allowed

NAMES = ("a", "b", "c", "d")
ENDS = tuple(sorted(frozenset(ElementState) - OPEN_STATES))
RULES = st.lists(st.sampled_from(tuple(Rule)), min_size=1, max_size=3, unique=True).map(tuple)
NOT_OF_AN_APPROVAL = (ElementState.ABORTED, ElementState.EXCEPTION)


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """Four elements, each after some of those before it."""
    elements = []
    for index, name in enumerate(NAMES):
        befores = draw(st.lists(st.sampled_from(NAMES[:index]), unique=True)) if index else []
        kind = draw(st.sampled_from(("job", "allowed", "approval")))
        elements.append(
            Element(
                name=name,
                job="" if kind == "approval" else "x",
                after={before: draw(RULES) for before in befores},
                allow_failure=kind == "allowed",
                approval=Approval() if kind == "approval" else None,
            )
        )
    return Pipeline(elements=tuple(elements))


def may_begin(pipeline: Pipeline) -> set[str]:
    """The elements of which the rules hold in at least one of all possible courses."""
    found: set[str] = set()
    for ends in product(ENDS, repeat=len(pipeline.elements)):
        counted: dict[str, ElementState] = {}
        begun: set[str] = set()
        for element, end in zip(pipeline.elements, ends, strict=True):
            has_begun = all(holds(rules, counted[name]) for name, rules in element.after.items())
            if has_begun and element.approval is not None and end in NOT_OF_AN_APPROVAL:
                break
            if not has_begun and end not in (ElementState.SKIPPED, ElementState.CANCELLED):
                break
            counted[element.name] = counted_as(end, is_allowed=is_allowed(element, end, None))
            if has_begun:
                begun.add(element.name)
        else:
            found |= begun
    return found


def around(pipeline: Pipeline) -> Surroundings:
    """The pipeline alone."""
    return Surroundings(project="shop", jobs={}, parameters=(), pipeline=pipeline)


@settings(max_examples=60, deadline=None)
@given(pipeline=pipelines())
def test_an_element_is_refused_only_if_it_could_never_begin(pipeline: Pipeline) -> None:
    refused = {name for name, _, _ in impossible_rules(around(pipeline))}

    assert not refused & may_begin(pipeline)


@settings(max_examples=60, deadline=None)
@given(pipeline=pipelines())
def test_if_none_is_refused_every_element_can_begin_in_some_course(pipeline: Pipeline) -> None:
    refused = {name for name, _, _ in impossible_rules(around(pipeline))}

    assert refused or may_begin(pipeline) == set(NAMES)


EDGES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=14, unique=True)


@settings(max_examples=200, deadline=None)
@given(edges=EDGES)
def test_a_circle_is_found_exactly_if_there_is_one(edges: list[tuple[int, int]]) -> None:
    after = {str(number): {str(to): () for of, to in edges if of == number} for number in range(8)}
    elements = tuple(Element(name=name, job="x", after=dict.fromkeys(befores, ())) for name, befores in after.items())

    circle = circle_in(elements)

    try:
        TopologicalSorter(after).prepare()
    except CycleError:
        assert circle[0] == circle[-1]
        assert all(following in after[name] for name, following in pairwise(circle))
    else:
        assert circle == []


@settings(max_examples=200, deadline=None)
@given(edges=EDGES, closing=st.sets(st.integers(0, 7)))
def test_what_is_before_an_element_is_what_it_can_be_reached_from(
    edges: list[tuple[int, int]], closing: set[int]
) -> None:
    allowed = [(of, to) for of, to in edges if to < of and (of in closing) == (to in closing)]
    made = {
        number: Element(name=f"e{number}", job="x", after={f"e{to}": () for of, to in allowed if of == number})
        for number in range(8)
    }
    pipeline = Pipeline(
        elements=tuple(each for number, each in made.items() if number not in closing),
        closing=tuple(each for number, each in made.items() if number in closing),
    )

    found = around(pipeline)

    graph = Graph(pipeline)
    for one, other in product(made.values(), repeat=2):
        is_after = other.name != one.name and other.name in graph.descendants(one.name)
        if one.name not in graph.closing:
            assert found.is_before(one.name, other) == is_after
