"""How retries and limits are written, what of them is refused, and what is only unwise."""

import jsonschema
import pytest

from orchestra.definition.canonical import encode_definition
from orchestra.definition.differences import describe_changes
from orchestra.definition.document import Mapping, Node, Sequence
from orchestra.definition.problems import DefinitionErrors
from orchestra.definition.project import Project, Retry
from orchestra.definition.reader import examine_definition, read_definition
from orchestra.definition.retry_text import describe_retry
from orchestra.definition.schema import definition_schema
from orchestra.definition.yaml_text import parse_document
from orchestra.limits import DELAY_SECONDS_MAX
from orchestra.specification import Jitter, JobSpecification, RetryPolicy

HEAD = "orchestra: 1\nproject: ops\njobs:\n  a:\n"


def text_of(body: str) -> str:
    """A definition of one job."""
    return HEAD + "".join(f"    {line}\n" for line in body.splitlines())


def specification(body: str) -> JobSpecification:
    """What a job says."""
    [job] = read_definition(text_of(body), "orchestra.yaml").jobs
    return job.specification


def plain(node: Node) -> object:
    """The values of a tree, as an editor has them."""
    if isinstance(node, Mapping):
        return {entry.key: plain(entry.node) for entry in node.entries}
    return [plain(item) for item in node.items] if isinstance(node, Sequence) else node.value


WRITTEN = [
    ("{ max-attempts: 3 }", RetryPolicy(max_attempts=3)),
    ("{ max-attempts: 3, max-wait: 10m }", RetryPolicy(max_attempts=3, max_wait_seconds=600)),
    ("{ max-attempts: 3, jitter: full }", RetryPolicy(max_attempts=3, jitter=Jitter.FULL)),
    ("{ max-attempts: 3, jitter: none }", RetryPolicy(max_attempts=3)),
    ("{ max-attempts: 3, on: setup }", RetryPolicy(max_attempts=3, on=("setup",))),
    ("{ max-attempts: 3, never: exit:2 }", RetryPolicy(max_attempts=3, never=("exit:2",))),
    (
        "{ max-attempts: 3, never: [timeout, { exit: [2, 64] }] }",
        RetryPolicy(max_attempts=3, never=("timeout", "exit:2", "exit:64")),
    ),
    ("{ max-attempts: 3, avoid-worker: true }", RetryPolicy(max_attempts=3, avoid_worker=True)),
]


@pytest.mark.parametrize(("written", "read"), WRITTEN)
def test_a_retry_policy_is_read_and_the_editor_agrees(written: str, read: RetryPolicy) -> None:
    text = text_of(f"run: x\nretry: {written}")

    jsonschema.validate(plain(parse_document(text, "a")), definition_schema(), cls=jsonschema.Draft7Validator)

    assert specification(f"run: x\nretry: {written}").retry == read


def test_what_is_not_said_is_as_it_was() -> None:
    usual = specification("run: x").retry

    assert (usual.max_wait_seconds, usual.jitter, usual.never, usual.avoid_worker) == (
        DELAY_SECONDS_MAX,
        Jitter.NONE,
        (),
        False,
    )
    assert '"retry":{}' in encode_definition(read_definition(text_of("run: x"), "a"))


def test_the_python_form_says_the_same() -> None:
    retry = Retry(
        max_attempts=4, wait="10s", factor=2, max_wait="1m", jitter="full", never=["exit:2"], avoid_worker=True
    )
    body = "{ max-attempts: 4, wait: 10s, factor: 2, max-wait: 1m, jitter: full, never: exit:2, avoid-worker: true }"

    definition = Project("ops").job("a", run="x", silence="5m", retry=retry).definition()

    assert definition.jobs[0].specification == specification(f"run: x\nsilence: 5m\nretry: {body}")


def test_silence_and_the_timeouts_of_steps_are_read_and_the_editor_agrees() -> None:
    body = (
        "silence: 90s\nsetup: [{ run: fetch, timeout: 1m }]\nsteps: [{ name: build, run: make, timeout: 10m }, test]\n"
        "teardown: [{ command: [rm, x], timeout: 500ms }]\ntimeout: 1h"
    )

    jsonschema.validate(plain(parse_document(text_of(body), "a")), definition_schema(), cls=jsonschema.Draft7Validator)
    execution = specification(body).execution

    assert execution.silence_seconds == 90
    assert [step.timeout_seconds for step in execution.setup + execution.steps] == [60, 600, None]
    assert [step.timeout_seconds for step in execution.teardown] == [0.5]


def test_what_changes_is_told_in_the_words_of_the_file() -> None:
    before = specification("run: x\nretry: { max-attempts: 3 }\nsilence: 5m")
    after = specification(
        "run: x\nretry: { max-attempts: 3, max-wait: 1h, avoid-worker: true, jitter: full }\nsilence: 1m"
    )

    assert describe_changes(before, after) == (
        "silence: 5m → 1m, retry.max-wait: 366d → 1h, retry.jitter: none → full, retry.avoid-worker: false → true"
    )


