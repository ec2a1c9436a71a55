"""What a bad definition file is told: place, sentence and repair are pinned here."""

import pytest

from orchestra.definition.problems import DefinitionErrors
from orchestra.definition.reader import read_definition

HEAD = "orchestra: 1\nproject: ops\njobs:\n  a:\n"

CASES = [
    ("run: x\nretyr: 3", "5", "jobs.a has the unknown key `retyr`", "did you mean `retry`?"),
    ("run: x\nenv: {}", "5", "jobs.a has the unknown key `env`", "did you mean `environment`?"),
    ("run: x\ndocker: {}", "5", "jobs.a has `docker`, which is not supported yet by this version", "remove it"),
    ("run: x\ntags: [p]", "5", "jobs.a has `tags`, which is not supported yet by this version", "remove it"),
    (
        "run: x\ntimeout: 45",
        "14",
        "jobs.a.timeout must be a duration such as 45m or 1h30m, got 45",
        "write `timeout: 45s`; units are ms s m h d w",
    ),
    ("run: x\ntimeout: 0s", "14", "jobs.a.timeout must be from 1ms to 3650d, got 0s", "write `timeout: 1ms`"),
    ("run: x\ntimeout:", "13", "jobs.a.timeout is empty", "give it a value, or remove the key"),
    ("run: x\npriority: 101", "15", "jobs.a.priority must be from -100 to 100, got 101", "write `priority: 100`"),
    ("run: x\nslots: no", "12", 'jobs.a.slots must be a whole number, got "no"', "write `slots: 3`"),
    ("run: x\nenabled: yes", "14", 'jobs.a.enabled must be true or false, got "yes"', "write `enabled: true`"),
    ("run: x\nretry: 3", "12", "jobs.a.retry must be a mapping", "write `retry: { max-attempts: 3, wait: 1m }`"),
    (
        "run: x\nretry: { on: [exti] }",
        "19",
        'jobs.a.retry.on.0 must be one of exit, timeout, lost, exception, setup or exit:CODE with 1 to 255, got "exti"',
        "did you mean `exit`?",
    ),
    (
        "run: x\ndisconnect: stop",
        "17",
        'jobs.a.disconnect must be keep, or stop with a duration, got "stop"',
        "write `disconnect: keep`, or `disconnect: stop 5m`",
    ),
    ("run: x\ncommand: [y]", "14", "jobs.a.command stands beside `run`", "keep one of run, command and steps"),
    (
        "timeout: 1m",
        None,
        "jobs.a says nothing to execute",
        "add `run: ./script.sh`, `command: [...]` or `steps: [...]`",
    ),
    (
        "command: ls -l",
        "14",
        "jobs.a.command must be a list of arguments, got a text",
        "write `command: [ls, -l]`, or `run:` for a text that a shell shall read",
    ),
    (
        'command: [x, "{parameters.brnach}"]\nparameters: { branch: {} }',
        "18",
        "jobs.a.steps.0.command.1 names the unknown value {parameters.brnach}",
        "did you mean {parameters.branch}?",
    ),
    (
        'command: [x, "{branch}"]\nparameters: { branch: {} }',
        "18",
        "jobs.a.steps.0.command.1 names the unknown value {branch}",
        "did you mean {parameters.branch}?",
    ),
    (
        'command: [x, "{matrix.os}"]',
        "18",
        "jobs.a.steps.0.command.1 names {matrix.os}, which only an element of a pipeline knows",
        'give the job a parameter, and the element `with: { os: "{matrix.os}" }`',
    ),
    (
        'command: [x, "{run.number!r}"]',
        "18",
        "jobs.a.steps.0.command.1 holds the conversion !r, which is not allowed",
        "write {run.number}",
    ),
    (
        'command: [x, "{run.number:999}"]',
        "18",
        "jobs.a.steps.0.command.1 pads a value to more than 128 characters",
        "write a smaller width",
    ),
    (
        'command: [x, "{"]',
        "18",
        "jobs.a.steps.0.command.1 holds a brace that is no template (single '{' encountered in format string)",
        "write {{ or }} for a literal brace",
    ),
    (
        "run: x\nenvironment: { PARAM_A: b }",
        "29",
        "jobs.a.environment.PARAM_A begins as the variables that we set ourselves",
        "rename it",
    ),
    (
        "run: x\nworker: { gpu: '>= lots' }",
        "20",
        'jobs.a.worker.gpu must compare with a number or a size such as 32GB, got "lots"',
        'write `gpu: ">= 2"`',
    ),
    (
        "run: x\nworker: { os: '!= windows' }",
        "19",
        'jobs.a.worker.os compares with "!="',
        "write `os: { not: windows }`",
    ),
    ("run: x\nworker: { os: { nto: x } }", "21", "jobs.a.worker.os has the unknown key `nto`", "did you mean `not`?"),
    (
        "run: x\nparameters: { key: { type: secret, default: hunter2 } }",
        "49",
        "jobs.a.parameters.key.default would write a secret into the definition",
        "remove it, and give it with each run",
    ),
    (
        "run: x\nparameters: { n: { type: integr } }",
        "30",
        "jobs.a.parameters.n.type must be one of string, text, integer, number, boolean, choice, duration, secret, "
        'got "integr"',
        "did you mean `integer`?",
    ),
    (
        "run: x\nparameters: { n: { type: date } }",
        "30",
        "jobs.a.parameters.n.type is `date`, which is not supported yet by this version",
        "use `string`",
    ),
    (
        "run: x\nparameters: { n: { type: integer, min: 3, default: 2 } }",
        "56",
        "jobs.a.parameters.n.default must be at least 3, got 2",
        "correct the default",
    ),
    (
        "run: x\nparameters: { n: { pattern: '(' } }",
        "33",
        "jobs.a.parameters.n.pattern is no regular expression of RE2: missing ): (",
        "correct it, and quote it with '…'",
    ),
    (
        "run: x\nparameters: { n: { pattern: '(a)\\1', default: aa } }\n"
        "schedule: { cron: '@daily', parameters: { n: a } }",
        "33",
        "jobs.a.parameters.n.pattern is no regular expression of RE2: invalid escape sequence: \\1",
        "correct it, and quote it with '…'",
    ),
    (
        "run: x\nparameters: { a-b: {}, a_b: {} }",
        "28",
        "jobs.a.parameters.a_b becomes the variable PARAM_A_B, as `a-b` does",
        "rename one of the two",
    ),
    (
        'run: x\nschedule: "30 25 * * *"',
        "19",
        "jobs.a.schedule.cron is no cron expression: '25' is no hour (0 to 23)",
        'write five fields such as "30 2 * * 1-5" (minute hour day month weekday), six with seconds first, or seven '
        "with the year last",
    ),
    (
        "run: x\nschedule: { cron: '@daily', zone: Paris }",
        "39",
        'jobs.a.schedule.zone is no time zone: "Paris"',
        "did you mean `Europe/Paris`?",
    ),
    (
        "run: x\nschedule: { cron: '@daily', catchup: latest }",
        "33",
        "jobs.a.schedule has the unknown key `catchup`",
        "did you mean `catch-up`?",
    ),
    (
        "run: x\nschedule: [a, b]",
        "15",
        "jobs.a.schedule is a list",
        "write one mapping; `cron`, `every` and `at` take lists",
    ),
    (
        "run: x\nschedule: every 100ms",
        "15",
        "jobs.a.schedule.every must be from 1s to 3650d, got 100ms",
        "write `every: 15m`",
    ),
    (
        "run: x\nschedule: '@daily'\nparameters: { v: { required: true } }",
        "15",
        "jobs.a.schedule gives no value for the required parameter `v`, so it could never fire",
        "add `parameters: { v: … }` to it, or a default to the job",
    ),
]


