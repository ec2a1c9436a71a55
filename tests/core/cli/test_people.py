"""Signing in, users, tokens, the doctor, the database and the words inside a step."""

import io
import json
import stat
from pathlib import Path

import pytest

from tests.core.cli.conftest import TOKEN, Typist
from tests.core.cli.stand_in import StandIn, Told, problem

ME = {"name": "ana", "roles": [{"role": "operator", "project": "ops"}], "via": "token"}


def test_a_server_is_remembered_with_its_token(lonely: Typist, server: StandIn) -> None:
    """After the server has accepted it; readable by its owner only."""
    server.on("GET", "/api/v1/me", Told(content=ME))
    (lonely.folder / "my.token").write_text(TOKEN + "\n")

    made = lonely("login", server.address, "--token-file", "my.token")
    who = lonely("whoami")
    gone = lonely("logout")

    kept = lonely.folder / "home" / ".config" / "orchestra" / "config.toml"
    assert made.out.startswith(f"Signed in to {server.address} as ana")
    assert who.out.startswith(f"ana (operator@ops) at {server.address}, from {kept}")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert gone.code == 0
    assert TOKEN not in kept.read_text()
    assert lonely("whoami").code == 6


def test_a_token_may_come_by_stdin(lonely: Typist, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a password store, say."""
    server.on("GET", "/api/v1/me", Told(content=ME))
    monkeypatch.setattr("sys.stdin", io.StringIO(TOKEN + "\n"))

    assert lonely("login", server.address, "--token-file", "-").code == 0
    assert server.asked[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_a_refused_token_is_not_kept(lonely: Typist, server: StandIn) -> None:
    """A typing mistake is found now, not tomorrow."""
    server.on("GET", "/api/v1/me", problem(401, "sign in first"))
    (lonely.folder / "my.token").write_text(TOKEN)

    ended = lonely("login", server.address, "--token-file", "my.token")

    assert ended.code == 4
    assert ended.errors == "error: sign in first\nhelp: orchestra login URL, or give --token-file FILE\n"
    assert not (lonely.folder / "home").exists()


def test_a_user_is_created_with_roles_and_a_password_from_a_file(typed: Typist, server: StandIn) -> None:
    """Never from the command line."""
    (typed.folder / "password").write_text("correct horse battery\nsecond line")
    server.on("POST", "/api/v1/users", Told(status=201, content={"name": "ana"}))

    ended = typed("user", "create", "ana", *("--role", "operator@ops"), *("--password-file", "password"))

    assert ended.code == 0
    assert server.asked[0].content() == {
        "name": "ana",
        "roles": [{"role": "operator", "project": "ops"}],
        "password": "correct horse battery",
    }


def test_the_secret_of_a_token_is_printed_alone(typed: Typist, server: StandIn) -> None:
    """So that `TOKEN=$(orchestra token create ci)` works."""
    server.on("POST", "/api/v1/tokens", Told(status=201, content={"id": 4, "name": "ci", "secret": TOKEN}))

    ended = typed("token", "create", "ci", "--expires", "90", "--user", "ana")

    assert ended.out == TOKEN + "\n"
    assert server.asked[0].content() == {"name": "ci", "kind": "user", "user": "ana", "expires_days": 90}


def test_the_secret_of_a_token_may_go_into_a_new_private_file(typed: Typist, server: StandIn) -> None:
    """And no token is made if the file cannot be."""
    server.on("POST", "/api/v1/tokens", Told(status=201, content={"id": 4, "name": "ci", "secret": TOKEN}))

    first = typed("token", "create", "ci", "--output", "ci.token")
    second = typed("token", "create", "ci", "--output", "ci.token")

    path = typed.folder / "ci.token"
    assert TOKEN not in first.out
    assert path.read_text() == TOKEN + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert second.code == 1
    assert len(server.asked) == 1


def test_a_token_is_revoked_by_its_number(typed: Typist, server: StandIn) -> None:
    """As the list shows it."""
    server.on("DELETE", "/api/v1/tokens/4", Told(status=204))

    assert typed("token", "revoke", "4").out == "Token 4 is revoked.\n"


def test_the_doctor_names_what_is_wrong_and_its_cure(typed: Typist, server: StandIn) -> None:
    """Exit 1 only for what is broken."""
    server.on("GET", "/api/v1/health/live", Told(content={"status": "ok"}))
    server.on("GET", "/api/v1/health/ready", problem(503, "the database does not answer"))
    server.on("GET", "/api/v1/me", Told(content=ME))
    server.on("GET", "/api/v1/workers", Told(content={"items": []}))

    ended = typed("doctor")

    assert ended.code == 1
    assert "fail  database: the database does not answer\n" in ended.out
    assert "ok    token: it belongs to ana (operator@ops)\n" in ended.out
    assert "warn  workers: 0 of 0 take runs\n       fix: orchestra worker start" in ended.out
    # The stand-in's clock is the real one, the typist lives in March 2026.
    assert "warn  alive: it answers, but this machine's clock is " in ended.out


def test_the_doctor_works_without_a_server(lonely: Typist) -> None:
    """It says that there is none."""
    findings = json.loads(lonely("doctor", "--json").out)

    assert {finding["check"] for finding in findings} >= {"program", "time zones", "shell", "disk", "server"}
    assert [finding["check"] for finding in findings if finding["verdict"] == "fail"] == ["server"]


def test_the_database_is_upgraded_and_checked(lonely: Typist) -> None:
    """In a data folder, under its lock."""
    (lonely.folder / "data").mkdir()
    data = str(lonely.folder / "data")

    before = lonely("db", "check", "--data", data)
    upgraded = lonely("db", "upgrade", "--data", data)
    after = lonely("db", "check", "--data", data)

    assert before.code == 1
    assert "run 'orchestra db upgrade'" in before.errors
    assert upgraded.out.startswith("The database is upgraded to schema version ")
    assert after.out.startswith("The database has schema version ")


def test_the_database_of_a_running_process_is_left_alone(lonely: Typist) -> None:
    """Two processes on one SQLite file can destroy it."""
    from orchestra.folder import lock_folder

    data = lonely.folder / "data"
    with lock_folder(data, "orchestra up"):
        ended = lonely("db", "upgrade", "--data", str(data))

    assert ended.code == 1
    assert "is in use by" in ended.errors


def test_a_step_says_how_far_it_is_and_keeps_results(
    lonely: Typist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into the files that the worker named."""
    monkeypatch.setenv("ORCHESTRA_CHECKINS", str(tmp_path / "checkins"))
    monkeypatch.setenv("ORCHESTRA_RESULTS", str(tmp_path / "results.json"))

    codes = [
        lonely("checkin", "30%", "building").code,
        lonely("checkin", "waiting", "for", "it").code,
        lonely("result", "set", "version", "1.40").code,
        lonely("result", "set", "passed", "118", "--parse").code,
    ]

    lines = [json.loads(line) for line in (tmp_path / "checkins").read_text().splitlines()]
    assert codes == [0, 0, 0, 0]
    assert lines == [{"progress": 0.3, "text": "building"}, {"progress": None, "text": "waiting for it"}]
    assert json.loads((tmp_path / "results.json").read_text()) == {"version": "1.40", "passed": 118}


def test_outside_of_a_step_a_check_in_is_one_sentence(lonely: Typist, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written anywhere."""
    monkeypatch.delenv("ORCHESTRA_CHECKINS", raising=False)

    ended = lonely("checkin", "30%")

    assert ended.code == 1
    assert ended.errors == ("error: ORCHESTRA_CHECKINS is not set: this works only inside a step that a worker runs\n")


@pytest.mark.parametrize("share", ["101%", "1000%"])
def test_more_than_everything_is_refused(lonely: Typist, share: str) -> None:
    """As bad usage."""
    assert lonely("checkin", share).code == 2