CAUSES = "exit, timeout, lost, exception, setup or exit:CODE with 1 to 255"
REFUSED = [
    ("retry: { jitter: half }", 'jobs.a.retry.jitter must be one of none, full, got "half"', "write one of none, full"),
    ("retry: { jitter: ful }", 'jobs.a.retry.jitter must be one of none, full, got "ful"', "did you mean `full`?"),
    (
        "retry: { wait: 5m, max-wait: 1m }",
        "jobs.a.retry.max-wait is shorter than the first wait of 5m",
        "write `max-wait: 5m`",
    ),
    ("retry: { max-wait: 30s }", "jobs.a.retry.max-wait is shorter than the first wait of 1m", "write `max-wait: 1m`"),
    ("retry: { max-wait: 400d }", "jobs.a.retry.max-wait must be from 1ms to 366d, got 400d", "write `max-wait: 366d`"),
    ("retry: { never: [2] }", f'jobs.a.retry.never.0 must be one of {CAUSES}, got "2"', "write `exit:2`"),
    ("retry: { never: exit:0 }", f'jobs.a.retry.never.0 must be one of {CAUSES}, got "exit:0"', "did you mean `exit`?"),
    ("retry: { on: [setpu] }", f'jobs.a.retry.on.0 must be one of {CAUSES}, got "setpu"', "did you mean `setup`?"),
    (
        "retry: { on: [exit:75, lost], never: [exit, lost] }",
        "jobs.a.retry.never takes back everything that `on` names",
        "name less, or remove `retry`",
    ),
    (
        "retry: { on: setup, never: exception }",
        "jobs.a.retry.never takes back everything that `on` names",
        "name less, or remove `retry`",
    ),
    (
        "retry: { avoid-worker: yes }",
        'jobs.a.retry.avoid-worker must be true or false, got "yes"',
        "write `avoid-worker: true`",
    ),
    ("retry: { delay: 1m }", "jobs.a.retry has the unknown key `delay`", "did you mean `wait`?"),
    ("silence: 500ms", "jobs.a.silence must be from 1s to 3650d, got 500ms", "write `silence: 1s`"),
    (
        "silence: 10",
        "jobs.a.silence must be a duration such as 45m or 1h30m, got 10",
        "write `silence: 10s`; units are ms s m h d w",
    ),
    (
        "setup: [{ run: y, timeout: 0s }]",
        "jobs.a.setup.0.timeout must be from 1ms to 3650d, got 0s",
        "write `timeout: 1ms`",
    ),
    (
        "teardown: [{ run: y, silence: 1m }]",
        "jobs.a.teardown.0 has the unknown key `silence`",
        "it belongs to the job, and holds for each of its steps",
    ),
]


@pytest.mark.parametrize(("body", "sentence", "remedy"), REFUSED)
def test_what_can_never_be_met_is_refused_with_its_repair(body: str, sentence: str, remedy: str) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        read_definition(text_of(f"run: x\n{body}"), "orchestra.yaml")

    [problem] = caught.value.problems
    assert (problem.sentence, problem.help, problem.line) == (sentence, remedy, 6)


HINTED = [
    ("timeout: 1h\nretry: { wait: 5m }", "jobs.a.retry allows one attempt, so that nothing is ever tried again"),
    ("timeout: 1h\nsilence: 1h", "jobs.a.silence is never reached: the run is over after its timeout of 1h"),
    (
        "timeout: 5m\nsetup: [{ run: y, timeout: 6m }]",
        "jobs.a.setup.0.timeout is never reached: the run is over after its timeout of 5m",
    ),
    (
        "timeout: 1h\nteardown: [{ run: y, timeout: 6m }]",
        "jobs.a.teardown.0.timeout is never reached: the teardown is over after 5m",
    ),
    ("retry: { max-attempts: 2 }", "jobs.a has no timeout: a run that hangs is never ended"),
]


@pytest.mark.parametrize(("body", "sentence"), HINTED)
def test_what_does_nothing_is_a_hint(body: str, sentence: str) -> None:
    reading = examine_definition(text_of(f"run: x\n{body}"), "orchestra.yaml")

    assert reading.problems == ()
    assert [hint.sentence for hint in reading.hints] == [sentence]


@pytest.mark.parametrize(
    "body",
    [
        "silence: 10m",
        "timeout: 1h\nsilence: 10m",
        "timeout: 1h\nsetup: [{ run: y, timeout: 1h }]\nteardown: [{ run: z, timeout: 5m }]",
        "timeout: 1h\nretry: { max-attempts: 2, avoid-worker: true, jitter: full }",
    ],
)
def test_what_is_wise_brings_no_hint(body: str) -> None:
    reading = examine_definition(text_of(f"run: x\n{body}"), "orchestra.yaml")

    assert (reading.problems, reading.hints) == ((), ())


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (RetryPolicy(), ""),
        (RetryPolicy(max_attempts=3), "up to 3 attempts, 1 min apart, on exit, timeout, lost"),
        (
            RetryPolicy(
                max_attempts=5, wait_seconds=10, factor=2, max_wait_seconds=300, jitter=Jitter.FULL, on=("exit:75",)
            ),
            "up to 5 attempts, 10 s apart, each wait 2 times the one before, at most 5 min, less by chance, on exit:75",
        ),
        (
            RetryPolicy(max_attempts=2, on=("lost", "exit"), never=("exit:2", "exit:64"), avoid_worker=True),
            "up to 2 attempts, 1 min apart, on lost, exit; never after exit:2, exit:64; rather on another worker than "
            "the last",
        ),
    ],
)
def test_a_retry_policy_is_told_in_words(policy: RetryPolicy, words: str) -> None:
    assert describe_retry(policy) == words
