"""Which element runs when, and what becomes of the whole: every rule of the pipelines' page."""

import pytest

from orchestra.elements import Approval, Element, Matrix, Pipeline, Rule
from orchestra.lifecycle import RunState
from orchestra.pipeline.graph import Graph
from tests.core.pipeline.played import Played

ENDS = ("succeeded", "failed", "exception", "aborted", "cancelled")
ANY_END = (*ENDS, "skipped")


def after(*names: str, rules: tuple[Rule, ...] = (Rule.SUCCEEDED,)) -> dict[str, tuple[Rule, ...]]:
    return dict.fromkeys(names, rules)


def job(name: str, **more: object) -> Element:
    return Element(name=name, job=name, **more)  # type: ignore[arg-type]  # of a test's own making


def test_elements_that_wait_for_nobody_begin_at_once_and_the_others_one_by_one() -> None:
    played = Played(job("plan"), job("build", after=after("plan")), job("lint"), job("test", after=after("build")))

    assert played.running == ["plan", "lint"]
    played.end("plan")
    assert played.running == ["build", "lint"]
    played.end("build")
    played.end("lint")
    assert played.running == ["test"]
    played.end("test")
    assert played.outcome is RunState.SUCCEEDED


@pytest.mark.parametrize(
    ("rule", "accepted"),
    [
        (Rule.SUCCEEDED, {"succeeded"}),
        (Rule.FAILED, {"failed", "exception"}),
        (Rule.FINISHED, {*ENDS}),
        (Rule.SKIPPED, {"skipped"}),
        (Rule.ABORTED, {"aborted"}),
        (Rule.CANCELLED, {"cancelled"}),
        (Rule.EXCEPTION, {"exception"}),
    ],
)
def test_a_rule_accepts_these_ends_and_skips_at_all_others(rule: Rule, accepted: set[str]) -> None:
    found = set()
    for end in ANY_END:
        first = job("first", condition="false" if end == "skipped" else "")
        played = Played(first, job("second", after=after("first", rules=(rule,))))
        if end != "skipped":
            played.end("first", end)
        if "second" in played.started:
            found.add(end)
        else:
            words = f"first is {end}, and this comes after {rule} only"
            assert (played.states["second"], played.reasons["second"]) == ("skipped", words)
    assert found == accepted


def test_one_of_several_rules_is_enough_and_all_elements_before_must_be_over() -> None:
    either = (Rule.SUCCEEDED, Rule.SKIPPED)
    played = Played(
        job("test"),
        Element(name="approve", approval=Approval(), after=after("test"), condition="parameters.env == 'production'"),
        job("deploy", after={**after("test"), **after("approve", rules=either)}),
        parameters={"env": "staging"},
    )

    played.end("test")

    assert played.states["approve"] == "skipped"
    assert played.reasons["approve"] == "its condition does not hold: parameters.env == 'production'"
    assert played.running == ["deploy"]


def test_nothing_is_decided_before_all_that_comes_before_is_over() -> None:
    played = Played(job("a"), job("b"), job("c", after=after("a", "b")))

    played.end("a", "failed")
    assert played.states["c"] == "blocked"
    played.end("b")
    assert played.states["c"] == "skipped"
    assert (played.outcome, played.finish and played.finish.reason) == (RunState.FAILED, "a failed")


@pytest.mark.parametrize(
    ("ends", "outcome", "reason"),
    [
        (("succeeded", "succeeded"), RunState.SUCCEEDED, ""),
        (("succeeded", "failed"), RunState.FAILED, "b failed"),
        (("failed", "exception"), RunState.EXCEPTION, "b broke"),
        (("aborted", "succeeded"), RunState.FAILED, "a aborted"),
        (("cancelled", "cancelled"), RunState.FAILED, "a, b cancelled"),
        (("aborted", "failed"), RunState.FAILED, "b failed"),
    ],
)
def test_the_whole_is_what_the_worst_element_is(ends: tuple[str, str], outcome: RunState, reason: str) -> None:
    played = Played(job("a"), job("b"))

    played.end("a", ends[0])
    played.end("b", ends[1])

    assert played.finish is not None
    assert (played.finish.state, played.finish.reason) == (outcome, reason)


def test_a_pipeline_of_skipped_elements_has_succeeded() -> None:
    assert Played(job("a", condition="1 > 2"), job("b", after=after("a"))).outcome is RunState.SUCCEEDED


@pytest.mark.parametrize(
    ("more", "end", "exit_code", "outcome"),
    [
        ({"allow_failure": True}, "failed", 1, RunState.SUCCEEDED),
        ({"allow_failure": True}, "exception", 0, RunState.SUCCEEDED),
        ({"allow_failure": True}, "aborted", 0, RunState.FAILED),
        ({"allowed_exit_codes": (75,)}, "failed", 75, RunState.SUCCEEDED),
        ({"allowed_exit_codes": (75,)}, "failed", 1, RunState.FAILED),
        ({"allowed_exit_codes": (75,)}, "exception", 75, RunState.EXCEPTION),
    ],
)
def test_an_allowed_failure_counts_as_a_success(
    more: dict[str, object], end: str, exit_code: int, outcome: RunState
) -> None:
    played = Played(job("test", **more), job("next", after=after("test")))

    played.end("test", end, exit_code=exit_code)
    if outcome is RunState.SUCCEEDED:
        played.end("next")

    assert played.outcome is outcome
    assert played.states["test"] == end


