"""Triggering a job that looks at its other runs: what is said of a run that was not made, and what is followed."""

import json

import pytest

from tests.core.cli.conftest import Typist
from tests.core.cli.stand_in import StandIn, Told, a_run

RUNS = "/api/v1/projects/ops/jobs/backup/runs"
EXISTING = Told(status=200, content={**a_run(), "state": "running"}, headers={"Run-Existing": "true"})
DETAIL = "no run of ops/backup was made, because #482 has the same key 'web' and is running: wait until it is over"
IN_THE_WAY = Told(
    status=409,
    content={"type": "urn:orchestra:problem:run-in-the-way", "title": "x", "status": 409, "detail": DETAIL, "run": 482},
    headers={"Content-Type": "application/problem+json"},
)


def test_a_refused_run_ends_with_5_and_names_the_other_one(typed: Typist, server: StandIn) -> None:
    server.on("POST", RUNS, IN_THE_WAY)

    ended = typed("trigger", "ops/backup")

    assert (ended.code, ended.out) == (5, "")
    assert DETAIL in ended.errors
    assert "orchestra logs 482 -f, or orchestra abort 482" in ended.errors


@pytest.mark.parametrize("option", ["--follow", "--wait"])
def test_a_refused_run_is_not_waited_for(typed: Typist, server: StandIn, option: str) -> None:
    server.on("POST", RUNS, IN_THE_WAY)

    ended = typed("trigger", "ops/backup", option)

    assert (ended.code, len(server.asked)) == (5, 1)


def test_a_refusal_as_json_has_the_number_of_the_other_run(typed: Typist, server: StandIn) -> None:
    server.on("POST", RUNS, IN_THE_WAY)

    ended = typed("--json", "trigger", "ops/backup")

    assert (ended.code, json.loads(ended.errors)["run"]) == (5, 482)


def test_an_existing_run_is_the_answer(typed: Typist, server: StandIn) -> None:
    server.on("POST", RUNS, EXISTING)

    ended = typed("trigger", "ops/backup")

    assert (ended.code, ended.out) == (0, "#482\n")
    assert ended.errors == (
        "No new run: #482 ops/backup has the same key and is running. Follow: orchestra logs 482 -f\n"
    )


def test_an_existing_run_is_waited_for_and_ends_the_command(typed: Typist, server: StandIn) -> None:
    server.on("POST", RUNS, EXISTING)
    server.on("GET", "/api/v1/runs/482", Told(content={**a_run(), "state": "failed", "exit_code": 3}))

    ended = typed("trigger", "ops/backup", "--wait")

    assert ended.code == 20
    assert ended.errors.startswith("No new run: #482 ops/backup has the same key and is running.\n")
