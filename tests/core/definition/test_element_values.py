"""What is told of a matrix, of values and of templates that could not work: place, sentence and repair."""

import pytest

from tests.core.definition.marked import told
from tests.core.definition.pipeline_examples import HEAD

RELEASE = f"""{HEAD}  release:
    parameters:
      env: {{ options: [staging, production], default: staging }}
      count: {{ type: integer, default: 3 }}
      dry-run: {{ type: boolean, default: false }}
      token: {{ type: secret }}
"""
LONG = ", ".join(f"v{number}" for number in range(101))

MATRICES = [
    (
        "elements:\n  ok: { approval: [lead], §matrix: { os: [a] } }",
        "elements.ok.matrix means nothing for an approval, which runs no job",
        "remove it",
    ),
    (
        "elements: { build: { §matrix: {} } }",
        "elements.build.matrix has no axis",
        "write `matrix: { os: [linux, windows] }`",
    ),
    (
        "elements: { build: { matrix: { os: §[] } } }",
        "elements.build.matrix.os is an axis without values",
        "write `os: [linux, windows]`, or remove it",
    ),
    (
        "elements: { build: { matrix: { os: §linux } } }",
        'elements.build.matrix.os must be a list, got "linux"',
        "write `os: [linux, windows]`",
    ),
    (
        "elements: { build: { matrix: { os: [linux, §{ a: b }] } } }",
        "elements.build.matrix.os.1 must be a text, a number or a truth value, got a mapping",
        "write one plain value",
    ),
    (
        "elements: { build: { matrix: { os: [linux, mac, §linux] } } }",
        "elements.build.matrix.os.2 has the value linux twice",
        "remove one of the two",
    ),
    (
        "elements: { build: { matrix: { OS: §[linux] } } }",
        "elements.build.matrix.OS is no axis name: use 1 to 64 of a-z 0-9 _ - with a letter first",
        "rename it",
    ),
    (
        "elements: { build: { matrix: { os: [a], exclude: [{ so: §a }] } } }",
        "elements.build.matrix.exclude.0.so is no axis of the matrix",
        "its axes are os",
    ),
    (
        "elements: { build: { matrix: { os: [a], exclude: §[{ os: a }] } } }",
        "elements.build.matrix.exclude leaves no combination",
        "remove the element, or some of these",
    ),
    (
        "elements: { build: { matrix: { os: [a], arch: [x], include: [§{ os: b }] } } }",
        "elements.build.matrix.include.0 gives no value for arch",
        "add `arch: …`",
    ),
    (
        "elements: { build: { matrix: { os: [a], include: [{ os: §[b] }] } } }",
        "elements.build.matrix.include.0.os must be a text, a number or a truth value, got a list",
        "write one plain value",
    ),
    (
        "elements: { build: { matrix: { os: [a], include: [{ os: b, extra: §1 }] } } }",
        "elements.build.matrix.include.0.extra is no axis of the matrix",
        "its axes are os",
    ),
    (
        "elements: { build: { §matrix: { a: [LONG], b: [LONG] } } }",
        "elements.build.matrix has more than 10,000 combinations",
        "remove values, or split the element",
    ),
    (
        "elements: { build: { §matrix: { a: [LONG], b: [LONG], c: [LONG] } } }",
        "elements.build.matrix has 1,030,301 combinations before `exclude`; at most 10,000 combinations are allowed",
        "remove values",
    ),
    (
        "elements:\n  plan: {}\n  build: { after: plan, matrix: { os: [a] }, for-each: §results.plan.x }",
        "elements.build.for-each stands beside `matrix`",
        "keep one of the two",
    ),
]

