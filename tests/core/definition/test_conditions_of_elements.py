"""What is told of an `if` that could never be decided, and what is not: place, sentence and repair."""

import sys

import pytest

from orchestra.definition.reader import examine_definition
from orchestra.pipeline import conditions
from tests.core.definition.marked import told
from tests.core.definition.test_element_values import RELEASE

CASES = [
    (
        "elements: { build: { if: '§parameters.envv == \"a\"' } }",
        "elements.build.if names the unknown parameter `envv`",
        "did you mean `env`?",
    ),
    (
        'elements: { build: { if: \'§parameters["envv"] == "a"\' } }',
        "elements.build.if names the unknown parameter `envv`",
        "did you mean `env`?",
    ),
    (
        "elements: { build: { if: '§parameters.dry == true' } }",
        "elements.build.if names the unknown parameter `dry`",
        'write `parameters["dry-run"]`',
    ),
    (
        "elements: { build: { if: '§parameters.token == \"a\"' } }",
        "elements.build.if names the secret `token`, on which no decision may depend",
        "remove it",
    ),
    (
        "elements: { plan: {}, build: { if: '§states.plan == \"failed\"' } }",
        "elements.build.if names the states of `plan`, which is not over before it begins",
        "add `after: plan`",
    ),
    (
        "elements: { plan: {}, build: { after: plan, if: '§states.plam == \"failed\"' } }",
        "elements.build.if names the unknown element `plam`",
        "did you mean `plan`?",
    ),
    (
        "elements: { plan: {}, build: { if: '!has(§results.plan.x)' } }",
        "elements.build.if names the results of `plan`, which is not over before it begins",
        "add `after: plan`",
    ),
    (
        "elements: { build: { if: '§matrix.os == \"a\"' } }",
        "elements.build.if names `matrix`, which the element does not have",
        "give it a `matrix`, or remove it",
    ),
    (
        "elements: { build: { matrix: { os: [a] }, if: '§matrix.so == \"a\"' } }",
        "elements.build.if names the unknown axis `so`",
        "known are os",
    ),
    (
        "elements: { build: { if: '§item == \"a\"' } }",
        "elements.build.if names `item` without `for-each`",
        "add `for-each: results.ELEMENT.NAME`, or remove it",
    ),
    (
        "elements: { build: { if: '§paramters.env == \"a\"' } }",
        "elements.build.if names the unknown `paramters`",
        "did you mean `parameters`?",
    ),
    (
        "elements: { build: { if: §'parameters.env' } }",
        "elements.build.if is 'staging' and not true or false",
        'write such as `parameters.env == "production"`, with quotes around it all',
    ),
    (
        "elements: { build: { if: §'parameters.count > \"3\"' } }",
        "elements.build.if applies an operator to values whose types do not fit together",
        'compare values of one type: `parameters.count > 3`, not `parameters.count > "3"`',
    ),
    (
        'elements: { build: { if: §\'parameters.env == "production" && parameters.count > "3"\' } }',
        "elements.build.if applies an operator to values whose types do not fit together",
        'compare values of one type: `parameters.count > 3`, not `parameters.count > "3"`',
    ),
    (
        "elements: { build: { if: §'parameters.env.foo()' } }",
        "elements.build.if uses the unknown function `foo`, or uses it for a wrong type",
        "CEL has functions such as `size(…)`, `.contains(…)`, `.startsWith(…)` and `.matches(…)`",
    ),
    (
        "elements: { build: { if: §'int(parameters.env) > 3' } }",
        "elements.build.if cannot be evaluated: Function 'int' error: string parse error: "
        "invalid digit found in string",
        'write such as `parameters.env == "production"`, with quotes around it all',
    ),
    (
        "elements: { build: { if: 'parameters.env == §' } }",
        "elements.build.if is no condition in CEL: Syntax error: mismatched input '<EOF>'",
        'write such as `parameters.env == "production"`, with quotes around it all',
    ),
    (
        "elements: { build: { if: 'parameters.env §=! 3' } }",
        "elements.build.if is no condition in CEL: Syntax error: token recognition error at: '=!'",
        'write such as `parameters.env == "production"`, with quotes around it all',
    ),
    (
        "elements: { build: { if: §'[1].all(x, [2].exists(y, x == y))' } }",
        "elements.build.if goes through a list for each member of a list, which may take for ever",
        "let a job find it out, and ask for its result",
    ),
    (
        "elements: { build: { if: §'[1].map(x, ([2].filter (y, x == y))).size() > 0' } }",
        "elements.build.if goes through a list for each member of a list, which may take for ever",
        "let a job find it out, and ask for its result",
    ),
    ("elements: { build: { if: §'' } }", "elements.build.if is empty", "give it a value, or remove the key"),
    ("elements: { build: { if: §[a] } }", "elements.build.if must be a text, got a list", ""),
]


