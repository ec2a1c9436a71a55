"""Scripts can rely on the exit codes: one table, and every way to reach it."""

import socket

import pytest

from orchestra.cli.exits import EXIT_OF_RUN, ExitCode
from orchestra.lifecycle import TERMINAL_STATES
from tests.core.cli.conftest import Typist
from tests.core.cli.stand_in import StandIn, Told, a_page, a_run, problem


def test_the_table_is_the_promised_one() -> None:
    """Changing a number breaks scripts of other people."""
    assert {code.name: code.value for code in ExitCode} == {
        "DONE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "NOT_FOUND": 3,
        "NOT_ALLOWED": 4,
        "CONFLICT": 5,
        "UNREACHABLE": 6,
        "DIFFERENCES": 7,
        "RUN_FAILED": 20,
        "RUN_WITHDRAWN": 21,
        "RUN_ABORTED": 22,
        "RUN_EXCEPTION": 23,
        "STILL_GOING": 24,
        "INTERRUPTED": 130,
    }


def test_every_terminal_state_has_a_code_and_only_success_is_zero() -> None:
    """A state that ends a run can never look like a run that goes on."""
    assert set(EXIT_OF_RUN) == {state.value for state in TERMINAL_STATES}
    assert [state for state, code in EXIT_OF_RUN.items() if code == 0] == ["succeeded"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 1), (401, 4), (403, 4), (404, 3), (409, 5), (412, 5), (413, 1), (422, 1), (428, 5), (500, 1), (502, 6)],
)
def test_a_refusal_ends_with_the_code_of_its_status(typed: Typist, server: StandIn, status: int, code: int) -> None:
    """Every refusal is a sentence on stderr and a code."""
    server.on("GET", "/api/v1/runs", problem(status, "it cannot be"))

    ended = typed("runs")

    assert ended.code == code
    assert ended.out == ""
    assert ended.errors.startswith("error: it cannot be")
    assert "Traceback" not in ended.errors


@pytest.mark.parametrize(
    ("state", "code"),
    [("succeeded", 0), ("failed", 20), ("cancelled", 21), ("skipped", 21), ("aborted", 22), ("exception", 23)],
)
def test_trigger_wait_exits_by_the_end_of_the_run(typed: Typist, server: StandIn, state: str, code: int) -> None:
    """A failed run is a failed command by default."""
    server.on("POST", "/api/v1/projects/ops/jobs/backup/runs", Told(status=201, content=a_run()))
    server.on("GET", "/api/v1/runs/482", Told(content=a_run()), Told(content=a_run(state=state)))

    ended = typed("trigger", "ops/backup", "--wait")

    assert ended.code == code
    assert f"Run #482 {state}" in ended.errors


def test_a_run_that_outlives_the_timeout_is_24_and_goes_on(typed: Typist, server: StandIn) -> None:
    """Nobody's patience ends a run."""
    server.on("POST", "/api/v1/projects/ops/jobs/backup/runs", Told(status=201, content=a_run()))
    server.on("GET", "/api/v1/runs/482", Told(content=a_run(state="running")))

    ended = typed("trigger", "ops/backup", "--wait", "--timeout", "10s")

    assert ended.code == 24
    assert "it goes on. Follow: orchestra logs 482 -f. Stop: orchestra abort 482" in ended.errors
    assert not server.asked_for("POST", "/api/v1/runs/482/abort")


def test_the_exit_code_of_the_job_can_be_passed_on(typed: Typist, server: StandIn) -> None:
    """For scripts that took the job's code before."""
    server.on("POST", "/api/v1/projects/ops/jobs/backup/runs", Told(status=201, content=a_run()))
    server.on("GET", "/api/v1/runs/482", Told(content=a_run(state="failed", exit_code=75)))

    assert typed("trigger", "ops/backup", "--wait", "--pass-exit-code").code == 75


@pytest.mark.parametrize(
    "words",
    [("rums",), ("runs", "--colour"), ("trigger",), ("run", "show", "x"), ("trigger", "ops/b", "--timeout", "soon")],
)
def test_what_cannot_be_parsed_is_2_and_names_the_help(lonely: Typist, words: tuple[str, ...]) -> None:
    """A slip of the keyboard never reaches a server."""
    ended = lonely(*words)

    assert ended.code == 2
    assert ended.errors.startswith("error: ")
    assert "\nhelp: orchestra" in ended.errors


def test_a_typo_is_met_with_a_suggestion(lonely: Typist) -> None:
    """The nearest word, in either number."""
    assert "Did you mean" in lonely("trigerr").errors


def test_no_server_is_6_with_the_next_step(lonely: Typist) -> None:
    """One helpful sentence."""
    ended = lonely("runs")

    assert (ended.code, ended.errors) == (
        6,
        "error: no server is known: start one here with 'orchestra up', "
        "or name one with --server URL or 'orchestra login URL'\n",
    )


def test_a_server_that_is_not_there_is_6_at_once(lonely: Typist) -> None:
    """Nothing is repeated against a closed port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        ended = lonely("runs", "--server", f"127.0.0.1:{port}")

    assert ended.code == 6
    assert "does not answer (connection refused)" in ended.errors
    assert lonely.quick.pauses == []


def test_something_else_that_answers_is_6(typed: Typist, server: StandIn) -> None:
    """A web page instead of the API is not a defect of ours."""
    server.on("GET", "/api/v1/runs", Told(body=b"<html>hello</html>"))

    ended = typed("runs")

    assert ended.code == 6
    assert "does not understand" in ended.errors


def test_an_error_in_json_mode_is_a_problem_document(typed: Typist, server: StandIn) -> None:
    """The same words, for programs."""
    server.on("GET", "/api/v1/runs/7", problem(404, "there is no run #7"))

    ended = typed("run", "show", "7", "--json")

    assert ended.code == 3
    assert '"detail":"there is no run #7"' in ended.errors
    assert ended.out == ""


def test_wrong_fields_are_named(typed: Typist, server: StandIn) -> None:
    """Each with its pointer."""
    wrong = [{"pointer": "/parameters/replicas", "message": "must be at most 20"}]
    server.on("POST", "/api/v1/projects/ops/jobs/backup/runs", problem(422, "the parameters do not fit", wrong))

    ended = typed("trigger", "ops/backup")

    assert ended.errors == "error: the parameters do not fit\n  /parameters/replicas: must be at most 20\n"


def test_an_empty_list_is_done(typed: Typist, server: StandIn) -> None:
    """Nothing found is no failure."""
    server.on("GET", "/api/v1/runs", a_page())

    ended = typed("runs")

    assert (ended.code, ended.out, ended.errors) == (0, "", "no run matches\n")