@pytest.mark.parametrize(("body", "column", "sentence", "remedy"), CASES)
def test_a_mistake_is_told_with_its_place_and_repair(body: str, column: str | None, sentence: str, remedy: str) -> None:
    text = HEAD + "".join(f"    {line}\n" for line in body.splitlines())

    with pytest.raises(DefinitionErrors) as caught:
        read_definition(text, "orchestra.yaml")

    [problem] = caught.value.problems
    assert (problem.sentence, problem.help) == (sentence, remedy)
    assert column is None or problem.column == int(column)


def test_the_report_shows_line_caret_and_repair() -> None:
    text = HEAD + "    run: x\n    retry: { max-attempts: three, wait: 1m }\n"

    with pytest.raises(DefinitionErrors) as caught:
        read_definition(text, "orchestra.yaml")

    assert caught.value.report() == (
        'error: orchestra.yaml:6:28: jobs.a.retry.max-attempts must be a whole number from 1 to 100, got "three"\n'
        "    6 |     retry: { max-attempts: three, wait: 1m }\n"
        "                                   ^^^^^\n"
        "help: write `max-attempts: 3`"
    )


def test_all_problems_of_a_file_are_told_at_once_in_its_order() -> None:
    text = "orchestra: 2\nproject: My Ops\njobs:\n  a: { run: x, slots: 0 }\n  B: { runn: x }\n"

    with pytest.raises(DefinitionErrors) as caught:
        read_definition(text, "orchestra.yaml")

    assert [(problem.line, problem.sentence.split(" ")[0]) for problem in caught.value.problems] == [
        (1, "orchestra"),
        (2, "project"),
        (4, "jobs.a.slots"),
        (5, "jobs.B"),
        (5, "jobs.B"),
        (5, "jobs.B"),
    ]
    assert str(caught.value).startswith("orchestra.yaml:1:12: orchestra must be 1 (and 5 more problems)")


DOCUMENTS = [
    ("", "the file is empty"),
    ("# only a remark\n", "the file is empty"),
    ("- a\n", "must be a mapping with keys such as orchestra, project, description, got a list"),
    ("jobs: {}\n", "the file does not say its format"),
    ("orchestra: 1\n", "the file names no project"),
    ("a: 1\na: 2\n", "the key `a` is already in line 1"),
    ("a: &x 1\n", "an anchor (`&name`) is not allowed"),
    ("a: !!python/object:os.system x\n", "a tag (`!name`) is not allowed"),
    ("a: 1\n---\nb: 2\n", "a second document is not allowed"),
    ("[" * 50, "values are nested more than 32 deep"),
    ("a: [1\n", "the file is no YAML: while parsing a flow sequence, did not find expected ',' or ']'"),
    ("\tа: 1\n", "the file is no YAML: while scanning for the next token, found character that cannot start any token"),
    ("a: \x00\n", "the file is no YAML text"),
    ("? [a]\n: 1\n", "a key must be a text"),
    ("a: " + "x" * (1 << 20), "the file is too long"),
]


@pytest.mark.parametrize(("text", "sentence"), DOCUMENTS)
def test_what_is_no_usable_document_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        read_definition(text, "orchestra.yaml")

    assert any(problem.sentence.startswith(sentence) for problem in caught.value.problems)
    assert all(problem.line for problem in caught.value.problems)


def test_an_alias_bomb_is_refused_without_being_expanded() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"k{n}: &k{n} [*a, *a, *a]\n" for n in range(50))

    with pytest.raises(DefinitionErrors, match="an anchor"):
        read_definition(bomb, "orchestra.yaml")