@pytest.mark.parametrize(("body", "sentence", "remedy"), CASES)
def test_a_mistake_is_told_with_its_place_and_repair(body: str, sentence: str, remedy: str) -> None:
    problem, place = told(RELEASE, body)

    assert (problem.line, problem.column) == place
    assert (problem.sentence.removeprefix("jobs.release."), problem.help) == (sentence, remedy)


@pytest.mark.parametrize(
    "expression",
    [
        "true",
        'parameters.env == "production" && !parameters["dry-run"]',
        "parameters['env'] in [\"a\", 'parameters.nope', 'matrix.os']",
        "parameters.count / (parameters.count - 3) > 2",
        "timestamp(parameters.day) > timestamp('2026-01-01T00:00:00Z')",
        "int(parameters.major) >= 2",
        "duration(parameters.pause) < duration('1h')",
        "has(parameters.note) && parameters.note == 'x'",
        "results.plan.targets.exists(item, item == 'web') && size(results.plan.targets) < 3",
        "states.plan == 'succeeded' || states['plan'] == \"failed\"",
        "run.number % 2 == 0",
        "[1, 2].all(x, x > 0) && size([1, 2].map(x, x + 1)) == 2 && '.all(.all(' != \")\"",
    ],
)
def test_a_condition_that_can_be_decided_is_accepted(expression: str) -> None:
    parameters = (
        "      day: { default: '' }\n      major: { default: '0' }\n      pause: { type: duration, default: 1m }\n"
    )
    body = f"{parameters}      note: {{}}\n    elements:\n      plan: {{}}\n      test:\n        after: plan\n"

    reading = examine_definition(f"{RELEASE}{body}        if: >-\n          {expression}\n", "orchestra.yaml")

    assert (reading.report(), reading.definition.jobs[-1].specification.pipeline is not None) == ("", True)


def test_a_parameter_that_may_be_missing_is_a_hint_at_the_first_place_that_needs_it() -> None:
    body = """    elements:
      note: { with: { text: "{parameters.word}" } }
      plan: { if: 'parameters.word == "x"' }
      sign: { job: plan, if: 'has(parameters.word)' }
"""

    reading = examine_definition(
        RELEASE.replace("      token:", "      word: {}\n      token:") + body, "orchestra.yaml"
    )

    assert [(hint.line, hint.column, hint.sentence.partition(" ")[0]) for hint in reading.hints] == [
        (29, 29, "jobs.release.elements.note.with.text")
    ]


def test_without_the_library_everything_else_is_checked_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    conditions._compiled.cache_clear()
    monkeypatch.setitem(sys.modules, "cel", None)

    reading = examine_definition(f"{RELEASE}    elements: {{ plan: {{ if: '1 +' }} }}\n", "orchestra.yaml")
    unknown = examine_definition(f"{RELEASE}    elements: {{ plan: {{ if: item }} }}\n", "orchestra.yaml")

    assert [hint.sentence for hint in reading.hints] == [
        "jobs.release.elements.plan.if is not checked here: conditions need the package common-expression-language: "
        "install job-orchestra[server]"
    ]
    assert not reading.problems
    assert [problem.sentence for problem in unknown.problems] == [
        "jobs.release.elements.plan.if names `item` without `for-each`"
    ]