def test_a_matrix_makes_a_run_for_each_combination_with_its_values() -> None:
    matrix = Matrix(
        axes={"os": ("linux", "windows"), "python": ("3.11", "3.13")},
        exclude=({"os": "windows", "python": "3.11"},),
        include=({"os": "mac", "python": "3.13"},),
    )
    played = Played(
        job("build", matrix=matrix, parameters={"on": "{matrix.os}"}, worker={"os": "{matrix.os}"}),
        job("test", after=after("build")),
    )

    assert played.started == {
        "build[os=linux, python=3.11]": {"on": "linux"},
        "build[os=linux, python=3.13]": {"on": "linux"},
        "build[os=windows, python=3.13]": {"on": "windows"},
        "build[os=mac, python=3.13]": {"on": "mac"},
    }
    assert played.workers["build[os=mac, python=3.13]"] == {"os": "mac"}
    for name in list(played.started):
        assert "test" not in played.started
        played.end("build", key=name[6:-1])
    assert (played.states["build"], played.reasons["build"]) == ("succeeded", "4 succeeded")
    assert played.running == ["test"]


def test_a_list_that_was_found_out_makes_a_run_for_each_member() -> None:
    played = Played(
        job("plan"),
        job(
            "deploy",
            after=after("plan"),
            for_each="results.plan.targets",
            parameters={"to": "{item.name}", "all": "{item}", "size": "{item.size}"},
        ),
    )

    played.end("plan", results={"targets": [{"name": "web", "size": 3}, {"name": "db", "size": 1}]})

    assert list(played.started.values())[1:] == [
        {"to": "web", "all": '{"name":"web","size":3}', "size": 3},
        {"to": "db", "all": '{"name":"db","size":1}', "size": 1},
    ]


@pytest.mark.parametrize(
    ("found", "state", "reason"),
    [
        ({"targets": []}, "skipped", "it has nothing to run: its list is empty"),
        ({"targets": 7}, "exception", "its `for-each` is no list but 7"),
        ({}, "exception", "nobody has found out results.plan.targets"),
        ({"targets": [0] * 10_001}, "exception", "its `for-each` has 10,001 members, at most 10,000 are allowed"),
    ],
)
def test_a_list_that_cannot_be_run_says_why(found: dict[str, object], state: str, reason: str) -> None:
    played = Played(job("plan"), job("deploy", after=after("plan"), for_each="results.plan.targets"))

    played.end("plan", results=found)

    assert (played.states["deploy"], played.reasons["deploy"]) == (state, reason)


def test_results_and_parameters_keep_their_types_and_are_put_into_texts() -> None:
    played = Played(
        job("plan"),
        job("build", after=after("plan"), parameters={"count": "{results.plan.count}", "tag": "v{results.plan.count}"}),
        job("ship", after=after("build"), parameters={"fast": "{parameters.fast}", "of": "{run.number:06}"}),
        parameters={"fast": True},
    )

    played.end("plan", results={"count": 7})
    played.end("build")

    assert played.started["build"] == {"count": 7, "tag": "v7"}
    assert played.started["ship"] == {"fast": True, "of": "000500"}


def test_what_the_runs_of_a_matrix_have_found_out_is_a_list() -> None:
    played = Played(
        job("build", matrix=Matrix(axes={"os": ("linux", "mac")})),
        job("ship", after=after("build"), for_each="results.build.file"),
    )

    played.end("build", key="os=mac", results={"file": "b.dmg"})
    played.end("build", key="os=linux", results={"file": "a.deb"})

    assert [name for name in played.started if name.startswith("ship")] == ["ship[0: a.deb]", "ship[1: b.dmg]"]


def test_a_value_that_nobody_has_given_ends_the_element_as_an_exception() -> None:
    played = Played(job("plan"), job("build", after=after("plan"), parameters={"tag": "{results.plan.tag}"}))

    played.end("plan")

    assert played.states["build"] == "exception"
    assert "names the unknown value 'results.plan.tag'" in played.reasons["build"]
    assert played.outcome is RunState.EXCEPTION


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("results.plan.size > 'a'", "cannot be evaluated: No such overload"),
        ("results.plan.weight > 1", "cannot be evaluated: there is no 'weight'"),
        ("results.plan.size", "is 7 and not true or false"),
    ],
)
def test_a_condition_that_fails_ends_its_element_with_the_expression_and_the_values(condition: str, words: str) -> None:
    played = Played(job("plan"), job("build", after=after("plan"), condition=condition))

    played.end("plan", results={"size": 7})

    assert played.states["build"] == "exception"
    assert played.reasons["build"].startswith(f"the condition `{condition}` {words}")
    assert "values: {'results': {'plan': {'size': 7}}}" in played.reasons["build"]


