"""Policies that could never be met, or mean nothing, are refused where they stand, with the repair."""

import msgspec
import pytest

from orchestra.definition.canonical import decode_definition
from orchestra.definition.checks import require_usable
from orchestra.definition.reader import examine_definition
from orchestra.errors import InvalidFields
from tests.core.definition.marked import told

HEAD = """orchestra: 1
project: ops
locks: { license: 2, db-staging: 2, db-production: 1 }
jobs:
  a:
    run: x
    timeout: 1h
    parameters:
      env: { options: [staging, production], default: staging }
      repo: { required: true }
      label: {}
      count: { type: integer, default: 1 }
      key: { type: secret, required: true }
"""
DURATION = "must be a duration such as 45m or 1h30m"
REFUSED = [
    ("concurrency: §0", "concurrency.limit must be from 1 to 10000, got 0", "write `limit: 1`"),
    ("concurrency: { limit: §0 }", "concurrency.limit must be from 1 to 10000, got 0", "write `limit: 1`"),
    (
        "concurrency: { limit: §two }",
        'concurrency.limit must be a whole number, got "two"',
        "write `limit: 3`",
    ),
    (
        "concurrency: §deploy",
        'concurrency must be a whole number, or a mapping, got "deploy"',
        'write `concurrency: 1`, or `concurrency: { group: "deploy-{parameters.env}" }`',
    ),
    (
        "concurrency: { when-full: §stop }",
        'concurrency.when-full must be one of queue, cancel-pending, cancel-running, reject, got "stop"',
        "write one of queue, cancel-pending, cancel-running, reject",
    ),
    (
        "concurrency: { when-full: §rejct }",
        'concurrency.when-full must be one of queue, cancel-pending, cancel-running, reject, got "rejct"',
        "did you mean `reject`?",
    ),
    ("concurrency: { §max: 1 }", "concurrency has the unknown key `max`", "did you mean `limit`?"),
    (
        'concurrency: { group: §"" }',
        "concurrency.group is empty",
        "write `group: deploy`, or a template such as `deploy-{parameters.env}`",
    ),
    (
        'concurrency: { group: §"deploy-{env}" }',
        "concurrency.group names {env}, and when a run is made only its parameters are known",
        "did you mean {parameters.env}?",
    ),
    (
        'concurrency: { group: §"{run.number}" }',
        "concurrency.group names {run.number}, and when a run is made only its parameters are known",
        "write {parameters.NAME}, or {{ for a brace",
    ),
    (
        'concurrency: { group: §"{parameters.enw}" }',
        "concurrency.group names the unknown value {parameters.enw}",
        "did you mean {parameters.env}?",
    ),
    (
        'concurrency: { group: §"{parameters.xyz}" }',
        "concurrency.group names the unknown value {parameters.xyz}",
        "known parameters: env, repo, label, count, key",
    ),
    (
        'concurrency: { group: §"{parameters.key}" }',
        "concurrency.group names the secret {parameters.key}, and a name is shown to everybody",
        "name another parameter",
    ),
    (
        'concurrency: { group: §"{parameters.label}" }',
        "concurrency.group names {parameters.label}, which a run may lack",
        "give the parameter `label` a default, or `required: true`",
    ),
    (
        'concurrency: { group: §"{parameters.env!r}" }',
        "concurrency.group holds the conversion !r, which is not allowed",
        "write {parameters.env}",
    ),
    (
        'concurrency: { group: §"{parameters.repo:d}" }',
        "concurrency.group cannot be filled in: unknown format code 'd' for object of type 'str' "
        "(write {{ or }} for a literal brace)",
        "write the parameter without a format",
    ),
    (
        "concurrency: { group: §'a}' }",
        "concurrency.group holds a brace that is no template (single '}' encountered in format string)",
        "write {{ or }} for a literal brace",
    ),
    ('concurrency: { group: §"a\\nb" }', "concurrency.group must be one line of 1 to 500 characters", ""),
    ("locks: §[]", "locks names no lock", "write `locks: [production]`, or remove the key"),
    (
        "locks: [{ §license: 2 }]",
        "locks.0 has the unknown key `license`",
        "write `{ name: license, count: 2 }`",
    ),
    ("locks: [§{ count: 2 }]", "locks.0 names no lock", "write `{ name: license, count: 2 }`"),
    (
        "locks: [{ name: license, count: §0 }]",
        "locks.0.count must be from 1 to 10000, got 0",
        "write `count: 1`",
    ),
    (
        "locks: [{ name: license, count: §3 }]",
        "locks.0.count takes 3 of the lock `license`, of which there is 2: it would wait for ever",
        "write `count: 2`, or raise the capacity of the lock",
    ),
    (
        'locks: [{ name: "db-{parameters.env}", count: §2 }]',
        "locks.0.count takes 2 of the lock `db-production`, of which there is 1: it would wait for ever",
        "write `count: 1`, or raise the capacity of the lock",
    ),
    (
        "locks: [production, §production]",
        "locks.1 names the lock `production` again",
        "name it once, with a `count`",
    ),
    (
        'locks: §"{parameters.label}"',
        "locks.0.name names {parameters.label}, which a run may lack",
        "give the parameter `label` a default, or `required: true`",
    ),
    ("rate: §10/m", 'rate must be so many starts per time, got "10/m"', "write `rate: 10 per 1m`"),
    ("rate: §10 per minute", 'rate must be so many starts per time, got "10 per minute"', "write `rate: 10 per 1m`"),
    ("rate: §10", "rate must be so many starts per time, got 10", "write `rate: 10 per 1m`"),
    ("rate: §0 per 1m", "rate.starts must be from 1 to 10000, got 0", "write `starts: 1`"),
    ("rate: §1 per 1ms", "rate.per must be from 1s to 366d, got 1ms", "write `per: 1s`"),
    ("§rate: { starts: 10 }", "rate says no `per`", "write `rate: { starts: 10, per: 1m }`"),
    ("rate: { starts: 10, per: §60 }", f"rate.per {DURATION}, got 60", "write `per: 60s`; units are ms s m h d w"),
    ("§unique: { scope: active }", "unique does not say what is unique", 'add `key: "{parameters.NAME}"`'),
    ("unique: §''", "unique.key is empty", "write `key: deploy`, or a template such as `deploy-{parameters.env}`"),
    (
        "unique: { key: x, scope: §actve }",
        'unique.scope must be pending, active, or window with a duration, got "actve"',
        "did you mean `active`?",
    ),
    (
        "unique: { key: x, scope: §window }",
        'unique.scope must be pending, active, or window with a duration, got "window"',
        "write `scope: active`, or `scope: window 1h`",
    ),
    (
        "unique: { key: x, scope: §window 400d }",
        "unique.scope must look back from 1ms to 366d, got 400d",
        "write `scope: window 1h`",
    ),
    ("unique: { key: x, §window: 1h }", "unique has the unknown key `window`", "did you mean `scope: window 1h`?"),
    (
        "unique: { key: x, conflict: §replce }",
        'unique.conflict must be one of reject, return-existing, replace, got "replce"',
        "did you mean `replace`?",
    ),
    ("poison: §3", "poison must be a mapping, got 3", "write `poison: { lost: 3, within: 1h }`"),
    ("§poison: {}", "poison says no `lost` and no `within`", "write `poison: { lost: 3, within: 1h }`"),
    ("poison: { lost: §0, within: 1h }", "poison.lost must be from 1 to 1000, got 0", "write `lost: 1`"),
    ("poison: { lost: 3, within: §0s }", "poison.within must be from 1s to 366d, got 0s", "write `within: 1s`"),
]


