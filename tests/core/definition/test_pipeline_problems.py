"""What is told of a pipeline whose elements, order or approvals could not work: place, sentence and repair."""

import pytest

from orchestra.definition.reader import examine_definition
from tests.core.definition.marked import told
from tests.core.definition.pipeline_examples import HEAD

RELEASE = HEAD + "  parts: { elements: { plan: {} } }\n  release:\n"

CASES = [
    ("run: x\n§matrix: { os: [a] }", "has the unknown key `matrix`", "it belongs to an element of a pipeline"),
    (
        "run: §x\nelements: { build: {} }",
        "run means nothing here: a pipeline runs nothing by itself",
        "give it to the jobs of its elements",
    ),
    (
        "§worker: { os: linux }\nelements: { build: {} }",
        "worker means nothing here: a pipeline runs nothing by itself",
        "give it to the jobs of its elements",
    ),
    (
        "§retry: { max-attempts: 2 }\nelements: { build: {} }",
        "retry means nothing here: a pipeline runs nothing by itself",
        "give it to the jobs of its elements",
    ),
    (
        "lost-after: §2h\nelements: { build: {} }",
        "lost-after means nothing here: a pipeline runs nothing by itself",
        "give it to the jobs of its elements",
    ),
    ("run: x\nmax-parallel: §3", "max-parallel belongs to a pipeline", "add `elements: { … }`, or remove it"),
    ("§elements: {}", "elements are none", "add one such as `build: {}`, which runs the job `build`"),
    ("elements: §[build]", "elements must be a mapping of names to elements, got a list", ""),
    (
        "max-parallel: §0\nelements: { build: {} }",
        "max-parallel must be from 1 to 10000, got 0",
        "write `max-parallel: 1`",
    ),
    (
        "fail-fast: §maybe\nelements: { build: {} }",
        'fail-fast must be true or false, got "maybe"',
        "write `fail-fast: true`",
    ),
    (
        "elements: { §Build It: { job: build } }",
        "elements.Build It is no element name: use 1 to 64 of a-z 0-9 . _ - with a letter or digit first",
        "write `build-it`",
    ),
    (
        "elements:\n  build: §build",
        "elements.build must be a mapping",
        "write `build: {}`, or `build: { job: build, after: … }`",
    ),
    (
        "elements:\n  build: { §need: plan }",
        "elements.build has the unknown key `need`",
        "known keys are job, after, if, with, worker, matrix, for-each, max-parallel, fail-fast, "
        "allow-failure, approval",
    ),
    ("elements:\n  build: { §needs: plan }", "elements.build has the unknown key `needs`", "did you mean `after`?"),
    (
        "elements:\n  build: { §run: make }",
        "elements.build has the unknown key `run`",
        "an element runs a job: write the script as one, and name it by `job`",
    ),
    (
        "elements: { build: {} }\nfinally: { §build: { job: tidy } }",
        "finally.build is there twice",
        "rename one of them",
    ),
    (
        "elements:\n  plan: {}\n  build: { after: §plam }",
        "elements.build.after.plam names no element",
        "did you mean `plan`?",
    ),
    (
        "elements:\n  plan: {}\n  build: { after: [plan, §nowhere] }",
        "elements.build.after.nowhere names no element",
        "known are plan",
    ),
    (
        "elements:\n  plan: {}\n  build: { after: [plan, §plan] }",
        "elements.build.after.1 names `plan` twice",
        "remove one of the two",
    ),
    (
        "elements:\n  build: { after: §[] }",
        "elements.build.after names no element",
        "write `after: build`, `after: [build, test]` or `after: { build: finished }`, or remove the key",
    ),
    (
        "elements:\n  plan: {}\n  build: { after: { plan: §success } }",
        "elements.build.after.plan must be one of succeeded, failed, finished, skipped, aborted, cancelled, "
        'exception, got "success"',
        "did you mean `succeeded`?",
    ),
    (
        "elements:\n  plan: {}\n  build: { after: { plan: [succeeded, §faild] } }",
        "elements.build.after.plan.1 must be one of succeeded, failed, finished, skipped, aborted, cancelled, "
        'exception, got "faild"',
        "did you mean `failed`?",
    ),
    (
        "elements:\n  plan: {}\n  build: { after: { plan: §[] } }",
        "elements.build.after.plan names no rule",
        "write `plan: succeeded`, or `plan: [succeeded, skipped]`",
    ),
    (
        "elements:\n  build: { after: §tidy }\nfinally: { tidy: {} }",
        "elements.build.after.tidy names an element of `finally`, which begins when all ordinary ones are over",
        "remove it, or move this element to `finally`",
    ),
    (
        "elements:\n  build: {}\nfinally: { tidy: { after: { build: §finished } } }",
        "finally.tidy.after.build names an ordinary element: those of `finally` begin when all ordinary ones are over",
        "remove it; an `if` over `states` can ask how it ended",
    ),
    (
        "elements:\n  build: { after: §deploy }\n  test: { after: build }\n  deploy: { after: { test: succeeded } }",
        "elements.build.after.deploy makes a circle, in which nothing could begin: build → test → deploy → build",
        "remove one of its `after`",
    ),
    (
        "elements:\n  build: { after: §build }",
        "elements.build.after.build makes a circle, in which nothing could begin: build → build",
        "remove one of its `after`",
    ),
    (
        "elements:\n  ok: { approval: [lead] }\n  build: { after: { ok: §exception } }",
        "elements.build.after.ok can never be exception: an approval is given, rejected (failed), cancelled or skipped",
        "correct the rules, or remove the element",
    ),
    (
        "elements:\n  plan: { allow-failure: true }\n  build: { after: { plan: §[failed, exception] } }",
        "elements.build.after.plan can never be failed or exception: its failure is allowed and counts as succeeded",
        "correct the rules, or remove the element",
    ),
    (
        "elements:\n  plan: {}\n  test: { after: plan }\n  tidy: { after: { plan: §failed, test: succeeded } }",
        "elements.tidy.after.plan contradicts another of its rules: test begins only if plan is succeeded",
        "correct the rules, or remove the element",
    ),
    (
        "elements:\n  plan: {}\n  test: { after: plan }\n  build: { after: { plan: failed } }\n"
        "  tidy: { after: [§test, build] }",
        "elements.tidy.after.test contradicts another of its rules: test begins only if plan is succeeded, "
        "and build only if it is failed",
        "correct the rules, or remove the element",
    ),
    ("elements: { build: { job: §bild } }", "elements.build.job names the unknown job `bild`", "did you mean `build`?"),
    (
        "elements: { §nothing: {} }",
        "elements.nothing.job names the unknown job `nothing`",
        "add it to this file, or write `job: PROJECT/NAME` of another one",
    ),
    (
        "elements: { build: { job: §shop/bild } }",
        "elements.build.job names the unknown job `bild`",
        "did you mean `build`?",
    ),
    (
        "elements: { build: { job: §a/b/c } }",
        'elements.build.job is no job\'s name: "a/b/c"',
        "write `job: build`, or `job: shop/build`",
    ),
    (
        "elements: { build: { job: §watched } }",
        "elements.build.job names the job `watched`, which only something else can start (`wrapped`)",
        "name another",
    ),
    (
        "elements: { build: { job: §release } }",
        "elements.build.job makes the pipeline contain itself: release → release",
        "let it run another job",
    ),
    (
        "elements: { build: { max-parallel: §2 } }",
        "elements.build.max-parallel means nothing for an element that has one run",
        "remove it, or give the element a `matrix` or `for-each`",
    ),
    (
        "elements: { build: { fail-fast: §true } }",
        "elements.build.fail-fast means nothing for an element that has one run",
        "remove it, or give the element a `matrix` or `for-each`",
    ),
    (
        "elements: { build: { matrix: { os: [linux] }, max-parallel: §0, with: { os: linux } } }",
        "elements.build.max-parallel must be from 1 to 10000, got 0",
        "write `max-parallel: 1`",
    ),
    (
        "elements: { build: { allow-failure: { exit: [§0] } } }",
        "elements.build.allow-failure.exit.0 must be from 1 to 255, got 0",
        "write `allow-failure: { exit: [75] }`",
    ),
    (
        "elements: { build: { allow-failure: { exit: §[] } } }",
        "elements.build.allow-failure.exit names no exit code",
        "write `allow-failure: { exit: [75] }`, or `allow-failure: true`",
    ),
    (
        "elements: { build: { allow-failure: §75 } }",
        "elements.build.allow-failure must be true or false, got 75",
        "write `allow-failure: true`",
    ),
    (
        'elements: { build: { worker: { os: §">= 3" } } }',
        "elements.build.worker.os must be one plain value, which the worker's is equal to",
        "write `os: linux` here, and what compares into the job's own `worker`",
    ),
    (
        "elements: { build: { worker: { os: §[linux, mac] } } }",
        "elements.build.worker.os must be a text, a number or a truth value, got a list",
        "write one plain value",
    ),
    (
        "elements: { build: {}, inner: { job: parts, §worker: { os: linux } } }",
        "elements.inner.worker means nothing here: a pipeline runs nothing by itself",
        "give it to the elements of `parts`",
    ),
    (
        "elements:\n  ok: { approval: §[] }",
        "elements.ok.approval names nobody",
        "write `approval: [lead]`, or `approval: {}` for everybody who may run the pipeline",
    ),
    (
        "elements:\n  ok: { approval: §true }",
        "elements.ok.approval must name who may approve",
        "write `approval: [lead]`, or `approval: { by: [lead], message: Deploy?, timeout: 2d }`",
    ),
    (
        "elements:\n  ok: { approval: [lead, §Ana Lee] }",
        "elements.ok.approval.by.1 is no user's and no role's name: \"Ana Lee\"",
        "use 1 to 64 of a-z 0-9 . _ -",
    ),
    (
        "elements:\n  ok: { approval: { by: [§Ana Lee] } }",
        "elements.ok.approval.by.0 is no user's and no role's name: \"Ana Lee\"",
        "use 1 to 64 of a-z 0-9 . _ -",
    ),
    (
        "elements:\n  ok: { approval: { timeout: §0s } }",
        "elements.ok.approval.timeout must be from 1s to 3650d, got 0s",
        "write `timeout: 2d`",
    ),
    (
        "elements:\n  ok: { approval: { on-timeout: §approve } }",
        "elements.ok.approval.on-timeout stands without `timeout`",
        "add `timeout: 2d`, or remove it",
    ),
    (
        "elements:\n  ok: { approval: { timeout: 2d, on-timeout: §yes } }",
        'elements.ok.approval.on-timeout must be one of approve, reject, got "yes"',
        "write one of approve, reject",
    ),
    (
        "elements:\n  ok: { approval: { message: §'{parameters.nope}' } }",
        "elements.ok.approval.message names the unknown value {parameters.nope}",
        "known parameters: none",
    ),
    (
        "elements:\n  ok: { approval: [lead], job: §build }",
        "elements.ok.job means nothing for an approval, which runs no job",
        "remove it",
    ),
    (
        "elements:\n  ok: { approval: [lead], allow-failure: §true }",
        "elements.ok.allow-failure would take a rejected approval for a given one",
        "remove it; elements after it may ask for `finished`",
    ),
]


