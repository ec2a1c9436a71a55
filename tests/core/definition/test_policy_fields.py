"""How policies are written, and what they come to: reader, schema, Python form and canonical text agree."""

import jsonschema
import pytest

from orchestra.definition.canonical import decode_definition, encode_definition
from orchestra.definition.differences import describe_changes
from orchestra.definition.document import Mapping, Node, Sequence
from orchestra.definition.policy_text import describe_policies
from orchestra.definition.project import Project
from orchestra.definition.reader import read_definition
from orchestra.definition.schema import definition_schema
from orchestra.definition.yaml_text import parse_document
from orchestra.policies import (
    Concurrency,
    Conflict,
    LockDemand,
    PoisonGuard,
    Policies,
    Rate,
    Uniqueness,
    UniqueScope,
    WhenFull,
)
from orchestra.specification import JobSpecification, Operator, ProjectDefinition, Requirement, SlotReserve
from orchestra.storage.jobs import encode_specification

HEAD = """orchestra: 1
project: ops
PROJECT
jobs:
  a:
    run: x
    timeout: 1h
    parameters: { env: { options: [staging, production], default: staging }, repo: { required: true } }
"""


def definition_of(body: str = "", project: str = "") -> tuple[str, ProjectDefinition]:
    """The text of a definition whose one job has these lines, and what it comes to."""
    text = HEAD.replace("PROJECT", project) + "".join(f"    {line}\n" for line in body.splitlines())
    return text, read_definition(text, "orchestra.yaml")


def specification(body: str) -> JobSpecification:
    """What the job says."""
    _, definition = definition_of(body)
    return definition.jobs[0].specification


def plain(node: Node) -> object:
    """The values of a tree, as an editor has them."""
    if isinstance(node, Mapping):
        return {entry.key: plain(entry.node) for entry in node.entries}
    return [plain(item) for item in node.items] if isinstance(node, Sequence) else node.value


def agreed(text: str) -> None:
    """Raises ValidationError if an editor would mark something."""
    jsonschema.validate(plain(parse_document(text, "a")), definition_schema(), cls=jsonschema.Draft7Validator)


GROUP = "deploy-{parameters.env}"
REPO = "{parameters.repo}"
WRITTEN = [
    ("concurrency: 2", Policies(concurrency=Concurrency(limit=2))),
    (f'concurrency: {{ group: "{GROUP}" }}', Policies(concurrency=Concurrency(group=GROUP))),
    *(
        (
            f'concurrency: {{ group: "{GROUP}", limit: 3, when-full: {word} }}',
            Policies(concurrency=Concurrency(group=GROUP, limit=3, when_full=word)),
        )
        for word in WhenFull
    ),
    ("concurrency: { when-full: reject }", Policies(concurrency=Concurrency(when_full=WhenFull.REJECT))),
    ("locks: production", Policies(locks=(LockDemand(name="production"),))),
    ('locks: "db-{parameters.env}"', Policies(locks=(LockDemand(name="db-{parameters.env}"),))),
    (
        "locks: [production, { name: license, count: 2 }, { name: db }]",
        Policies(locks=(LockDemand(name="production"), LockDemand(name="license", count=2), LockDemand(name="db"))),
    ),
    ("locks: { name: license, count: 2 }", Policies(locks=(LockDemand(name="license", count=2),))),
    ("rate: 10 per 1m", Policies(rate=Rate(starts=10, per_seconds=60))),
    ("rate: 1 per 1h30m", Policies(rate=Rate(starts=1, per_seconds=5400))),
    ("rate: { starts: 10, per: 1m }", Policies(rate=Rate(starts=10, per_seconds=60))),
    (f'unique: "{REPO}"', Policies(unique=Uniqueness(key=REPO))),
    ("unique: nightly", Policies(unique=Uniqueness(key="nightly"))),
    *(
        (
            f'unique: {{ key: "{REPO}", scope: {scope}, conflict: {conflict} }}',
            Policies(unique=Uniqueness(key=REPO, scope=UniqueScope(scope), conflict=conflict)),
        )
        for scope in ("pending", "active")
        for conflict in Conflict
    ),
    *(
        (
            f'unique: {{ key: "{REPO}", scope: {scope} }}',
            Policies(unique=Uniqueness(key=REPO, scope=UniqueScope.WINDOW, window_seconds=3600)),
        )
        for scope in ("window 1h", "{ window: 60m }")
    ),
    ("poison: { lost: 3, within: 1h }", Policies(poison=PoisonGuard(lost=3, within_seconds=3600))),
]