@pytest.mark.parametrize(("body", "sentence", "remedy"), REFUSED)
def test_a_policy_that_can_never_be_met_is_refused_in_its_place(body: str, sentence: str, remedy: str) -> None:
    problem, place = told(HEAD, body)

    assert (problem.sentence, problem.help) == (f"jobs.a.{sentence}", remedy)
    assert (problem.line, problem.column) == place


PIPELINE = "orchestra: 1\nproject: ops\njobs:\n  a: { run: x }\n  p:\n    elements: { a: {} }\n"
WRAPPED = "orchestra: 1\nproject: ops\njobs:\n  p:\n    wrapped: true\n"
NOT_FOR_PIPELINES = ["concurrency: §1", "locks: §[x]", "rate: §1 per 1m", "poison: §{ lost: 3, within: 1h }"]


@pytest.mark.parametrize("body", NOT_FOR_PIPELINES)
def test_a_pipeline_has_no_policies_about_workers(body: str) -> None:
    problem, place = told(PIPELINE, body)

    key = body.partition(":")[0]
    assert problem.sentence == f"jobs.p.{key} means nothing here: a pipeline runs nothing by itself"
    assert problem.help == "give it to the jobs of its elements"
    assert problem.line == place[0]


@pytest.mark.parametrize("body", [*NOT_FOR_PIPELINES, "unique: §x"])
def test_a_wrapped_job_has_no_policies(body: str) -> None:
    problem, place = told(WRAPPED, body)

    key = body.partition(":")[0]
    assert problem.sentence == f"jobs.p.{key} means nothing for a job that is `wrapped`"
    assert problem.help == f"remove `{key}`, or `wrapped`"
    assert problem.line == place[0]