def test_a_condition_may_leave_out_combinations_of_a_matrix() -> None:
    matrix = Matrix(axes={"os": ("linux", "mac")})
    played = Played(
        job("build", matrix=matrix, condition="matrix.os == 'linux' || states.lint == 'never'"), job("lint")
    )

    assert played.states["build[os=mac]"] == "skipped"
    played.end("build", key="os=linux")
    assert (played.states["build"], played.reasons["build"]) == ("succeeded", "1 skipped, 1 succeeded")


def test_so_many_at_a_time_of_an_element_and_of_the_whole() -> None:
    numbers = Matrix(axes={"n": (1, 2, 3, 4)})
    played = Played(job("a", matrix=numbers, max_parallel=2), job("b", matrix=numbers), max_parallel=4)

    assert played.running == ["a[n=1]", "a[n=2]", "b[n=1]", "b[n=2]"]
    played.end("a", key="n=2")
    assert played.running == ["a[n=1]", "a[n=3]", "b[n=1]", "b[n=2]"]


def test_the_first_failed_run_of_a_matrix_ends_the_others() -> None:
    played = Played(job("a", matrix=Matrix(axes={"n": (1, 2, 3)}), max_parallel=2, fail_fast=True), job("b"))

    played.end("a", "failed", key="n=1")

    assert [played.states[f"a[n={n}]"] for n in (1, 2, 3)] == ["failed", "running", "cancelled"]
    assert len(played.stopped) == 1
    played.end("a", "aborted", key="n=2")
    assert played.states["a"] == "failed"
    assert played.running == ["b"]


def test_the_first_failed_element_ends_the_others_but_for_the_closing_ones() -> None:
    played = Played(
        job("a"), job("b"), job("c", after=after("b")), Element(name="ask", approval=Approval()),
        closing=[job("tidy")], fail_fast=True,
    )  # fmt: skip

    played.end("a", "failed")

    assert (played.states["c"], played.states["ask"], len(played.stopped)) == ("cancelled", "cancelled", 1)
    played.end("b", "aborted")
    assert played.running == ["tidy"]
    played.end("tidy")
    assert played.outcome is RunState.FAILED


def test_a_stop_ends_what_runs_and_what_waits_and_then_the_closing_elements_run() -> None:
    played = Played(
        job("a"), job("b", after=after("a")), Element(name="ask", approval=Approval()),
        closing=[job("tidy"), job("tell", after=after("tidy", rules=(Rule.FINISHED,)))],
    )  # fmt: skip

    played.stop()

    assert played.states == {"a": "running", "b": "cancelled", "ask": "cancelled", "tidy": "blocked", "tell": "blocked"}
    assert len(played.stopped) == 1
    played.end("a", "aborted")
    played.end("tidy", "failed")
    played.end("tell")
    assert played.outcome is RunState.ABORTED


def test_a_failed_closing_element_makes_the_whole_fail() -> None:
    played = Played(job("a"), closing=[job("tidy")])

    played.end("a")
    played.end("tidy", "failed")

    assert played.outcome is RunState.FAILED


def test_an_approval_whose_message_cannot_be_filled_in_is_an_exception() -> None:
    approval = Approval(message="Deploy {results.plan.version}?")
    played = Played(job("plan"), Element(name="ask", approval=approval, after=after("plan")))

    played.end("plan")

    assert played.states["ask"] == "exception"
    assert "{results.plan.version}" in played.reasons["ask"]


def test_a_matrix_may_have_nothing_but_what_it_includes() -> None:
    played = Played(job("build", matrix=Matrix(include=({"os": "linux"}, {"os": "mac"})), parameters={"jobs": 4}))

    assert played.running == ["build[os=linux]", "build[os=mac]"]
    assert played.started["build[os=mac]"] == {"jobs": 4}


def test_an_approval_asks_with_its_message_and_goes_on_or_fails() -> None:
    approval = Approval(message="Deploy {parameters.env}?")
    elements = (Element(name="ask", approval=approval), job("deploy", after=after("ask")))
    for said, expected in (("succeeded", "running"), ("failed", "skipped")):
        played = Played(*elements, parameters={"env": "production"})
        assert played.asked == {"ask": "Deploy production?"}
        assert played.states["deploy"] == "blocked"
        played.end("ask", said)
        assert played.states["deploy"] == expected


def test_the_order_of_elements_does_not_mind_a_name_that_nobody_has() -> None:
    """A definition is looked at as a whole before it is refused."""
    graph = Graph(Pipeline(elements=(job("ship", after=after("biuld", "build")), job("build"))))

    assert [element.name for element in graph.elements] == ["build", "ship"]
