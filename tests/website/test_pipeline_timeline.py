"""The bars of a pipeline's runs, and the chain that decided how long it took."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from orchestra.elements import Approval, Element, Pipeline, Rule
from orchestra.lifecycle import RunState
from orchestra.pipeline.states import ElementState
from orchestra.queries.elements import ElementView, InstanceView, elements_of
from orchestra_website.pipeline_timeline import ROWS_MAX, Timeline, critical_runs, timeline_of

BEGIN = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
SUCCEEDED = (Rule.SUCCEEDED,)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def ran(key: str, created: float, started: float | None, ended: float | None, **more: object) -> InstanceView:
    state = ElementState.RUNNING if ended is None else ElementState.SUCCEEDED
    view = InstanceView(
        key=key,
        state=state,
        reason="",
        run=7,
        run_state=RunState.RUNNING if ended is None else RunState.SUCCEEDED,
        run_url="/api/v1/runs/7",
        is_reused=False,
        created_at=at(created),
        started_at=None if started is None else at(started),
        ended_at=None if ended is None else at(ended),
    )
    return msgspec.structs.replace(view, **more)


def view(name: str, *instances: InstanceView, after: tuple[str, ...] = (), closing: bool = False) -> ElementView:
    element = Element(name=name, job="work", after=dict.fromkeys(after, SUCCEEDED))
    (made,) = elements_of(Pipeline(elements=(element,))) if not after else (_of(element),)
    state = instances[-1].state if instances else ElementState.BLOCKED
    return msgspec.structs.replace(made, instances=instances, state=state, is_closing=closing)


def _of(element: Element) -> ElementView:
    before = tuple(Element(name=name, job="work") for name in element.after)
    return elements_of(Pipeline(elements=(*before, element)))[-1]


def timeline(*elements: ElementView, ended: float | None = 100.0, now: float = 100.0) -> Timeline:
    return timeline_of(elements, begin=BEGIN, ended_at=None if ended is None else at(ended), now=at(now))


def test_a_run_waits_and_then_runs() -> None:
    (row,) = timeline(view("build", ran("", 10, 30, 80))).rows

    assert [(bar.kind, bar.begin, bar.length) for bar in row.bars] == [("waiting", 10, 20), ("running", 30, 50)]
    assert (row.waited, row.took) == (20, 50)
    assert [bar.words for bar in row.bars] == ["waiting 20 s", "running 50 s"]


def test_what_goes_on_reaches_to_now() -> None:
    found = timeline(view("build", ran("", 10, 30, None)), view("wait", ran("", 10, None, None)), ended=None, now=50)

    assert [(bar.kind, bar.begin + bar.length) for row in found.rows for bar in row.bars] == [
        ("waiting", 60),
        ("running", 100),
        ("waiting", 100),
    ]
    assert found.now_x == found.width
    assert timeline(view("build", ran("", 10, 30, 50))).now_x is None


def test_what_is_used_again_has_no_bar() -> None:
    (row,) = timeline(view("build", ran("", -900, -800, -700, is_reused=True))).rows

    assert row.is_reused
    assert row.bars == ()
    assert row.waited is None


def test_a_run_that_was_withdrawn_only_waited() -> None:
    (row,) = timeline(view("build", ran("", 10, None, 40))).rows

    assert [(bar.kind, bar.length) for bar in row.bars] == [("waiting", 30)]
    assert row.took is None


@pytest.mark.parametrize(
    ("state", "decided", "seconds"),
    [(ElementState.SUCCEEDED, 70.0, 50.0), (ElementState.WAITING, None, 80.0), (ElementState.CANCELLED, None, 0.0)],
)
def test_a_person_is_asked_until_somebody_answers(state: ElementState, decided: float | None, seconds: float) -> None:
    (blocked,) = elements_of(Pipeline(elements=(Element(name="approve", approval=Approval()),)))
    assert blocked.approval is not None
    asked = msgspec.structs.replace(
        blocked.approval, asked_at=at(20), decided_at=None if decided is None else at(decided)
    )
    (row,) = timeline(msgspec.structs.replace(blocked, approval=asked, state=state)).rows

    assert [(bar.kind, bar.begin, bar.length) for bar in row.bars] == [("asking", 20, seconds)]


def test_an_element_without_runs_has_an_empty_row() -> None:
    (row,) = timeline(view("later")).rows

    assert (row.bars, row.run, row.state) == ((), None, "blocked")


def test_the_chain_goes_from_the_last_end_back_to_what_was_waited_for_longest() -> None:
    elements = (
        view("quick", ran("", 0, 0, 10)),
        view("slow", ran("", 0, 0, 40)),
        view("build", ran("os=a", 40, 41, 50), ran("os=b", 40, 41, 70), after=("quick", "slow")),
        view("aside", ran("", 0, 0, 60)),
        view("tidy", ran("", 70, 70, 90), closing=True),
    )

    assert critical_runs(elements) == {("tidy", ""), ("build", "os=b"), ("slow", "")}


def test_what_goes_on_ends_the_chain() -> None:
    elements = (view("over", ran("", 0, 0, 90)), view("open", ran("", 0, 0, None)))

    assert critical_runs(elements) == {("open", "")}
    assert critical_runs(()) == critical_runs((view("later"),)) == frozenset()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, ["0", "0.1 s", "0.2 s", "0.3 s", "0.4 s"]),
        (100, ["0", "15 s", "30 s", "45 s", "1 min 0 s", "1 min 15 s", "1 min 30 s"]),
        (21_600, ["0", "1 h 0 min", "2 h 0 min", "3 h 0 min", "4 h 0 min", "5 h 0 min", "6 h 0 min"]),
    ],
)
def test_the_scale_has_few_round_steps(seconds: float, words: list[str]) -> None:
    assert [text for _, text in timeline(ended=seconds).ticks] == words


@pytest.mark.parametrize("seconds", [0.0, -5.0, 40 * 86_400.0, 4000 * 86_400.0])
def test_any_span_has_a_scale(seconds: float) -> None:
    assert 1 <= len(timeline(ended=seconds).ticks) <= 40


def test_too_many_rows_are_cut_and_counted() -> None:
    found = timeline(view("build", *(ran(f"n={number}", 0, 1, 2) for number in range(ROWS_MAX + 5))))

    assert (len(found.rows), found.total) == (ROWS_MAX, ROWS_MAX + 5)


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("", "build"),
        ("os=linux, size=small", "build linux, small"),
        ("0: north", "build 0: north"),
        ("os=" + "x" * 80, "build " + "x" * 21 + "…"),
    ],
)
def test_a_row_is_named_by_what_tells_it_from_the_others(key: str, label: str) -> None:
    (row,) = timeline(view("build", ran(key, 0, 1, 2))).rows

    assert row.label == label