SHARED = [
    (
        "locks: §[license]",
        "locks must be a mapping of names to how many there are, got a list",
        "write `locks: { license: 5 }`; those of which there is one need no declaration",
    ),
    ("locks: { license: §0 }", "locks.license must be from 1 to 10000, got 0", "write `license: 1`"),
    ("locks: { license: §many }", 'locks.license must be a whole number, got "many"', "write `license: 3`"),
    (
        'locks: { "db-{parameters.env}": §2 }',
        "locks.db-{parameters.env} has a brace in its name, and what is declared is no template",
        "write the whole name",
    ),
    ('locks: { " ": §2 }', "locks.  must have a name of one line, of 1 to 200 characters", ""),
    (
        "slots: §3",
        "slots must be a mapping, got 3",
        "write `slots: { share: 3 }`; how many a run fills belongs to its job",
    ),
    ("slots: { §weight: 3 }", "slots has the unknown key `weight`", "did you mean `share`?"),
    ("slots: { share: §0 }", "slots.share must be from 1 to 1000, got 0", "write `share: 1`"),
    ("slots: { share: §0.5 }", "slots.share must be a whole number, got 0.5", "write `share: 3`"),
    (
        "slots: { reserve: §2 }",
        "slots.reserve must be a mapping, got 2",
        "write `reserve: { count: 1, worker: { os: linux } }`",
    ),
    ("slots: { reserve: { count: §0 } }", "slots.reserve.count must be from 1 to 10000, got 0", "write `count: 1`"),
    (
        "slots: { §reserve: { worker: { os: linux } } }",
        "slots.reserve does not say how many slots",
        "write `reserve: { count: 1, worker: { os: linux } }`",
    ),
    (
        "slots: { reserve: { count: 1, project: §shop } }",
        "slots.reserve.project is `shop`, but a file reserves slots for its own project alone",
        "write it into the file of `shop`, or remove `project`",
    ),
    (
        'slots: { reserve: { count: 1, worker: { gpu: §">= many" } } }',
        'slots.reserve.worker.gpu must compare with a number or a size such as 32GB, got "many"',
        'write `gpu: ">= 2"`',
    ),
    (
        "slots: { reserve: { count: 1, worker: { sticky: §true } } }",
        "slots.reserve.worker.sticky is no property: a reserve is kept on the workers that have what is asked",
        "remove it",
    ),
    (
        "slots: { reserve: { count: 1, worker: §linux } }",
        'slots.reserve.worker must be a mapping of properties, got "linux"',
        "",
    ),
]


@pytest.mark.parametrize(("line", "sentence", "remedy"), SHARED)
def test_what_a_project_cannot_say_for_all_is_refused_in_its_place(line: str, sentence: str, remedy: str) -> None:
    (problem,) = examine_definition(f"orchestra: 1\nproject: ops\n{line.replace('§', '')}\n", "a.yaml").problems

    assert (problem.sentence, problem.help) == (sentence, remedy)
    assert (problem.line, problem.column) == (3, line.index("§") + 1)


