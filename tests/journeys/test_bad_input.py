"""Bad input over real HTTP and the real command line: each gets a clear answer, and nothing is changed by it."""

import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from orchestra.configuration import read_token_file
from orchestra.limits import BODY_BYTES_MAX
from tests.support.journey import PYTHON, Orchestra, Run, lines_of, running, started, wait_until

JOBS = """
orchestra: 1
project: ops
jobs:
  note:
    parameters:
      times: {{ type: integer, min: 1, max: 5, default: 1 }}
    run: echo "$ORCHESTRA_RUN" >> {witness}
  unknown-name:
    steps:
      - command: [sh, -c, 'echo before >> {witness}']
      - command: [echo, "{{environment.VERSION}}"]
  no-such-command: {{ command: [no-such-command-anywhere] }}
  no-such-folder: {{ command: ['true'], directory: /no/such/folder }}
  exit-127: {{ run: exit 127 }}
  elsewhere: {{ run: echo elsewhere >> {witness}, worker: {{ os: plan9 }} }}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the instance of these tests lives."""
    return tmp_path_factory.mktemp("bad-input")


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[Orchestra]:
    """One instance with one worker for all of these tests: none of them may harm the next."""
    orchestra = Orchestra(folder, slots=0)
    with started(orchestra):
        orchestra.apply(JOBS.format(witness=folder / "witness"))
        with running(orchestra.worker(folder, "atlas")):
            wait_until(lambda: orchestra.connected("atlas"), what="the worker")
            yield orchestra


@pytest.fixture
def witness(folder: Path) -> Path:
    """Empty at the beginning of each test."""
    (folder / "witness").unlink(missing_ok=True)
    return folder / "witness"


class Refusal:
    """An answer that is not a success."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        problem = json.loads(body)
        self.detail: str = problem["detail"]
        self.pointers = [each["pointer"] for each in problem["errors"]]


def ask(up: Orchestra, method: str, path: str, body: bytes | None = None, token: str | None = None) -> Refusal:
    """One request on a connection of its own, as a foreign program may send it."""
    connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=60)
    try:
        bearer = read_token_file(up.data / "admin.token") if token is None else token
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        connection.request(method, f"/api/v1{path}", body=body, headers=headers)
        response = connection.getresponse()
        return Refusal(response.status, response.read())
    finally:
        connection.close()


def typed(up: Orchestra, *words: str) -> subprocess.CompletedProcess[str]:
    """One command of the real command line, beside the data folder."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(up.data), "ORCHESTRA_DATA": str(up.data)}
    return subprocess.run(
        [PYTHON, "-m", "orchestra", *words],
        env=environment,
        cwd=up.data,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def count(up: Orchestra) -> int:
    """How many runs there are."""
    return up.api.get("/api/v1/runs").read(RunPage).total.value


def outcome(up: Orchestra, job: str) -> Run:
    """The end of a run of the job."""
    return up.finish(up.trigger(f"ops/{job}"))


class Total(msgspec.Struct, frozen=True):
    """How many there are."""

    value: int


class RunPage(msgspec.Struct, frozen=True):
    """What a list of runs says of its length."""

    total: Total


@pytest.mark.parametrize("token", ["", "nonsense", f"orc_u_{'0' * 64}", f"orc_w_{'0' * 64}", "orc_u_\u00e9"])
def test_a_bad_token_is_refused_without_noise(up: Orchestra, token: str) -> None:
    said = up.program.output

    refusals = [
        ask(up, "GET", "/runs", token=token),
        ask(up, "POST", "/projects/ops/jobs/note/runs", b"{}", token=token),
    ]

    assert [refusal.status for refusal in refusals] == [401, 401]
    assert "sign in first" in refusals[0].detail
    assert up.program.output == said


def test_a_workers_token_opens_nothing_for_people(up: Orchestra) -> None:
    refusal = ask(up, "GET", "/runs", token=read_token_file(up.data / "worker.token"))

    assert refusal.status in (401, 403)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"parameters": {"times": 6}}, "/parameters/times"),
        ({"parameters": {"times": "two"}}, "/parameters/times"),
        ({"parameters": {"tmies": 2}}, "/parameters/tmies"),
        ({"parameters": {"times": 10**30}}, "/parameters/times"),
        ({"parameters": [], "secrets": {}}, "/parameters"),
        ({"priority": 10**30}, "/priority"),
        ({"delay_seconds": -1}, "/delay_seconds"),
        ({"delay": 1}, "/delay"),
    ],
)
def test_a_bad_parameter_is_named_and_makes_no_run(up: Orchestra, body: object, pointer: str) -> None:
    before = count(up)

    refusal = ask(up, "POST", "/projects/ops/jobs/note/runs", json.dumps(body).encode())

    assert refusal.status == 422, refusal.detail
    assert refusal.pointers == [pointer]
    assert count(up) == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"\xff", 400),
        (b'{"parameters": {"times": ' + b"[" * 100_000, 422),
        (b'{"parameters": {"\\ud800": 1}}', 400),
        (b"[]", 422),
        (b"null", 422),
    ],
    ids=["cut off", "no text", "too deep", "half a character", "a list", "null"],
)
def test_a_body_that_is_no_request_makes_no_run(up: Orchestra, body: bytes, status: int) -> None:
    before = count(up)

    refusal = ask(up, "POST", "/projects/ops/jobs/note/runs", body)

    assert refusal.status == status, refusal.detail
    assert count(up) == before