@pytest.mark.parametrize(("written", "read"), WRITTEN)
def test_a_policy_is_read_kept_and_known_to_the_editor(written: str, read: Policies) -> None:
    text, definition = definition_of(written)

    agreed(text)

    assert definition.jobs[0].specification.policies == read
    assert decode_definition(encode_definition(definition)) == definition


def test_a_pipeline_may_be_unique() -> None:
    text = "orchestra: 1\nproject: ops\njobs:\n  a: { run: x }\n  p: { elements: { a: {} }, unique: one }\n"

    agreed(text)

    assert read_definition(text, "a").jobs[1].specification.policies == Policies(unique=Uniqueness(key="one"))


ANYWHERE = SlotReserve(count=2)
LINUX = (Requirement(name="os", operator=Operator.IN, values=("linux",)),)
SHARED: list[tuple[str, dict[str, int], int, SlotReserve | None]] = [
    ("locks: { license: 5, production: 1 }", {"license": 5, "production": 1}, 1, None),
    ("slots: { share: 3 }", {}, 3, None),
    ("slots: { reserve: { count: 2 } }", {}, 1, ANYWHERE),
    ("slots: { reserve: { count: 2, project: ops } }", {}, 1, ANYWHERE),
    (
        "slots: { share: 2, reserve: { count: 1, worker: { os: linux } } }",
        {},
        2,
        SlotReserve(count=1, requirements=LINUX),
    ),
    (
        'slots: { reserve: { count: 1, worker: { gpu: ">= 1", pool: { not: [x, y] } } } }',
        {},
        1,
        SlotReserve(
            count=1,
            requirements=(
                Requirement(name="gpu", operator=Operator.AT_LEAST, values=("1",)),
                Requirement(name="pool", operator=Operator.NOT_IN, values=("x", "y")),
            ),
        ),
    ),
    ("", {}, 1, None),
]


@pytest.mark.parametrize(("written", "locks", "share", "reserve"), SHARED)
def test_what_a_project_says_for_all_is_read_kept_and_known_to_the_editor(
    written: str, locks: dict[str, int], share: int, reserve: SlotReserve | None
) -> None:
    text, definition = definition_of(project=written)

    agreed(text)

    assert (definition.locks, definition.share, definition.reserve) == (locks, share, reserve)
    assert decode_definition(encode_definition(definition)) == definition


@pytest.mark.parametrize(
    "body",
    [
        "concurrency: 0",
        "concurrency: { limit: 0 }",
        "concurrency: deploy",
        "concurrency: { when-full: wait }",
        "locks: []",
        "locks: [{ count: 2 }]",
        "locks: [{ name: a, count: 0 }]",
        "rate: 10/m",
        "rate: { starts: 10 }",
        "rate: { starts: 0, per: 1m }",
        "unique: { scope: active }",
        "unique: { key: x, scope: window }",
        "unique: { key: x, conflict: ignore }",
        "poison: 3",
        "poison: { lost: 3 }",
    ],
)
def test_plain_mistakes_are_seen_by_the_editor_too(body: str) -> None:
    text = HEAD.replace("PROJECT", "") + f"    {body}\n"

    with pytest.raises(jsonschema.ValidationError):
        agreed(text)


