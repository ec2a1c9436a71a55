"""Lists and pages: what they ask for and what they show."""

import json

import pytest

from tests.core.cli.conftest import Typist
from tests.core.cli.stand_in import StandIn, Told, a_page, a_run

RUN_LIST = "/api/v1/runs"


def test_filters_are_the_words_of_the_api(typed: Typist, server: StandIn) -> None:
    """One grammar for page, command line and API."""
    server.on("GET", RUN_LIST, a_page())

    typed(
        *("runs", "--status", "failed,exception", "--job", "ops/backup", "--worker", "atlas", "--since", "2d"),
        *("--param", "env=prod", "--result", "version=1.2", "--limit", "10", "--sort", "id"),
    )

    assert server.asked[0].query == {
        "status": ["failed,exception"],
        "project": ["ops"],
        "job": ["backup"],
        "worker": ["atlas"],
        "created_after": ["2026-02-27T12:00:00Z"],
        "param.env": ["prod"],
        "result.version": ["1.2"],
        "limit": ["10"],
        "sort": ["id"],
    }


def test_a_list_ends_with_where_the_next_page_is(typed: Typist, server: StandIn) -> None:
    """Counted only up to a bound, and said so."""
    server.on("GET", RUN_LIST, a_page(a_run(7, "running", progress=0.3), following="eyJ", count=1000))

    ended = typed("runs", "--utc")

    assert ended.errors == "1 of 1,000+; more: --cursor eyJ\n"
    assert ended.out.splitlines()[1].split() == [
        *("#7", "running", "30%", "ops/backup", "user", "ana", "-", "2026-03-01", "10:00:00", "UTC", "-", "-")
    ]


@pytest.mark.parametrize("words", [("runs",), ("run",), ("run", "list"), ("runs", "list"), ("runs", "--limit", "50")])
def test_a_noun_lists_in_either_number(typed: Typist, server: StandIn, words: tuple[str, ...]) -> None:
    """Nobody has to remember which."""
    server.on("GET", RUN_LIST, a_page(a_run()))

    assert "#482" in typed(*words).out


def test_only_the_numbers_for_the_next_program(typed: Typist, server: StandIn) -> None:
    """`orchestra runs -q --status failed | xargs -n1 orchestra retry`."""
    server.on("GET", RUN_LIST, a_page(a_run(8), a_run(7)))

    assert typed("runs", "-q").out == "8\n7\n"


def test_json_is_what_the_api_answered(typed: Typist, server: StandIn) -> None:
    """Nothing is lost, whatever the version of this program."""
    body = b'{"items":[],"next":null,"new":"field"}'
    for noun in ("runs", "jobs", "workers", "schedules", "users", "tokens"):
        server.on("GET", f"/api/v1/{noun}", Told(body=body))

        assert typed(noun, "--json").out == body.decode() + "\n"
        assert typed("--json", noun).out == body.decode() + "\n"


def test_one_run_is_shown_with_all_that_happened(typed: Typist, server: StandIn) -> None:
    """Verdict first; attempts, steps and results below."""
    step = {"attempt": 2, "number": 1, "name": "Test", "exit_code": 3, "reason": ""}
    times = {"started_at": "2026-03-01T10:00:00Z", "ended_at": "2026-03-01T10:01:30Z"}
    attempts = [
        {"number": 1, "worker": "atlas", "state": "failed", "reason": "exit 3", **times},
        {"number": 2, "worker": "borea", "state": "failed", "reason": "exit 3", "lost_bytes": 2048, **times},
    ]
    shown = a_run(state="failed", reason="exit 3", results={"passed": 2}, attempts=attempts, steps=[step | times])
    shown |= times
    server.on("GET", "/api/v1/runs/482", Told(content=shown))

    ended = typed("run", "show", "482", "--utc")

    assert ended.out.splitlines() == [
        "Run #482 ops/backup: failed: exit 3",
        "  source      user ana",
        "  created     2026-03-01 10:00:00 UTC",
        "  started     2026-03-01 10:00:00 UTC",
        "  ended       2026-03-01 10:01:30 UTC",
        "  took        1 min 30 s",
        f"  url         {server.address}/api/v1/runs/482",
        "",
        "Attempts",
        "  1 failed, on atlas, in 1 min 30 s, exit 3",
        "  2 failed, on borea, in 1 min 30 s, exit 3, 2.0 KiB of its log are lost",
        "",
        "Steps",
        "  2: Test: exit 3 in 1 min 30 s",
        "",
        "Results",
        "  passed = 2",
        "",
        "Log: orchestra logs 482",
    ]


