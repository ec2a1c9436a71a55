"""From an example to a definition in force: init, validate, schema, apply."""

import json

import pytest

from orchestra.cli.file_commands import EXAMPLES
from orchestra.definition.reader import examine_definition, read_definition
from tests.core.cli.conftest import Typist
from tests.core.cli.stand_in import StandIn, Told, problem
from tests.support.timetables import every

DEFINITION = "/api/v1/projects/ops/definition"
KEPT = {"action": "keep", "kind": "project", "name": "ops"}
ADDED = {"action": "add", "kind": "job", "name": "backup", "detail": "runs by itself"}

IN_FORCE = Told(content={"items": [{"name": "ops", "version": "beef"}], "next": None})


def planned(*changes: dict[str, str], applied: bool = False) -> Told:
    """What the server answers to a definition."""
    fires = [{"job": "backup", "at": "2026-03-02T01:30:00Z"}] if changes else []
    plan = {"project": "ops", "changes": [KEPT, *changes], "next": fires}
    return Told(content={"plan": plan, "applied": applied, "version": "f00d" * 16})


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_valid_and_without_hints(lonely: Typist, example: str) -> None:
    """What people begin with must be right."""
    written = lonely("init", "--example", example)
    checked = lonely("validate")

    text = (lonely.folder / "orchestra.yaml").read_text()
    assert (written.code, checked.code) == (0, 0)
    assert checked.errors == ""
    assert not examine_definition(text, "orchestra.yaml").hints


def test_the_demo_has_something_of_everything(lonely: Typist) -> None:
    """Steps, parameters, a property, a schedule; shell only."""
    lonely("init", "--example", "demo")

    definition = read_definition((lonely.folder / "orchestra.yaml").read_text(), "demo")

    jobs = {job.name: job for job in definition.jobs}
    assert len(jobs["build"].specification.execution.steps) == 3
    assert {parameter.type.value for parameter in jobs["greet"].specification.parameters} == {
        *("string", "integer", "boolean")
    }
    assert jobs["south-only"].specification.matching.requirements
    schedule = jobs["heartbeat"].schedule
    assert schedule is not None
    assert schedule.timetable == every(60)


def test_an_existing_file_is_never_overwritten(lonely: Typist) -> None:
    """Somebody's work may be in it."""
    (lonely.folder / "orchestra.yaml").write_text("mine")

    ended = lonely("init")

    assert ended.code == 1
    assert ended.errors == "error: orchestra.yaml exists\nhelp: give another file: orchestra init FILE\n"
    assert (lonely.folder / "orchestra.yaml").read_text() == "mine"


def test_a_mistake_is_shown_with_its_place_and_repair(lonely: Typist) -> None:
    """Line, column, caret, help; for programs too."""
    text = "orchestra: 1\nproject: ops\njobs:\n  backup:\n    run: x\n    retry: { max-attempts: three }\n"
    (lonely.folder / "orchestra.yaml").write_text(text)

    ended = lonely("validate")
    for_programs = json.loads(lonely("validate", "--json").out)

    assert ended.code == 1
    assert ended.out == ""
    assert "orchestra.yaml:6:28: " in ended.errors
    assert "^^^^^" in ended.errors
    assert "help: " in ended.errors
    assert for_programs[0]["valid"] is False
    assert for_programs[0]["problems"][0]["line"] == 6


def test_a_missing_file_is_one_sentence(lonely: Typist) -> None:
    """With the next step."""
    assert lonely("validate").errors == "error: there is no file orchestra.yaml\nhelp: write one: orchestra init\n"


def test_a_plan_is_shown_and_asked_for(typed: Typist, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A no leaves everything as it is."""
    typed("init")
    server.on("GET", "/api/v1/projects", IN_FORCE)
    server.on("PUT", DEFINITION, planned(ADDED))
    monkeypatch.setattr("click.confirm", lambda *_words, **_options: False)

    ended = typed("apply", "--utc", interactive=True)

    assert ended.code == 1
    assert ended.out.splitlines() == [
        "+ job backup: runs by itself",
        "  backup fires next 2026-03-02 01:30:00 UTC",
    ]
    assert [asked.query.get("dry_run") for asked in server.asked_for("PUT", DEFINITION)] == [["true"]]


def test_with_yes_the_plan_is_carried_out(typed: Typist, server: StandIn) -> None:
    """The whole project is sent, and only the file's name."""
    typed("init")
    server.on("GET", "/api/v1/projects", IN_FORCE)
    server.on("PUT", DEFINITION, planned(ADDED), planned(ADDED, applied=True))

    ended = typed("apply", "--yes")

    applied = server.asked_for("PUT", DEFINITION)[1]
    sent = applied.content()
    assert ended.code == 0
    assert isinstance(sent, dict)
    assert sent["name"] == "ops"
    assert applied.query == {"source": ["orchestra.yaml"]}
    assert applied.headers["if-match"] == '"beef"'
    assert "Applied: 1 change, version f00df00df00d. Next: orchestra trigger ops/backup --follow" in ended.errors


def test_what_changed_since_the_plan_is_a_conflict(typed: Typist, server: StandIn) -> None:
    """Nobody overwrites what nobody has looked at."""
    typed("init")
    server.on("GET", "/api/v1/projects", IN_FORCE)
    server.on("PUT", DEFINITION, planned(ADDED), problem(412, "the definition of 'ops' has changed"))

    assert typed("apply", "--yes").code == 5


def test_where_nobody_can_be_asked_yes_is_needed(typed: Typist, server: StandIn) -> None:
    """A script never changes things by accident."""
    typed("init")
    server.on("GET", "/api/v1/projects", IN_FORCE)
    server.on("PUT", DEFINITION, planned(ADDED))

    ended = typed("apply")

    assert ended.code == 1
    assert "help: look at the plan, then: orchestra apply --yes" in ended.errors
    assert len(server.asked_for("PUT", DEFINITION)) == 1


def test_a_diff_changes_nothing_and_may_exit_7(typed: Typist, server: StandIn) -> None:
    """For checks in a pipeline of someone else."""
    typed("init")
    server.on("GET", "/api/v1/projects", IN_FORCE)
    server.on("PUT", DEFINITION, planned(ADDED))
    assert typed("apply", "--diff").code == 0
    assert typed("apply", "--diff", "--exit-code").code == 7

    server.on("PUT", DEFINITION, planned())
    assert typed("apply", "--diff", "--exit-code").code == 0
    assert {tuple(asked.query["dry_run"]) for asked in server.asked_for("PUT", DEFINITION)} == {("true",)}


def test_a_bad_file_is_not_sent(typed: Typist, server: StandIn) -> None:
    """All of its problems are shown instead."""
    (typed.folder / "orchestra.yaml").write_text(
        "orchestra: 1\nproject: ops\njobs: { a: { runn: x }, b: { run: 3 } }\n"
    )

    ended = typed("apply", "--yes")

    assert ended.code == 1
    assert ended.errors.count("error: orchestra.yaml:") >= 2
    assert server.asked == []