@pytest.mark.parametrize(
    "project",
    [
        "locks: [license]",
        "locks: { license: 0 }",
        "slots: 3",
        "slots: { share: 0 }",
        "slots: { reserve: 1 }",
        "slots: { reserve: { count: 0 } }",
        "slots: { reserve: { count: 1, worker: { prefer: { disk: ssd } } } }",
    ],
)
def test_plain_mistakes_of_a_project_are_seen_by_the_editor_too(project: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        agreed(HEAD.replace("PROJECT", project))


def test_the_python_form_says_the_same() -> None:
    body = (
        f'concurrency: {{ group: "{GROUP}", when-full: reject }}\nlocks: [{{ name: license, count: 2 }}]\n'
        f'rate: 10 per 1m\nunique: "{REPO}"\npoison: {{ lost: 3, within: 1h }}'
    )
    slots = {"share": 3, "reserve": {"count": 1, "worker": {"os": "linux"}}}

    ops = Project("ops", locks={"license": 5}, slots=slots).job(
        "a",
        run="x",
        timeout="1h",
        parameters={"env": {"options": ["staging", "production"], "default": "staging"}, "repo": {"required": True}},
        concurrency={"group": GROUP, "when-full": "reject"},
        locks=[{"name": "license", "count": 2}],
        rate="10 per 1m",
        unique=REPO,
        poison={"lost": 3, "within": "1h"},
    )

    project = "locks: { license: 5 }\nslots: { share: 3, reserve: { count: 1, worker: { os: linux } } }"
    assert ops.definition() == definition_of(body, project)[1]


CHANGES = [
    ("concurrency: 1", "concurrency: 2", "concurrency.limit: 1 → 2"),
    ("concurrency: 1", "concurrency: { when-full: reject }", "concurrency.when-full: queue → reject"),
    ("", "concurrency: 2", "concurrency"),
    ("locks: a", "locks: [a, b]", "locks"),
    ("rate: 10 per 1m", "rate: 10 per 5m", "rate.per: 1m → 5m"),
    ("unique: x", "unique: { key: x, scope: window 1h }", "unique.scope: active → window, unique.window: none → 1h"),
    ("poison: { lost: 3, within: 1h }", "poison: { lost: 2, within: 1h }", "poison.lost: 3 → 2"),
]  # fmt: skip


WORDS = [
    ("concurrency: 1", ("concurrency", "one at a time; waits if full")),
    (
        f'concurrency: {{ group: "{GROUP}", limit: 2, when-full: cancel-pending }}',
        ("concurrency", f"2 at a time in group {GROUP}; if full it waits, and those that waited are cancelled"),
    ),
    (
        "concurrency: { when-full: cancel-running }",
        ("concurrency", "one at a time; if full, those before it are stopped"),
    ),
    ("concurrency: { when-full: reject }", ("concurrency", "one at a time; refused if full")),
    ("locks: [production, { name: license, count: 2 }]", ("locks", "production, 2 of license")),
    ("rate: 10 per 1m", ("rate", "10 starts in any 1 min")),
    ("unique: x", ("unique", "x among the runs that are not over; another is refused")),
    (
        "unique: { key: x, scope: pending, conflict: replace }",
        ("unique", "x among the runs that wait; another stops that one"),
    ),
    (
        "unique: { key: x, scope: window 1h, conflict: return-existing }",
        (
            "unique",
            "x among the runs that are not over or were made in the last 1 h; whoever asks for another gets that one",
        ),
    ),
    ("poison: { lost: 3, within: 1h }", ("poison", "quarantined after 3 attempts lost within 1 h")),
]


@pytest.mark.parametrize(("written", "words"), WORDS)
def test_a_policy_has_one_line_of_words(written: str, words: tuple[str, str]) -> None:
    assert [*describe_policies(specification(written).policies)] == [words]


@pytest.mark.parametrize(("before", "after", "words"), CHANGES)
def test_what_changes_is_told_in_the_words_of_the_file(before: str, after: str, words: str) -> None:
    assert describe_changes(specification(before), specification(after)) == words


def test_a_job_that_says_nothing_of_policies_is_stored_as_it_was_before_there_were_any() -> None:
    text = "orchestra: 1\nproject: ops\njobs:\n  tidy: { run: ls, timeout: 1m }\n"

    (job,) = read_definition(text, "orchestra.yaml").jobs

    assert "policies" not in encode_specification(job.specification)
