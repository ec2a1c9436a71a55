"""Jobs on the command line: one as text, which workers can do it, and its switch."""

import json

from tests.core.cli.conftest import Typist
from tests.core.cli.stand_in import StandIn, Told, problem

JOB = "/api/v1/projects/ops/jobs/backup"
BACKUP: dict[str, object] = {
    "project": "ops",
    "name": "backup",
    "description": "Copies\x1b[31m a database.",
    "enabled": False,
    "disabled_by": "ana: the vault is full",
    "version": 3,
    "parameters": [
        {"name": "database", "type": "choice", "options": ["orders", "customers"], "default": "orders"},
        {"name": "copies", "type": "integer", "minimum": 1.0, "maximum": 5.0, "required": True, "help": "How many"},
    ],
    "schedule": {"project": "ops", "job": "backup", "sentence": "At 02:30, every day", "enabled": False},
    "last_run": {"id": 482, "state": "failed"},
    "specification": {
        "execution": {
            "steps": [{"name": "dump", "command": ["true"], "timeout_seconds": 600.0}, {"name": "send"}],
            "timeout_seconds": 7200.0,
            "silence_seconds": 300.0,
        },
        "retry": {"max_attempts": 3, "never": ["exit:2"]},
        "policies": {"concurrency": {"group": "vault-{parameters.database}"}, "rate": {"starts": 1, "per_seconds": 60}},
        "matching": {
            "requirements": [{"name": "os", "operator": "in", "values": ["linux"]}],
            "prefer": [{"name": "disk", "operator": "in", "values": ["ssd\x1b[31m"], "weight": 5}],
            "sticky": True,
        },
    },
    "workers": [
        {"name": "castor", "matches": False, "reason": "`os` is windows, needs linux"},
        {"name": "atlas", "matches": True, "reason": ""},
    ],
}


def test_a_job_is_shown_with_what_it_takes_and_who_can_do_it(typed: Typist, server: StandIn) -> None:
    """Everything on one screen, control characters taken out, workers that can do it first."""
    server.on("GET", JOB, Told(content=BACKUP))

    ended = typed("job", "show", "ops/backup")

    assert ended.out.splitlines() == [
        "Job ops/backup: disabled by ana: the vault is full",
        "  Copies a database.",
        "  version     3",
        "  schedule    At 02:30, every day, not scheduled now",
        "  last run    #482 failed",
        "  steps       dump (at most 10 min), send",
        "  timeout     2 h",
        "  silence     5 min",
        "  concurrency one at a time in group vault-{parameters.database}; waits if full",
        "  rate        1 start in any 1 min",
        "  retry       up to 3 attempts, 1 min apart, on exit, timeout, lost; never after exit:2",
        "  asks for    os: linux",
        "  of several  where the job last succeeded; rather disk: ssd (weight 5)",
        "",
        "Parameters",
        "  database: orders | customers, orders by default",
        "  copies: integer, at least 1, at most 5, required; How many",
        "",
        "Workers",
        "  atlas: matches",
        "  castor: does not match, `os` is windows, needs linux",
        "",
        "Runs: orchestra runs --job ops/backup",
    ]


def test_a_pipeline_is_shown_with_its_elements(typed: Typist, server: StandIn) -> None:
    pipeline = {
        "elements": [{"name": "dump", "job": "dump"}, {"name": "ok", "approval": {"by": ["lead"]}}],
        "closing": [{"name": "tidy", "job": "tools/tidy"}],
    }
    specification = {"execution": {"steps": []}, "pipeline": pipeline}
    server.on("GET", JOB, Told(content={"project": "ops", "name": "backup", "specification": specification}))

    ended = typed("job", "show", "ops/backup")

    assert ended.out.splitlines()[-6:] == [
        "Elements",
        "  dump: runs dump",
        "  ok: asks lead",
        "  tidy: runs tools/tidy; when all others are over",
        "",
        "Runs: orchestra runs --job ops/backup",
    ]
    assert "Workers" not in ended.out


def test_the_workers_of_a_job_are_told_with_why_not(typed: Typist, server: StandIn) -> None:
    """As text for people, as the API has it for programs."""
    server.on("GET", JOB, Told(content=BACKUP))

    told = typed("job", "workers", "ops/backup")
    for_programs = typed("job", "workers", "ops/backup", "--json")

    assert told.out == "atlas: matches\ncastor: does not match, `os` is windows, needs linux\n"
    assert json.loads(for_programs.out) == BACKUP["workers"]


def test_a_job_that_nobody_can_do_says_so(typed: Typist, server: StandIn) -> None:
    """An empty list would look like an answer that broke off."""
    server.on("GET", JOB, Told(content={"project": "ops", "name": "backup"}))

    assert typed("job", "workers", "ops/backup").out == "no worker yet: its runs wait for one\n"


QUARANTINED = {
    "project": "ops",
    "name": "backup",
    "quarantined_at": "2025-11-21T14:02:11Z",
    "quarantine_reason": "2 attempts were lost within 1h: #12, #15\x1b[31m",
}


def test_a_job_in_quarantine_is_marked_and_says_how_to_release_it(typed: Typist, server: StandIn) -> None:
    """In the list and at the head of its page; control characters taken out."""
    other = {"project": "ops", "name": "resize"}
    server.on("GET", JOB, Told(content=QUARANTINED))
    server.on("GET", "/api/v1/jobs", Told(content={"items": [QUARANTINED, other], "next": None}))

    shown = typed("job", "show", "ops/backup").out.splitlines()
    listed = typed("jobs").out.splitlines()

    assert shown[:3] == [
        "Job ops/backup: enabled, in quarantine",
        "  in quarantine since 2025-11-21 14:02:11 UTC: 2 attempts were lost within 1h: #12, #15",
        "  nothing of it starts until somebody types: orchestra job release ops/backup",
    ]
    assert [line.split("  ")[0] for line in listed[1:3]] == ["ops/backup", "ops/resize"]
    assert ["in quarantine" in line for line in listed[1:3]] == [True, False]


def test_a_job_is_released_with_a_reason(typed: Typist, server: StandIn) -> None:
    """What it says is that the job goes on."""
    server.on("POST", f"{JOB}/release", Told(content={"project": "ops", "name": "backup"}))

    ended = typed("job", "release", "ops/backup", "--reason", "more memory")
    for_programs = typed("job", "release", "ops/backup", "--json")

    assert ended.out == "ops/backup is released: what waits of it may start, and lost attempts are counted anew.\n"
    assert [each.content() for each in server.asked] == [{"reason": "more memory"}, {}]
    assert json.loads(for_programs.out) == {"project": "ops", "name": "backup"}


def test_a_job_that_is_not_in_quarantine_is_told_so(typed: Typist, server: StandIn) -> None:
    """As a refusal, with the sentence of the service."""
    sentence = "job ops/backup is not in quarantine: there is nothing to release"
    server.on("POST", f"{JOB}/release", problem(409, sentence))

    ended = typed("job", "release", "ops/backup")

    assert (ended.code, ended.out) == (5, "")
    assert sentence in ended.errors
