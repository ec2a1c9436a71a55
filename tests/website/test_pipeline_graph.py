"""The drawing of a pipeline: columns, rows without overlap, few crossings, and lines by their rules."""

import re
from collections.abc import Mapping
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestra.elements import Element, Pipeline, Rule
from orchestra.pipeline.states import ElementState
from orchestra.queries.elements import ElementView, elements_of
from orchestra_website.pipeline_graph import NODE_HEIGHT, NODE_WIDTH, NODES_MAX, PipelineGraph, draw_pipeline, rule_of

SUCCEEDED = (Rule.SUCCEEDED,)


def element(name: str, **after: tuple[Rule, ...]) -> Element:
    return Element(name=name, job="work", after=after)


def drawn(*elements: Element, closing: tuple[Element, ...] = ()) -> PipelineGraph:
    graph = draw_pipeline(elements_of(Pipeline(elements=elements, closing=closing)))
    assert graph is not None
    return graph


def corners(graph: PipelineGraph) -> Mapping[str, tuple[float, float]]:
    return {node.element.name: (node.x, node.y) for node in graph.nodes}


def test_an_element_stands_right_of_all_that_it_waits_for() -> None:
    at = corners(drawn(element("a"), element("b", a=SUCCEEDED), element("c", a=SUCCEEDED, b=SUCCEEDED)))

    assert at["a"][0] < at["b"][0] < at["c"][0]


def test_a_chain_is_a_straight_line() -> None:
    graph = drawn(element("a"), element("b", a=SUCCEEDED), element("c", b=SUCCEEDED))

    assert len({y for _, y in corners(graph).values()}) == 1


def test_lines_that_would_cross_are_untangled() -> None:
    # As written, c comes after b and d after a: without another order the lines cross.
    at = corners(drawn(element("a"), element("b"), element("c", b=SUCCEEDED), element("d", a=SUCCEEDED)))

    assert (at["a"][1] < at["b"][1]) == (at["d"][1] < at["c"][1])


def test_a_long_line_goes_between_the_elements_that_it_passes() -> None:
    graph = drawn(element("a"), element("b", a=SUCCEEDED), element("c", a=SUCCEEDED, b=SUCCEEDED))

    (long,) = [edge for edge in graph.edges if edge.words.startswith("c after a")]
    left, top = corners(graph)["b"]
    passed = re.search(r" (\d+) ([\d.]+)H(\d+)", long.path)
    assert passed is not None
    assert (int(passed[1]), int(passed[3])) == (left, left + NODE_WIDTH)
    assert not top <= float(passed[2]) <= top + NODE_HEIGHT


def test_closing_elements_stand_behind_a_line_of_their_own() -> None:
    graph = drawn(element("a"), element("b", a=SUCCEEDED), closing=(element("tidy"),))

    at = corners(graph)
    assert graph.closing_x is not None
    assert at["b"][0] + NODE_WIDTH < graph.closing_x < at["tidy"][0]


@pytest.mark.parametrize(
    ("rules", "style"),
    [
        (SUCCEEDED, "succeeded"),
        ((Rule.FAILED,), "failed"),
        ((Rule.EXCEPTION, Rule.FAILED), "failed"),
        ((Rule.SUCCEEDED, Rule.SKIPPED), "other"),
        ((Rule.FINISHED,), "other"),
    ],
)
def test_a_line_is_drawn_by_its_rules(rules: tuple[Rule, ...], style: str) -> None:
    assert rule_of(rules) == style


@pytest.mark.parametrize(
    ("state", "way"),
    [
        (ElementState.BLOCKED, "open"),
        (ElementState.RUNNING, "taken"),
        (ElementState.FAILED, "taken"),
        (ElementState.SKIPPED, "off"),
        (ElementState.CANCELLED, "off"),
    ],
)
def test_a_line_to_what_never_began_is_grey(state: ElementState, way: str) -> None:
    views = list(elements_of(Pipeline(elements=(element("a"), element("b", a=SUCCEEDED)))))
    views[1] = _in_state(views[1], state)

    graph = draw_pipeline(views)

    assert graph is not None
    assert [edge.way for edge in graph.edges] == [way]


def _in_state(view: ElementView, state: ElementState) -> ElementView:
    return ElementView(
        name=view.name,
        job=view.job,
        state=state,
        reason="",
        after=view.after,
        is_closing=False,
        column=view.column,
        instances=(),
        approval=None,
    )


def test_too_many_elements_or_lines_are_not_drawn() -> None:
    many = Pipeline(elements=tuple(element(f"e{number}") for number in range(NODES_MAX + 1)))
    tangle = [
        element(f"e{number}", **{f"e{before}": SUCCEEDED for before in range(number)}) for number in range(NODES_MAX)
    ]

    assert draw_pipeline(elements_of(many)) is None
    assert draw_pipeline(elements_of(Pipeline(elements=tuple(tangle)))) is None
    assert draw_pipeline(()) is None


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Element, ...]:
    """Elements that wait for earlier ones."""
    count = draw(st.integers(1, 14))
    return tuple(
        element(
            f"e{number}",
            **{f"e{each}": SUCCEEDED for each in draw(st.sets(st.integers(0, number - 1), max_size=3))}
            if number
            else {},
        )
        for number in range(count)
    )


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_nothing_overlaps_and_everything_is_within_the_drawing(elements: tuple[Element, ...]) -> None:
    graph = drawn(*elements)

    assert len(graph.edges) == sum(len(each.after) for each in elements)
    for node in graph.nodes:
        assert node.x >= 0
        assert node.y >= 0
        assert node.x + NODE_WIDTH <= graph.width
        assert node.y + NODE_HEIGHT <= graph.height
    for one, other in combinations(graph.nodes, 2):
        assert one.x != other.x or abs(one.y - other.y) >= NODE_HEIGHT
    for edge in graph.edges:
        assert max(float(number) for number in re.findall(r"[\d.]+", edge.path)) <= max(graph.width, graph.height)