HINTED = [
    (
        "rate: 1 per 2d",
        "rate is longer than `expire-after` of 1d: what waits for it is cancelled before",
        "add `expire-after: 4d`",
    ),
    ("unique: { key: x, scope: window 500ms }", "unique.scope looks back for 500ms only", "did you mean `window 1m`?"),
    (
        "locks: [{ name: gpu, count: 2 }]",
        "locks.0 takes 2 of the lock `gpu`, of which there is 1 unless a project declares it",
        "add `locks: { gpu: 2 }` to this file, or apply the one that has it first",
    ),
]


@pytest.mark.parametrize(("body", "sentence", "remedy"), HINTED)
def test_a_policy_that_hardly_does_what_is_meant_is_a_hint(body: str, sentence: str, remedy: str) -> None:
    reading = examine_definition(HEAD + f"    {body}\n", "a.yaml")

    assert reading.problems == ()
    assert [(hint.sentence, hint.help, hint.line) for hint in reading.hints] == [(f"jobs.a.{sentence}", remedy, 14)]


def test_jobs_that_do_not_agree_about_their_group_are_a_hint() -> None:
    jobs = "".join(
        f"  {name}: {{ run: x, timeout: 1h, concurrency: {{ group: deploy, limit: {limit} }} }}\n"
        for name, limit in (("b", 1), ("c", 2), ("d", 1))
    )

    reading = examine_definition(HEAD + jobs, "a.yaml")

    [hint] = reading.hints
    assert hint.sentence == "jobs.c.concurrency.limit is 2, but 1 in `b`, which is of the same group"


@pytest.mark.parametrize(
    "body",
    [
        "rate: 1 per 1d",
        "rate: 1 per 2d\nexpire-after: 4d",
        "unique: { key: x, scope: window 1s }",
        "locks: [{ name: license, count: 2 }, production]",
        'locks: [{ name: "db-{parameters.repo}", count: 2 }]',
        'concurrency: { group: "{parameters.count:03}-{parameters.env}" }',
        'concurrency: { group: "{{literally}}" }',
    ],
)
def test_what_is_wise_brings_neither(body: str) -> None:
    reading = examine_definition(HEAD + "".join(f"    {line}\n" for line in body.splitlines()), "a.yaml")

    assert (reading.problems, reading.hints) == ((), ())


FROM_PROGRAMS = [
    ('{"concurrency":{"limit":0}}', "/jobs/a/concurrency/limit"),
    ('{"unique":{"key":"x","scope":"window"}}', "/jobs/a/unique/scope"),
    ('{"unique":{"key":"x","window_seconds":60}}', "/jobs/a/unique/scope"),
    ('{"locks":[{"name":""}]}', "/jobs/a/locks/0/name"),
    ('{"rate":{"starts":0,"per_seconds":60}}', "/jobs/a/rate/starts"),
    (msgspec.json.encode({"locks": [{"name": f"lock-{number}"} for number in range(21)]}).decode(), "/jobs/a/locks"),
]


@pytest.mark.parametrize(("policies", "pointer"), FROM_PROGRAMS)
def test_what_a_program_says_goes_through_the_same_checks(policies: str, pointer: str) -> None:
    execution = '{"steps":[{"name":"x","run":"x"}]}'
    text = f'{{"name":"ops","jobs":[{{"name":"a","specification":{{"execution":{execution},"policies":{policies}}}}}]}}'

    with pytest.raises(InvalidFields) as refused:
        require_usable(decode_definition(text))

    assert [place for place, _ in refused.value.problems] == [pointer]


def test_what_a_program_says_of_the_slots_goes_through_the_same_checks() -> None:
    reserve = '{"count":0,"requirements":[{"name":"1","operator":"in","values":["x"]}]}'

    with pytest.raises(InvalidFields) as refused:
        require_usable(decode_definition(f'{{"name":"ops","locks":{{"a":0}},"share":0,"reserve":{reserve}}}'))

    assert [place for place, _ in refused.value.problems] == [
        "/locks/a", "/slots/share", "/slots/reserve/count", "/slots/reserve/worker/1",
    ]  # fmt: skip
