"""The resolver: the same ends in any order come to the same, and nothing begins twice or too soon."""

from collections.abc import Mapping
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from orchestra.elements import Approval, Element, Matrix, Rule
from orchestra.pipeline.states import OPEN_STATES, holds
from tests.core.pipeline.played import Played
from tests.properties.effort import effort

ENDS = ("succeeded", "succeeded", "succeeded", "failed", "exception", "aborted", "cancelled")
Ends = Mapping[tuple[str, str], tuple[str, int]]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[tuple[Element, ...], tuple[Element, ...]]:
    """Ordinary and closing elements; each may only come after those before it."""
    ordinary = draw(st.integers(1, 9))
    closing = draw(st.integers(0, 3))
    elements = [draw(one_element(f"e{number}", [f"e{each}" for each in range(number)])) for number in range(ordinary)]
    last = [draw(one_element(f"c{number}", [f"c{each}" for each in range(number)])) for number in range(closing)]
    # Written in any order: the graph finds its own.
    return tuple(draw(st.permutations(elements))), tuple(last)


@st.composite
def one_element(draw: st.DrawFn, name: str, before: list[str]) -> Element:
    """A job, a matrix, or an approval; with rules, and sometimes a condition."""
    after = {
        each: tuple(draw(st.lists(st.sampled_from(list(Rule)), min_size=1, max_size=3, unique=True)))
        for each in draw(st.lists(st.sampled_from(before), max_size=3, unique=True) if before else st.just([]))
    }
    condition = ""
    if after and draw(st.integers(0, 4)) == 0:
        condition = f"states.{next(iter(after))} != 'failed'"
    kind = draw(st.sampled_from(("job", "job", "job", "matrix", "approval")))
    if kind == "approval":
        return Element(name=name, approval=Approval(), after=after, condition=condition)
    axis = draw(st.integers(1, 3))
    return Element(
        name=name,
        job="job",
        after=after,
        condition=condition,
        matrix=Matrix(axes={"n": tuple(range(axis))}) if kind == "matrix" else None,
        allow_failure=draw(st.booleans()),
        allowed_exit_codes=draw(st.sampled_from(((), (75,)))),
        max_parallel=draw(st.sampled_from((None, 1))) if kind == "matrix" else None,
    )


class Told:
    """How everything ends that begins, whenever that is."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def end_of(self, name: str, key: str) -> tuple[str, int]:
        """The state and the exit code."""
        chance = Random(f"{self._seed} {name} {key}")
        return chance.choice(ENDS), chance.choice((1, 75))


def play(played: Played, told: Told, order: Random) -> None:
    """Ends what is open, in this order, until nothing is."""
    while open_now := _open(played):
        name, key = order.choice(open_now)
        state, exit_code = told.end_of(name, key)
        if played.graph.by_name[name].approval is not None:
            state = "succeeded" if state == "succeeded" else "failed"
        _assert_began_rightly(played, name)
        played.end(name, state, key=key, exit_code=exit_code)


def _open(played: Played) -> list[tuple[str, str]]:
    found = []
    for name, rows in played.rows.items():
        for row in rows.instances or [rows.head]:
            if row.state in OPEN_STATES and row.state != "blocked":
                found.append((name, row.instance.key))
    return sorted(found)


def _assert_began_rightly(played: Played, name: str) -> None:
    for before, rules in played.graph.by_name[name].after.items():
        head = played.rows[before].head.state
        assert head not in OPEN_STATES, f"{name} runs, and {before} is {head}"
        element = played.graph.by_name[before]
        if not element.allow_failure and not element.allowed_exit_codes:
            assert holds(rules, head), f"{name} runs after {rules}, and {before} is {head}"


@effort(150)
@given(graphs(), st.integers(0, 2**32), st.integers(0, 2**32), st.sampled_from((None, 1, 2)))
def test_the_order_of_ends_changes_nothing(
    graph: tuple[tuple[Element, ...], tuple[Element, ...]], seed: int, order: int, most: int | None
) -> None:
    elements, closing = graph
    outcomes = []
    for each in (order, order + 1):
        played = Played(*elements, closing=closing, max_parallel=most)
        play(played, Told(seed), Random(each))
        assert played.finish is not None, f"nothing is open and it is not over: {played.states}"
        outcomes.append((played.states, played.reasons, played.finish, sorted(played.started)))

    assert outcomes[0] == outcomes[1]


@effort(150)
@given(graphs(), st.integers(0, 2**32), st.integers(0, 12), st.booleans())
def test_a_stop_at_any_moment_ends_it(
    graph: tuple[tuple[Element, ...], tuple[Element, ...]], seed: int, steps: int, fail_fast: bool
) -> None:
    elements, closing = graph
    played = Played(*elements, closing=closing, fail_fast=fail_fast)
    told, order = Told(seed), Random(seed)
    for _ in range(steps):
        if open_now := _open(played):
            name, key = order.choice(open_now)
            is_asked = played.graph.by_name[name].approval is not None
            played.end(name, "succeeded" if is_asked else told.end_of(name, key)[0], key=key)
    begun = set(played.started)
    if played.finish is None:
        played.stop()
        assert {name for name in set(played.started) - begun if name.startswith("e")} == set()
    play(played, told, order)

    assert played.finish is not None
    assert {name for name in set(played.started) - begun if name.startswith("e")} == set() or not played.is_stopped