@pytest.mark.parametrize(
    "path",
    [
        "/projects/ops/jobs/nothing",
        "/projects/nothing/jobs/note",
        "/runs/999999",
        f"/runs/{10**30}",
        "/runs/nothing",
        "/runs/999999/log",
        "/runs/-1",
        "/workers/nothing",
        "/nothing",
    ],
)
def test_what_is_not_there_is_not_found(up: Orchestra, path: str) -> None:
    assert ask(up, "GET", path).status == 404


def test_a_nul_in_an_address_is_refused_before_it_is_looked_up(up: Orchestra) -> None:
    assert ask(up, "GET", "/workers/%00").status == 400


def test_a_body_beyond_its_bound_is_refused(up: Orchestra) -> None:
    before = count(up)
    fits = json.dumps({"parameters": {"times": 1, "filler": "x" * (BODY_BYTES_MAX - 100)}}).encode()

    refusals = [ask(up, "POST", "/projects/ops/jobs/note/runs", body) for body in (fits, fits + b" " * 200)]

    assert [refusal.status for refusal in refusals] == [422, 413]
    assert count(up) == before


def test_a_bad_definition_is_shown_with_its_place_and_the_old_one_stays(up: Orchestra) -> None:
    before = up.api.get("/api/v1/projects/ops/jobs/note").body
    (up.data / "bad.yaml").write_text("orchestra: 1\nproject: ops\njobs:\n  note:\n    rnu: echo hello\n")

    checked = typed(up, "validate", "bad.yaml")
    applied = typed(up, "apply", "--yes", "--file", "bad.yaml")
    shortly = typed(up, "apply", "--yes", "bad.yaml")
    twice = typed(up, "apply", "--yes", "bad.yaml", "--file", "other.yaml")
    refusal = ask(up, "PUT", "/projects/ops/definition", b'{"name": "ops", "jobs": [{"name": "note", "rnu": 1}]}')

    assert twice.returncode == 2
    assert "one definition at a time" in twice.stderr
    for answer in (checked, applied, shortly):
        assert answer.returncode == 1
        assert "bad.yaml:5:5" in answer.stderr + answer.stdout
        assert "run" in answer.stderr + answer.stdout
        assert "^" in answer.stderr + answer.stdout
    assert refusal.status == 422
    assert up.api.get("/api/v1/projects/ops/jobs/note").body == before


def test_a_template_that_names_an_unknown_value_executes_nothing(up: Orchestra, witness: Path) -> None:
    run = outcome(up, "unknown-name")

    assert (run.state, run.exit_code) == ("exception", None)
    assert "environment.VERSION" in run.reason
    assert lines_of(witness) == []


def test_what_cannot_be_started_is_told_apart_from_what_said_127(up: Orchestra) -> None:
    command, directory, exited = (outcome(up, job) for job in ("no-such-command", "no-such-folder", "exit-127"))

    assert (command.state, command.exit_code) == ("exception", None)
    assert "command not found: 'no-such-command-anywhere'" in command.reason
    assert (directory.state, directory.exit_code) == ("exception", None)
    assert "the directory '/no/such/folder' does not exist" in directory.reason
    assert (exited.state, exited.exit_code, exited.reason) == ("failed", 127, "exit code 127")


def test_a_run_that_no_worker_can_take_says_why(up: Orchestra, witness: Path) -> None:
    number = up.trigger("ops/elsewhere")
    try:
        run = up.run(number)
        answer = typed(up, "run", "show", str(number), "--why")
        waiting = up.api.get(f"/api/v1/runs/{number}/waiting").read(Waiting)

        assert run.state == "pending"
        assert [(worker.name, worker.matches) for worker in waiting.workers] == [("atlas", False)]
        assert waiting.reasons[0] == "none of 1 worker has what the job asks (1 connected)"
        assert "os" in waiting.workers[0].reason
        assert "plan9" in waiting.workers[0].reason
        assert answer.returncode == 0
        assert f"atlas: {waiting.workers[0].reason}" in answer.stdout
        assert lines_of(witness) == []
    finally:
        up.api.post(f"/api/v1/runs/{number}/cancel", {"reason": "the test is over"})


class WorkerAnswer(msgspec.Struct, frozen=True):
    """What one worker says to a run."""

    name: str
    matches: bool
    reason: str


class Waiting(msgspec.Struct, frozen=True):
    """Why a run waits."""

    reasons: tuple[str, ...]
    workers: tuple[WorkerAnswer, ...]
