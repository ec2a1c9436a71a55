"""Triggering: once whatever the network does, values in their types, secrets never on the command line."""

from datetime import datetime
from pathlib import Path

import pytest

from tests.core.cli.conftest import TOKEN, Typist
from tests.core.cli.stand_in import StandIn, Told, a_run, event, problem

RUNS = "/api/v1/projects/ops/jobs/backup/runs"
STREAM = "/api/v1/runs/482/log/stream"


def test_a_trigger_prints_the_run_and_what_to_do_next(typed: Typist, server: StandIn) -> None:
    """The number on stdout, the words on stderr."""
    server.on("POST", RUNS, Told(status=201, content=a_run()))

    ended = typed("trigger", "ops/backup")

    assert ended.out == "#482\n"
    assert ended.errors == "Run #482 ops/backup is pending. Follow: orchestra logs 482 -f\n"
    assert server.asked[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_a_trigger_whose_connection_broke_is_repeated_under_the_same_key(typed: Typist, server: StandIn) -> None:
    """The server recognises the repeat, so that one command is one run."""
    server.on("POST", RUNS, Told(breaks=True), Told(breaks=True), Told(status=201, content=a_run()))

    ended = typed("trigger", "ops/backup")

    keys = [asked.headers["idempotency-key"] for asked in server.asked]
    assert ended.code == 0
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_trigger_that_is_never_answered_gives_up_with_6(typed: Typist, server: StandIn) -> None:
    """It does not try for ever."""
    server.on("POST", RUNS, Told(breaks=True))

    ended = typed("trigger", "ops/backup")

    assert ended.code == 6
    assert len(server.asked) == 6
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1


def test_two_triggers_are_two_keys(typed: Typist, server: StandIn) -> None:
    """Asking twice means twice."""
    server.on("POST", RUNS, Told(status=201, content=a_run()))

    typed("trigger", "ops/backup")
    typed("trigger", "ops/backup")

    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 2


def test_a_busy_server_is_asked_again_when_it_says(typed: Typist, server: StandIn) -> None:
    """A bearable Retry-After is obeyed."""
    busy = problem(503, "the database is busy", retry_after="2")
    server.on("POST", RUNS, busy, Told(status=201, content=a_run()))

    ended = typed("trigger", "ops/backup")

    assert ended.code == 0
    assert typed.quick.pauses == [2.0]


def test_values_are_sent_in_the_types_that_the_job_declares(typed: Typist, server: StandIn) -> None:
    """Text that looks like a number stays text where the job wants text."""
    parameters = [
        {"name": "version", "type": "string"},
        {"name": "replicas", "type": "integer"},
        {"name": "share", "type": "number"},
        {"name": "loud", "type": "boolean"},
    ]
    job = {"project": "ops", "name": "backup", "parameters": parameters}
    server.on("GET", "/api/v1/projects/ops/jobs/backup", Told(content=job))
    server.on("POST", RUNS, Told(status=201, content=a_run()))
    given = ["version=1.10", "replicas=3", "share=0.5", "loud=true", "other=7", "empty="]

    typed("trigger", "ops/backup", *(word for text in given for word in ("-p", text)))

    assert server.asked_for("POST", RUNS)[0].content() == {
        "parameters": {"version": "1.10", "replicas": 3, "share": 0.5, "loud": True, "other": "7", "empty": ""}
    }


def test_a_value_that_does_not_fit_is_sent_as_it_is(typed: Typist, server: StandIn) -> None:
    """The server says what it wants; the command line does not guess."""
    job = {"project": "ops", "name": "backup", "parameters": [{"name": "replicas", "type": "integer"}]}
    server.on("GET", "/api/v1/projects/ops/jobs/backup", Told(content=job))
    server.on("POST", RUNS, problem(422, "/parameters/replicas: must be a whole number"))

    ended = typed("trigger", "ops/backup", "-p", "replicas=three")

    assert server.asked[-1].content() == {"parameters": {"replicas": "three"}}
    assert ended.code == 1


def test_parameters_may_come_from_a_file(typed: Typist, server: StandIn) -> None:
    """With JSON's own types."""
    (typed.folder / "given.json").write_text('{"replicas": 3, "loud": false}')
    server.on("POST", RUNS, Told(status=201, content=a_run()))

    typed("trigger", "ops/backup", "--params", "@given.json", "--priority", "5", "--delay", "10m")

    assert server.asked[0].content() == {
        "parameters": {"replicas": 3, "loud": False},
        "priority": 5,
        "delay_seconds": 600.0,
    }


def test_a_run_may_start_at_a_moment(typed: Typist, server: StandIn) -> None:
    """By the clocks of a zone, or of this machine, which only the command line knows."""
    made = Told(status=201, content={**a_run(), "state": "scheduled", "due_at": "2026-12-24T17:00:00Z"})
    server.on("POST", RUNS, made)
    server.on("POST", RUNS, made)

    ended = typed("trigger", "ops/backup", "--run-at", "2026-12-24T18:00", "--zone", "Europe/Paris")
    typed("trigger", "ops/backup", "--run-at", "2026-12-24T18:00")

    local = datetime(2026, 12, 24, 18).astimezone().isoformat()
    assert server.asked[0].content() == {"parameters": {}, "run_at": "2026-12-24T18:00", "zone": "Europe/Paris"}
    assert server.asked[1].content() == {"parameters": {}, "run_at": local}
    assert "is scheduled, it starts at 2026-12-24 17:00:00 UTC" in ended.errors


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--run-at", "2026-12-24T18:00", "--delay", "5m"), "give one of --delay and --run-at"),
        (("--zone", "Europe/Paris"), "--zone is the zone of --run-at, which is not given"),
    ],
)
def test_a_start_that_cannot_be_meant_is_refused(lonely: Typist, options: tuple[str, ...], sentence: str) -> None:
    """Without asking the server."""
    ended = lonely("trigger", "ops/backup", *options)

    assert (ended.code, sentence in ended.errors) == (2, True)