@pytest.mark.parametrize(("body", "sentence", "remedy"), CASES)
def test_a_mistake_is_told_with_its_place_and_repair(body: str, sentence: str, remedy: str) -> None:
    problem, place = told(RELEASE, body)

    assert (problem.line, problem.column) == place
    words = problem.sentence.removeprefix("jobs.release").lstrip(".").lstrip()
    assert (words, problem.help) == (sentence, remedy)


def test_pipelines_that_contain_each_other_are_told_with_the_path() -> None:
    text = HEAD + "  outer: { elements: { in: { job: inner } } }\n  inner: { elements: { out: { job: shop/outer } } }\n"

    (problem,) = examine_definition(text, "orchestra.yaml").problems

    assert (problem.line, problem.column) == (21, 35)
    assert problem.sentence == "jobs.outer.elements.in.job makes the pipeline contain itself: outer → inner → outer"


def test_a_circle_of_thousands_is_told_by_its_beginning_and_its_end() -> None:
    elements = "".join(f"      e{n}: {{ job: plan, after: e{(n - 1) % 2000} }}\n" for n in range(2000))

    (problem,) = examine_definition(f"{HEAD}  big:\n    elements:\n{elements}", "orchestra.yaml").problems

    assert problem.sentence.startswith(
        "jobs.big.elements.e0.after.e1999 makes a circle, in which nothing could begin: "
    )
    assert " → e9 → (1,981 more) → e1991 → " in problem.sentence


def test_more_than_5_000_elements_are_refused_with_those_of_finally() -> None:
    elements = "".join(f"      e{n}: {{ job: plan }}\n" for n in range(5000))
    text = f"{HEAD}  big:\n    elements:\n{elements}"

    (problem,) = examine_definition(f"{text}    finally: {{ tidy: {{}} }}\n", "orchestra.yaml").problems

    assert problem.sentence == "jobs.big.elements are more than 5,000 together with those of `finally`"
    assert examine_definition(text, "orchestra.yaml").problems == ()


def test_of_thousands_of_mistakes_the_first_hundred_are_told() -> None:
    elements = "".join(f"      e{n}: {{ job: plan, after: x{n} }}\n" for n in range(3000))

    problems = examine_definition(f"{HEAD}  big:\n    elements:\n{elements}", "orchestra.yaml").problems

    assert len(problems) == 100
