"""The first hour of a newcomer, typed as the README and the commands' own hints say it."""

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.journey import PYTHON, Orchestra, Program, keeper_of, running, started, wait_until
from tests.support.ports import free_port

Type = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the newcomer sits: everything is relative to it."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def here(folder: Path) -> Iterator[Orchestra]:
    """`orchestra up` in that folder, with its local worker; `./data` is found by the commands themselves."""
    with started(Orchestra(folder, slots=2)) as up:
        yield up


@pytest.fixture
def type_(folder: Path, tmp_path: Path) -> Type:
    """Types a command of ours in that folder, as somebody without any configuration, and looks at its exit code."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("ORCHESTRA", "XDG"))}

    def run(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [PYTHON, "-m", "orchestra", *words],
            cwd=folder,
            env={**environment, "HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, f"orchestra {' '.join(words)} → {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    return run


def fetched(address: str, token: str) -> tuple[int, bytes]:
    """What `curl -H "Authorization: Bearer …"` gets."""
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status, answer.read()


def test_from_an_empty_folder_to_a_run_that_is_retried(here: Orchestra, folder: Path, type_: Type) -> None:
    wait_until(lambda: here.connected("local"), what="the local worker")

    assert "orchestra validate" in type_("init", "--example", "backup").stdout
    assert "project ops, 1 job\n" in type_("validate").stdout

    definition = folder / "orchestra.yaml"
    good = definition.read_text()
    definition.write_text(good.replace("max-attempts", "max-atempts"))
    place = next(
        (line, text.index("max-atempts") + 1)
        for line, text in enumerate(definition.read_text().splitlines(), 1)
        if "max-atempts" in text
    )
    bad = type_("validate", code=1).stderr
    assert f"orchestra.yaml:{place[0]}:{place[1]}" in bad
    assert "^^^^^^^^^^^" in bad
    assert "did you mean `max-attempts`?" in bad
    assert "nothing was applied" in type_("apply", "--yes", code=1).stderr
    definition.write_text(good)

    plan = type_("apply", "--yes")
    assert "+ project ops" in plan.stdout
    assert "+ job backup" in plan.stdout
    assert "fires next" in plan.stdout
    assert "orchestra trigger ops/backup --follow" in plan.stdout + plan.stderr
    assert "Nothing to change" in (again := type_("apply", "--yes")).stdout + again.stderr

    followed = type_("trigger", "ops/backup", "--follow")
    assert "/etc/hostname is kept in" in followed.stdout
    assert "Run #1 succeeded" in followed.stdout + followed.stderr
    assert "/etc/hostname is kept in" in type_("logs", "1").stdout
    shown = type_("run", "show", "1").stdout
    assert "succeeded" in shown
    assert "bytes = " in shown
    assert "ops/backup" in type_("runs").stdout
    assert [run["id"] for run in json.loads(type_("runs", "--json").stdout)["items"]] == [1]
    type_("retry", "1", "--wait")
    assert json.loads(type_("run", "show", "2", "--json").stdout)["retry_of"] == 1
    assert "local" in type_("workers").stdout
    assert "ops/backup" in type_("schedules").stdout
    assert "ops/backup" in type_("jobs").stdout


def test_mistakes_are_answered_with_what_to_do(here: Orchestra, folder: Path, type_: Type) -> None:
    (folder / "orchestra.yaml").write_text(
        "orchestra: 1\nproject: ops\njobs:\n"
        "  broken: { run: tarr -c x }\n"
        "  picky: { run: 'true', worker: { gpu: '>= 1' } }\n"
        "  typed: { run: 'true', parameters: { size: { type: integer, max: 3, default: 1 } } }\n"
    )
    type_("apply", "--yes")

    broken = type_("trigger", "ops/broken", "--follow", code=20)
    assert "tarr" in broken.stdout
    assert "exit code 127" in broken.stdout + broken.stderr
    assert "size" in type_("trigger", "ops/typed", "-p", "size=9", code=1).stderr
    assert "did you mean `size`?" in type_("trigger", "ops/typed", "-p", "sice=1", code=1).stderr
    assert "ops/brokn" in type_("trigger", "ops/brokn", code=3).stderr
    assert "99" in type_("run", "show", "99", code=3).stderr
    type_("trigger", "ops/picky")
    why = type_("run", "show", "2", "--why").stdout
    assert "gpu" in why
    assert "local" in why
    type_("trigger", "ops/picky", "--wait", "--timeout", "1s", code=24)
    type_("cancel", "2")
    assert "cancelled" in type_("run", "show", "2").stdout
    type_("logs", "2", code=0)
    assert "--help" in type_("trigger", "--folow", "ops/broken", code=2).stderr
    elsewhere = str(free_port())
    assert elsewhere in type_("--server", f"http://127.0.0.1:{elsewhere}", "runs", code=6).stderr
    assert "process" in type_("up", "--port", "0", "--data", "data", code=1).stderr
    refused = type_("up", "--port", str(here.port), "--data", "other", code=1).stderr
    assert str(here.port) in refused


def test_people_tokens_and_a_second_worker(here: Orchestra, folder: Path, type_: Type) -> None:
    assert "administrator" in type_("whoami").stdout
    type_("init")
    type_("apply", "--yes")
    created = type_("user", "create", "ana", "--role", "operator@ops").stdout
    assert "orchestra token create" in created
    token = type_("token", "create", "ci", "--user", "ana", "--expires", "30").stdout.strip()
    status, body = fetched(f"{here.address}/api/v1/me", token)
    assert (status, json.loads(body)["name"]) == (200, "ana")
    doctor = type_("doctor").stdout
    assert "fail" not in doctor
    assert "workers" in doctor

    made = type_("token", "create", "atlas", "--kind", "worker", "--output", "atlas.token")
    assert (folder / "atlas.token").stat().st_mode & 0o777 == 0o600
    # The hint is a line to paste.
    pasted = (made.stdout + made.stderr).partition("machine: orchestra ")[2].split()
    line = [PYTHON, "-m", "orchestra", *pasted, "--slots", "3", "--property", "disk=ssd"]
    with running(Program(["/usr/bin/env", "-C", str(folder), *line], log=folder / "atlas.log")):
        wait_until(lambda: here.connected("atlas"), what="the second worker")
        shown = type_("worker", "show", "atlas").stdout
        assert "disk" in shown
        assert "ssd" in shown
        assert "of 3" in shown
        assert "atlas" in type_("workers").stdout
        tokens = {token["name"]: token for token in json.loads(type_("tokens", "--json").stdout)["items"]}
        assert tokens["atlas"]["last_used_at"] is not None


def test_after_control_c_and_up_again_everything_is_there(folder: Path, type_: Type) -> None:
    (folder / "orchestra.yaml").write_text(
        "orchestra: 1\nproject: ops\njobs:\n"
        "  slow: { run: 'echo begin; while [ ! -e "
        f"{folder}/go ]; do sleep 0.1; done; echo end' }}\n"
        "  nightly: { run: 'true', schedule: '30 2 * * *' }\n"
    )
    with started(Orchestra(folder, slots=1)) as up:
        type_("apply", "--yes")
        type_("trigger", "ops/slow")
        wait_until(lambda: up.log(1) == b"begin\n", what="the first line")
        keeper = keeper_of(up.data / "workers" / "local")
        assert up.program.process is not None

        up.program.process.send_signal(signal.SIGINT)
        status = up.program.process.wait(60)
        goes_on = keeper_of(up.data / "workers" / "local") == keeper
        away = type_("runs", code=6).stderr
        up.start()
        (folder / "go").touch()
        run = up.finish(1)

        assert status == 0, up.program.output
        assert goes_on
        assert "start it" in away
        assert (run.state, run.attempts_counted, up.log(1)) == ("succeeded", 1, b"begin\nend\n"), run.reason
        assert "ops/nightly" in type_("schedules").stdout
        assert "Traceback" not in up.program.output