def test_secrets_come_from_a_file_or_the_environment(typed: Typist, server: StandIn) -> None:
    """The one newline that editors add is not part of it."""
    (typed.folder / "key.txt").write_text("hidden key \n")
    typed.environment["API_KEY"] = "other key"
    server.on("POST", RUNS, Told(status=201, content=a_run()))

    typed("trigger", "ops/backup", "--secret", "key=@key.txt", "--secret", "api=env:API_KEY")

    assert server.asked[0].content() == {"parameters": {}, "secrets": {"key": "hidden key ", "api": "other key"}}


def test_a_secret_on_the_command_line_is_refused_without_being_shown(lonely: Typist) -> None:
    """Every process can read the arguments of the others."""
    ended = lonely("trigger", "ops/backup", "--secret", "key=swordfish")

    assert ended.code == 2
    assert "swordfish" not in ended.errors
    assert "key=@FILE" in ended.errors


def test_following_prints_the_log_and_ends_with_the_summary(typed: Typist, server: StandIn) -> None:
    """The log on stdout, the verdict, the results and the address on stderr."""
    over = a_run(
        state="succeeded",
        worker="atlas",
        started_at="2026-03-01T10:00:00Z",
        ended_at="2026-03-01T10:04:12Z",
        results={"version": "1.4", "passed": 118},
    )
    server.on("POST", RUNS, Told(status=201, content=a_run()))
    pieces = (
        event("log", {"offset": 0, "text": "one\n"}, "4"),
        b": still here\n\n",
        event("log", {"offset": 4, "text": "two"}, "7"),
        event("end", over),
    )
    server.on("GET", STREAM, Told(pieces=pieces))
    server.on("GET", "/api/v1/runs/482", Told(content=over))

    ended = typed("trigger", "ops/backup", "--follow")

    assert ended.code == 0
    assert ended.out == "one\ntwo"
    assert ended.errors.splitlines()[1:] == [
        "Run #482 succeeded in 4 min 12 s on atlas",
        "Results: version=1.4, passed=118",
        f"{server.address}/api/v1/runs/482",
    ]


def test_a_broken_stream_is_taken_up_where_it_broke(typed: Typist, server: StandIn) -> None:
    """Not a byte twice, not a byte missing."""
    server.on("POST", RUNS, Told(status=201, content=a_run()))
    server.on("GET", "/api/v1/runs/482", Told(content=a_run(state="running")))
    server.on(
        "GET",
        STREAM,
        Told(pieces=(event("log", {"offset": 0, "text": "one\n"}, "4"), b"event: log\ndata: {")),
        Told(breaks=True),
        Told(pieces=(event("log", {"offset": 4, "text": "two\n"}, "8"), event("end", a_run(state="failed")))),
    )

    ended = typed("trigger", "ops/backup", "--follow")

    assert ended.out == "one\ntwo\n"
    assert ended.code == 20
    assert [asked.headers.get("last-event-id") for asked in server.asked_for("GET", STREAM)] == [None, "4", "4"]


def test_a_run_that_waits_says_why_once(typed: Typist, server: StandIn) -> None:
    """In the words of the API."""
    waiting = {"state": "pending", "reasons": ["0 of 2 workers match: gpu>=1"], "workers": []}
    server.on("POST", RUNS, Told(status=201, content=a_run()))
    server.on("GET", "/api/v1/runs/482", Told(content=a_run(waiting=waiting)))
    silent = Told(pieces=(b": nothing yet\n\n",))
    server.on("GET", STREAM, silent, silent, silent, Told(pieces=(event("end", a_run(state="cancelled")),)))

    ended = typed("trigger", "ops/backup", "--follow")

    assert ended.code == 21
    assert ended.errors.count("Run #482 is pending: 0 of 2 workers match: gpu>=1\n") == 1


def test_a_retry_names_only_what_changes(typed: Typist, server: StandIn) -> None:
    """The server knows the rest."""
    job = {"project": "ops", "name": "backup", "parameters": [{"name": "replicas", "type": "integer"}]}
    server.on("GET", "/api/v1/runs/482", Told(content=a_run(state="failed")))
    server.on("GET", "/api/v1/projects/ops/jobs/backup", Told(content=job))
    server.on("POST", "/api/v1/runs/482/retry", Told(status=201, content=a_run(483)))

    ended = typed("retry", "482", "--set", "replicas=4")

    assert ended.out == "#483\n"
    assert server.asked[-1].content() == {"parameters": {"replicas": 4}}
    assert server.asked[-1].headers["idempotency-key"]


def test_json_of_a_waited_trigger_is_the_run_alone(typed: Typist, server: StandIn) -> None:
    """One document on stdout, as the API has it."""
    server.on("POST", RUNS, Told(status=201, content=a_run()))
    server.on("GET", "/api/v1/runs/482", Told(body=b'{"id":482,"state":"succeeded","field_of_tomorrow":1}'))

    ended = typed("trigger", "ops/backup", "--follow", "--json")

    assert ended.out == '{"id":482,"state":"succeeded","field_of_tomorrow":1}\n'
    assert ended.errors == ""


@pytest.mark.parametrize("text", ["ops", "ops/", "Ops/backup", "../backup", "ops/a/b"])
def test_what_names_no_job_is_refused_here(lonely: Typist, tmp_path: Path, text: str) -> None:
    """Before anything is asked."""
    ended = lonely("trigger", text, "--server", "127.0.0.1:1")

    assert ended.code == 1
    assert "is no " in ended.errors
