"""Schedules on the command line: one with its decisions, and what an expression means, without a server."""

import json
from pathlib import Path

import pytest

from tests.core.cli.conftest import Typist
from tests.core.cli.stand_in import StandIn, Told, a_page

SCHEDULE = "/api/v1/projects/ops/jobs/backup/schedule"
SHOWN = {
    "project": "ops",
    "job": "backup",
    "expression": "30 2 * * *",
    "zone": "Europe/Paris",
    "sentence": "At 02:30 (Europe/Paris)",
    "enabled": False,
    "disabled_because": "disabled by ana: migration",
    "next": ["2026-03-02T01:30:00Z"],
    "policies": ["While a run of the job is not over, a due instant is skipped."],
    "warnings": ["it is never due"],
}


@pytest.fixture
def offline(tmp_path: Path) -> Typist:
    """Somebody without any server."""
    return Typist(folder=tmp_path, environment={})


def test_a_schedule_is_shown_with_its_last_decisions(typed: Typist, server: StandIn) -> None:
    tick = {"due_at": "2026-03-01T01:30:00Z", "decision": "fired", "run": 481, "lateness_seconds": 0.5}
    server.on("GET", SCHEDULE, Told(content=SHOWN))
    server.on("GET", f"{SCHEDULE}/ticks", a_page(tick))

    ended = typed("schedule", "show", "ops/backup", "--utc")

    assert ended.code == 0
    assert ended.out.splitlines()[0] == "ops/backup: At 02:30 (Europe/Paris)"
    assert "not scheduled: disabled by ana: migration" in ended.out
    assert "Beware: it is never due." in ended.out
    assert ended.out.splitlines()[-1].split() == ["2026-03-01", "01:30:00", "UTC", "500", "ms", "fired", "#481"]


def test_schedules_of_one_project_are_asked_for(typed: Typist, server: StandIn) -> None:
    server.on("GET", "/api/v1/schedules", a_page())

    typed("schedules", "--project", "ops")

    assert server.asked[0].query["project"] == ["ops"]


def test_jobs_of_a_worker_say_why_not(typed: Typist, server: StandIn) -> None:
    jobs = [
        {"project": "ops", "job": "any", "matches": True, "reason": "", "is_only": False},
        {"project": "ops", "job": "render", "matches": False, "reason": "`gpu` is not set, needs >= 1"},
    ]
    server.on("GET", "/api/v1/workers/atlas/jobs", a_page(*jobs))

    lines = typed("worker", "jobs", "atlas").out.splitlines()

    assert [line.split()[:2] for line in lines[1:]] == [["ops/any", "yes"], ["ops/render", "no"]]
    assert "`gpu` is not set, needs >= 1" in lines[2]


def test_the_next_instants_need_no_server(offline: Typist) -> None:
    by_clocks = offline("schedule", "next", "30 2 * * *", "--zone", "Europe/Paris", "-n", "2")
    as_json = offline("schedule", "next", "every 6h", "-n", "1", "--json")

    assert by_clocks.out.splitlines() == ["2026-03-02 02:30:00 +0100", "2026-03-03 02:30:00 +0100"]
    assert json.loads(as_json.out) == {"next": ["2026-03-01T18:00:00.000Z"]}


def test_an_expression_is_explained_with_both_clock_changes(offline: Typist) -> None:
    ended = offline("schedule", "explain", "30 2 13 * 5", "--zone", "Europe/Paris")

    lines = ended.out.splitlines()
    assert lines[0] == "At 02:30, on day 13 of the month, or on Friday (Europe/Paris)"
    assert lines[1].startswith("  beware: it is due on its days of the month and also on its weekdays")
    assert [line.split()[0] for line in lines[-2:]] == ["2026-03-29", "2026-10-25"]


@pytest.mark.parametrize(
    ("expression", "zone", "words"),
    [
        ("0 61 * * *", "UTC", "'61' is no hour (0 to 23) (from character 3)"),
        ("0 9 * * *", "Europe/Pari", "did you mean `Europe/Paris`?"),
        ("every 15", "UTC", "is no duration"),
    ],
)
def test_nonsense_is_refused_with_its_place(offline: Typist, expression: str, zone: str, words: str) -> None:
    for verb in ("next", "explain"):
        ended = offline("schedule", verb, expression, "--zone", zone)

        assert ended.code != 0
        assert words in ended.errors
        assert "Traceback" not in ended.errors


def test_what_is_never_due_says_so(offline: Typist) -> None:
    ended = offline("schedule", "next", "0 0 30-31 2 *")

    assert (ended.code, ended.out, ended.errors) == (0, "", "it is never due\n")


def test_a_schedule_is_paused_for_a_while_and_resumed(typed: Typist, server: StandIn) -> None:
    paused = {"by": "ana", "reason": "migration", "until": "2026-03-02T01:30:00Z"}
    server.on("POST", f"{SCHEDULE}/pause", Told(content={**SHOWN, "paused": paused}))
    server.on("POST", f"{SCHEDULE}/resume", Told(content=SHOWN))

    pause = typed("schedule", "pause", "ops/backup", "--reason", "migration", "--for", "2h", "--utc")
    resume = typed("schedule", "resume", "ops/backup")

    assert (pause.code, resume.code) == (0, 0)
    assert pause.out == (
        "ops/backup is paused until 2026-03-02 01:30:00 UTC. Undo: orchestra schedule resume ops/backup\n"
    )
    assert resume.out == "ops/backup is not paused any more.\n"
    assert b'"reason": "migration"' in server.asked[0].body or b'"reason":"migration"' in server.asked[0].body


def test_a_length_that_is_none_asks_nobody(typed: Typist, server: StandIn) -> None:
    ended = typed("schedule", "pause", "ops/backup", "--for", "a while")

    assert ended.code == 1
    assert "'a while' is no duration" in ended.errors
    assert server.asked == []


def test_the_next_instants_of_a_job_are_asked_for(typed: Typist, server: StandIn) -> None:
    server.on("GET", f"{SCHEDULE}/next", Told(content={"next": ["2026-03-02T01:30:00Z"]}))

    ended = typed("schedules", "next", "ops/backup", "-n", "1", "--utc")

    assert ended.out == "2026-03-02 01:30:00 UTC\n"
    assert server.asked[0].query["n"] == ["1"]


def test_a_spread_is_explained_for_a_job(offline: Typist) -> None:
    ended = offline("schedules", "explain", "H 2 * * *", "--job", "ops/nightly")
    nobody = offline("schedules", "explain", "H 2 * * *")

    assert ended.out.splitlines()[0] == "At 02:39 (UTC)"
    assert nobody.code == 1
    assert "`H` is chosen by the name of a job, and here is none" in nobody.errors
