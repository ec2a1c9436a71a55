"""A secret reaches the job and nothing else: no log, no argument, no answer, no database, no file that stays."""

import base64
import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from orchestra.network.client import API
from orchestra.network.problems import RequestRefused
from tests.support.journey import PYTHON, Orchestra, Program, Run, running, started, wait_until
from tests.support.pipelines import PipelineOf

CORE = "9f3ac81e77d2"
SECRET = f"""open "{CORE}" 'sésame' /%+&={CORE}"""
STARS = b"*" * len(SECRET.encode())

DEFINITION = """
orchestra: 1
project: ops
jobs:
  tell:
    parameters:
      key: {{ type: secret, required: true }}
      name: {{ type: string, default: you }}
    retry: {{ max-attempts: 2, wait: 1s }}
    steps:
      - name: Plain
        run: |
          printf %s "$PARAM_KEY" | sha256sum | cut -c-64 >> {witness}
          echo "key=$PARAM_KEY;"
          printf %s "$PARAM_KEY" | base64 -w 0
          echo
          {python} {folder}/forms.py
      - name: Split
        command: [{python}, {folder}/split.py, {folder}]
      - name: End
        run: |
          printf 'the end %s' "$PARAM_KEY"
          [ "$ORCHESTRA_ATTEMPT" = 2 ] || exit 3
  misuse:
    parameters: {{ key: {{ type: secret, required: true }} }}
    command: ["{{parameters.key}}"]
"""
FORMS = """
import json, os
from urllib.parse import quote
key = os.environ["PARAM_KEY"]
print(json.dumps({"key": key}))
print("https://ana:" + quote(key, safe="") + "@example.org")
with open(os.environ["ORCHESTRA_RESULTS"], "w") as results:
    json.dump({"whole": key, "inside": ["a " + key + " b"], key: 1, "innocent": "abc"}, results)
with open(os.environ["ORCHESTRA_CHECKINS"], "a") as check_ins:
    check_ins.write(json.dumps({"progress": 0.5, "text": "with " + key}) + "\\n")
"""
SPLIT = """
import os, pathlib, sys, time
def say(content):
    os.write(1, content)
key, folder = os.environ["PARAM_KEY"].encode(), pathlib.Path(sys.argv[1])
say(b"split ")
for place in range(0, len(key), 5):
    say(key[place:place + 5])
    time.sleep(0.3)
say(b" over a restart " + key[:11])
(folder / "half").touch()
while not (folder / "go").exists():
    time.sleep(0.02)
say(key[11:] + b" done\\n")
"""


def leaks_in(content: bytes) -> list[str]:
    """The forms of the secret that the bytes hold."""
    plain = SECRET.encode()
    forms = {"core": CORE.encode(), "json": json.dumps(SECRET).encode(), "url": quote(SECRET, safe="").encode()}
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + plain)
        forms |= {f"base64 {before} {start}": encoded[start : start + 16] for start in range(4, len(encoded) - 20, 4)}
    return [name for name, form in forms.items() if form in content]


def leaky_files(folder: Path) -> list[str]:
    """The files below the folder that hold the secret in some form; some may vanish meanwhile."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [f"{path}: {leaks}" for path in files if path.exists() and (leaks := leaks_in(path.read_bytes()))]


def leaky_arguments() -> list[str]:
    """The processes of this machine that have the secret among their arguments."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if leaks_in(arguments):
            found.append(repr(arguments))
    return found


@pytest.fixture
def verbose(tmp_path: Path) -> Iterator[Orchestra]:
    """An instance that says everything that happens."""
    with started(Orchestra(tmp_path, slots=0, more=("--verbose",))) as orchestra:
        yield orchestra


def told(up: Orchestra, agent: Program, folder: Path, witness: Path) -> Run:
    """A run of `tell` whose agent was killed while half of the secret was written."""
    (folder / "forms.py").write_text(FORMS)
    (folder / "split.py").write_text(SPLIT)
    up.apply(DEFINITION.format(witness=witness, folder=folder, python=PYTHON))
    number = up.trigger("ops/tell", secrets={"key": SECRET})
    wait_until((folder / "half").exists, what="half of the secret to be written")
    assert not leaky_arguments()
    assert not leaky_files(up.data)
    agent.kill()
    agent.start()
    wait_until(lambda: up.connected("atlas"), what="the new agent")
    (folder / "go").touch()
    return up.finish(number)


def answers_about(up: Orchestra, number: int) -> dict[str, bytes]:
    """Everything that the service says about the run, its job and its worker."""
    paths = [f"runs/{number}{more}" for more in ("", "/events", "/results", "/waiting", "/log", "/attempts/1/log")]
    paths += ["runs", "jobs", "projects/ops/jobs/tell", "projects", "schedules", "workers", "workers/atlas"]
    answers = {path: up.api.get(f"{API}/{path}").body for path in [*paths, "users", "tokens", "me"]}
    with up.api.events(f"{API}/runs/{number}/log/stream") as events:
        answers["stream"] = "".join(event.text for event in events).encode()
    return answers