VALUES = [
    (
        "elements: { build: { with: { oss: §linux } } }",
        "elements.build.with.oss is no parameter of the job `build`",
        "did you mean `os`?",
    ),
    (
        "elements: { plan: { with: { os: §linux } } }",
        "elements.plan.with.os is no parameter of the job `plan`",
        "the job has none",
    ),
    (
        "elements: { build: { with: { os: §solaris } } }",
        'elements.build.with.os must be one of linux, windows, mac, got "solaris"',
        "correct the value",
    ),
    (
        "elements: { build: { with: { count: §ten } } }",
        'elements.build.with.count must be a whole number, got "ten"',
        "correct the value",
    ),
    (
        "elements: { build: { with: { §count: { a: b } } } }",
        "elements.build.with.count must be a text, a number or a truth value, got a mapping",
        "write one plain value",
    ),
    (
        "elements: { deploy: { with: { target: §'A_B' } } }",
        'elements.deploy.with.target must match [a-z0-9-]+, got "A_B"',
        "correct the value",
    ),
    (
        "elements: { deploy: { with: { key: §hunter22 } } }",
        "elements.deploy.with.key is a secret of the job `deploy`",
        "a secret is passed on by giving the pipeline a secret parameter of the same name",
    ),
    (
        "elements: { §note: {} }",
        "elements.note.with gives no value for the parameter `text`, which the job `note` requires",
        "add `with: { text: … }`, or a default to the job",
    ),
    (
        "elements: { note: { §with: {} } }",
        "elements.note.with gives no value for the parameter `text`, which the job `note` requires",
        "add `with: { text: … }`, or a default to the job",
    ),
    (
        "elements: { §sign: {} }",
        "elements.sign.job needs the secret `key` for the job `sign`, which the pipeline does not have",
        "add `parameters: { key: { type: secret, required: true } }` to the pipeline",
    ),
    (
        "elements: { build: { with: { os: §'{parameters.envv}' } } }",
        "elements.build.with.os names the unknown value {parameters.envv}",
        "did you mean {parameters.env}?",
    ),
    (
        "elements: { build: { with: { os: §'{env}' } } }",
        "elements.build.with.os names the unknown value {env}",
        "did you mean {parameters.env}?",
    ),
    (
        "elements: { build: { with: { os: §'{parameters.token}' } } }",
        "elements.build.with.os names the secret `token`, which stands in no text",
        "give the job a secret parameter of the same name",
    ),
    (
        "elements: { build: { with: { os: §'{matrix.os}' } } }",
        "elements.build.with.os names {matrix.os} without a matrix",
        "give the element a `matrix`, or remove it",
    ),
    (
        "elements: { build: { matrix: { os: [a] }, with: { os: §'{matrix.so}' } } }",
        "elements.build.with.os names the unknown value {matrix.so}",
        "its axes are os",
    ),
    (
        "elements: { build: { with: { os: §'{item}' } } }",
        "elements.build.with.os names {item} without `for-each`",
        "add `for-each: results.ELEMENT.NAME`, or remove it",
    ),
    (
        "elements: { build: { with: { os: §'{run.attempt}' } } }",
        "elements.build.with.os names the unknown value {run.attempt}",
        "write {run.number}, the number of the pipeline's run",
    ),
    (
        "elements: { build: { with: { os: §'{environment.HOME}' } } }",
        "elements.build.with.os names the unknown value {environment.HOME}",
        "write {parameters.NAME}, {results.ELEMENT.NAME}, {run.number} or {{ for a brace",
    ),
    (
        "elements: { build: { with: { os: §'{run.number!r}' } } }",
        "elements.build.with.os holds the conversion !r, which is not allowed",
        "write {run.number}",
    ),
    (
        "elements: { build: { with: { os: §'{run.number:{run.number}}' } } }",
        "elements.build.with.os holds a template within the template {run.number}",
        "write the width as a number",
    ),
    (
        "elements: { build: { with: { os: §'{' } } }",
        "elements.build.with.os holds a brace that is no template (single '{' encountered in format string)",
        "write {{ or }} for a literal brace",
    ),
    (
        "elements: { plan: {}, build: { with: { os: §'{results.plan.os}' } } }",
        "elements.build.with.os names the results of `plan`, which is not over before it begins",
        "add `after: plan`",
    ),
    (
        "elements: { plan: {}, build: { after: plan, with: { os: §'{results.plam.os}' } } }",
        "elements.build.with.os names the results of the unknown element `plam`",
        "did you mean `plan`?",
    ),
    (
        "elements: { plan: {}, build: { after: plan, with: { os: §'{results.plan}' } } }",
        "elements.build.with.os names no result of `plan`",
        "write {results.plan.NAME}",
    ),
    (
        "elements: { build: { with: { os: §'{results.build.os}' } } }",
        "elements.build.with.os names the results of itself",
        "remove it",
    ),
    (
        "elements: { build: { worker: { os: §'{matrix.os}' } } }",
        "elements.build.worker.os names {matrix.os} without a matrix",
        "give the element a `matrix`, or remove it",
    ),
    (
        "elements: { plan: {}, build: { for-each: §results.plan.x } }",
        "elements.build.for-each names the results of `plan`, which is not over before it begins",
        "add `after: plan`",
    ),
    (
        "elements: { plan: {}, build: { after: plan, for-each: §plan.x } }",
        'elements.build.for-each must be results.ELEMENT.NAME, got "plan.x"',
        "write `for-each: results.ELEMENT.NAME`, with an element before this one",
    ),
    (
        "elements: { plan: {}, build: { after: plan, for-each: §results.plan } }",
        'elements.build.for-each must be results.ELEMENT.NAME, got "results.plan"',
        "write `for-each: results.ELEMENT.NAME`, with an element before this one",
    ),
    (
        "elements: { plan: {}, build: { after: plan, for-each: §'{results.plan.x}' } }",
        "elements.build.for-each is no template, but a path",
        "write `for-each: results.plan.x`",
    ),
    (
        "elements: { plan: {}, build: { after: plan, for-each: §[a, b] } }",
        "elements.build.for-each must name a list that an element before it has found out",
        "write `for-each: results.plan.targets`; a list that is known beforehand is a `matrix`",
    ),
    (
        "elements: { plan: {} }\nfinally: { tidy: { for-each: §results.last.x }, last: { job: test } }",
        "finally.tidy.for-each names the results of `last`, which is not over before it begins",
        "remove it",
    ),
]


@pytest.mark.parametrize(("body", "sentence", "remedy"), MATRICES + VALUES)
def test_a_mistake_is_told_with_its_place_and_repair(body: str, sentence: str, remedy: str) -> None:
    problem, place = told(RELEASE, body.replace("LONG", LONG))

    assert (problem.line, problem.column) == place
    assert (problem.sentence.removeprefix("jobs.release."), problem.help) == (sentence, remedy)