def test_why_a_run_waits_is_told_per_worker(typed: Typist, server: StandIn) -> None:
    """In the words of the API."""
    workers = [{"name": "atlas", "matches": False, "reason": "`os` is linux, needs windows"}]
    waiting = {"state": "pending", "reasons": ["0 of 1 workers match"], "workers": workers}
    server.on("GET", "/api/v1/runs/482/waiting", Told(content=waiting))

    ended = typed("run", "show", "482", "--why")

    assert ended.out == (
        "It is pending:\n  0 of 1 workers match\n  atlas: does not match, `os` is linux, needs windows\n"
    )


def test_a_stop_that_was_asked_for_is_not_shown_as_done(typed: Typist, server: StandIn) -> None:
    """The run says itself when it has ended."""
    asked = {"at": "2026-03-01T10:00:00Z", "by": "ana", "reason": "x"}
    server.on("POST", "/api/v1/runs/482/abort", Told(status=202, content=a_run(state="running", stop_requested=asked)))
    server.on("POST", "/api/v1/runs/483/cancel", Told(status=202, content=a_run(483, "cancelled")))

    running = typed("abort", "482", "--reason", "wrong branch")
    waiting = typed("cancel", "483")

    assert running.out == "Run #482 is running, its stop is requested. See: orchestra run show 482\n"
    assert server.asked[0].content() == {"reason": "wrong branch"}
    assert server.asked[0].headers["idempotency-key"]
    assert waiting.out == "Run #483 is cancelled.\n"


def test_jobs_and_schedules_are_listed(typed: Typist, server: StandIn) -> None:
    """With their last and next run."""
    last = {"id": 7, "state": "failed"}
    server.on("GET", "/api/v1/jobs", a_page({"project": "ops", "name": "backup", "enabled": False, "last_run": last}))
    due = "2026-03-02T01:30:00Z"
    tick = {"due_at": "2026-03-01T01:30:00Z", "decision": "run", "run": 7}
    shown = {"project": "ops", "job": "backup", "sentence": "At 02:30", "zone": "Europe/Paris", "next_fire_at": due}
    server.on("GET", "/api/v1/schedules", a_page(shown | {"last_tick": tick}))

    assert typed("jobs").out.splitlines()[1].split() == ["ops/backup", "disabled", "#7", "failed", "-"]
    assert "At 02:30  Europe/Paris  2026-03-02 01:30:00 UTC  2026-03-01 01:30:00 UTC: run" in (
        typed("schedules", "--utc").out
    )


@pytest.mark.parametrize(
    ("words", "path", "content"),
    [
        (("worker", "drain", "atlas"), "workers/atlas", {"state": "draining"}),
        (("worker", "resume", "atlas"), "workers/atlas", {"state": "online"}),
        (("workers", "disable", "atlas", "--reason", "x"), "workers/atlas", {"state": "disabled", "reason": "x"}),
        (("worker", "enable", "atlas"), "workers/atlas", {"state": "online"}),
        (("job", "disable", "ops/b", "--reason", "x"), "projects/ops/jobs/b", {"enabled": False, "reason": "x"}),
        (("job", "enable", "ops/b"), "projects/ops/jobs/b", {"enabled": True}),
        (("user", "disable", "ana"), "users/ana", {"enabled": False}),
        (("user", "enable", "ana"), "users/ana", {"enabled": True}),
    ],
)
def test_switches_say_what_is_so_now(
    typed: Typist, server: StandIn, words: tuple[str, ...], path: str, content: dict[str, object]
) -> None:
    """As the server answered, not as was asked."""
    answer = {"name": "atlas", "project": "ops", "state": "disabled", "enabled": False}
    server.on("PATCH", f"/api/v1/{path}", Told(content=answer))

    ended = typed(*words)

    assert server.asked[0].content() == content
    assert "is disabled" in ended.out


def test_a_worker_out_of_contact_says_since_when(typed: Typist, server: StandIn) -> None:
    """Out of contact is a note, never a state."""
    shown = {"name": "atlas", "state": "online", "connected": False, "last_contact_at": "2026-03-01T10:00:00Z"}
    server.on("GET", "/api/v1/workers", a_page(shown | {"properties": {"os": "linux"}, "slots": 2, "runs": [7]}))
    server.on("GET", "/api/v1/workers/atlas", Told(content=shown))

    assert "out of contact since 2026-03-01 10:00:00 UTC" in typed("workers", "--utc").out
    assert "out of contact since 2026-03-01 10:00:00 UTC" in typed("worker", "show", "atlas", "--utc").out


def test_a_name_cannot_climb_out_of_its_place(typed: Typist, server: StandIn) -> None:
    """Every segment is quoted."""
    typed("worker", "show", "../runs?x=1")

    assert server.asked[0].path == "/api/v1/workers/..%2Fruns%3Fx%3D1"
    assert json.dumps(server.asked[0].query) == "{}"