def test_a_secret_reaches_the_job_and_nothing_else(verbose: Orchestra, tmp_path: Path, witness: Path) -> None:
    up, agent = verbose, verbose.worker(tmp_path, "atlas")
    with running(agent):
        run = told(up, agent, tmp_path, witness)

        assert (run.state, run.attempts_counted) == ("succeeded", 2), run.reason
        assert witness.read_text().split() == [hashlib.sha256(SECRET.encode()).hexdigest()] * 2
        for attempt in (1, 2):
            log = up.log(run.id, attempt)
            assert log.startswith(b"key=" + STARS + b";\n")
            assert b"split " + STARS + b" over a restart " + STARS + b" done\n" in log
            assert log.endswith(b"the end " + STARS)
        assert run.results["innocent"] == "abc"
        assert set(str(run.results["whole"])) == {"*"}

        answers = answers_about(up, run.id)
        assert not {path: leaks for path, body in answers.items() if (leaks := leaks_in(body))}
        assert not leaky_arguments()
        wait_until(lambda: not list((tmp_path / "atlas" / "attempts").glob("*")), what="the worker to forget the run")
        assert not leaky_files(up.data)
        wait_until(lambda: not leaky_files(tmp_path / "atlas"), what=f"nothing in {leaky_files(tmp_path / 'atlas')}")
        assert not leaks_in((up.program.output + agent.output).encode())


def test_a_secret_must_be_given_anew_and_cannot_be_asked_for(verbose: Orchestra, tmp_path: Path, witness: Path) -> None:
    up = verbose
    (tmp_path / "go").touch()
    with running(up.worker(tmp_path, "atlas")):
        up.apply(DEFINITION.format(witness=witness, folder=tmp_path, python=PYTHON))
        run = up.finish(up.trigger("ops/misuse", secrets={"key": SECRET}))
        pages = [up.api.get(f"{API}/runs/{run.id}{more}").body for more in ("", "/events", "/log")]

        with pytest.raises(RequestRefused) as without:
            up.api.post(f"{API}/runs/{run.id}/retry", {})
        with pytest.raises(RequestRefused) as misplaced:
            up.trigger("ops/misuse", {"key": SECRET})
        with pytest.raises(RequestRefused) as short:
            up.trigger("ops/misuse", secrets={"key": "hush!"})
        guessed = up.api.get(f"{API}/runs", {"param.key": SECRET}).body
        anew = up.api.post(f"{API}/runs/{run.id}/retry", {"secrets": {"key": SECRET}}).read(Run)

    # A secret as a command's name cannot be found; that it is said, but not which.
    assert run.state == "exception"
    assert "not found" in run.reason
    assert not [leaks for page in pages if (leaks := leaks_in(page))]
    for refused in (without, misplaced, short):
        assert refused.value.problem.status == 422
        assert "key" in str(refused.value)
        assert not leaks_in(str(refused.value.problem).encode())
    assert "hush!" not in str(short.value.problem)
    assert b'"items":[]' in guessed
    assert anew.id != run.id


def test_the_command_line_takes_a_secret_from_a_file_and_never_shows_it(
    verbose: Orchestra, tmp_path: Path, witness: Path
) -> None:
    up = verbose
    kept = tmp_path / "key"
    kept.write_text(SECRET)
    orchestra = [PYTHON, "-m", "orchestra", "--server", up.address, "--token-file", str(up.data / "admin.token")]
    with running(up.worker(tmp_path, "atlas")):
        up.apply(DEFINITION.format(witness=witness, folder=tmp_path, python=PYTHON))

        said = subprocess.run(
            [*orchestra, "trigger", "ops/misuse", "--secret", f"key=@{kept}", "--follow"],
            capture_output=True,
            timeout=60,
        )
        retried = subprocess.run([*orchestra, "retry", "1"], capture_output=True, timeout=60)

    assert said.returncode == 23, said
    assert retried.returncode == 1, retried
    assert b"key" in retried.stderr
    assert not leaks_in(said.stdout + said.stderr + retried.stdout + retried.stderr)


HANDED_ON = """
orchestra: 1
project: ops
jobs:
  tell: { run: 'echo "key=$PARAM_KEY;"', parameters: { key: { type: secret, required: true } } }
  other: { run: 'echo "${PARAM_KEY-nothing}"', parameters: { word: { type: secret } } }
  plain: { run: 'echo "${PARAM_KEY-nothing}"' }
  all:
    parameters: { key: { type: secret, required: true } }
    elements: { tell: {}, other: {}, plain: {} }
"""


def test_a_pipeline_hands_its_secret_on_to_those_that_ask_for_it(up: Orchestra, tmp_path: Path) -> None:
    up.apply(HANDED_ON)
    with running(up.worker(tmp_path, "atlas")):
        number = up.trigger("ops/all", secrets={"key": SECRET})

        assert up.finish(number).state == "succeeded"
    runs = {name: PipelineOf(up, number).runs(name)[""] for name in ("tell", "other", "plain")}
    told = {name: up.log(run) for name, run in runs.items() if run}
    assert told == {"tell": b"key=" + STARS + b";\n", "other": b"nothing\n", "plain": b"nothing\n"}
