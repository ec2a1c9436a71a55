"""A release on real processes: matrix, list, approval, failure, retry of the failed part, and what always runs."""

import os
import subprocess
from pathlib import Path

from orchestra.configuration import read_token_file
from tests.support.journey import PYTHON, Orchestra, lines_of, running
from tests.support.pipelines import PipelineOf

RELEASE = """
orchestra: 1
project: shop
jobs:
  plan:
    run: |
      echo plan >> {witness}
      orchestra result set version 1.4.2
      orchestra result set targets '["web", "db"]' --parse
  build:
    parameters: {{ os: {{ type: string }}, version: {{ type: string }} }}
    run: echo "build $PARAM_OS $PARAM_VERSION" >> {witness}
  test:
    run: |
      echo test >> {witness}
      [ -e {repaired} ] || exit 3
  deploy:
    parameters: {{ target: {{ type: string }} }}
    run: echo "deploy $PARAM_TARGET" >> {witness}
  tidy:
    run: echo tidy >> {witness}
  release:
    parameters: {{ env: {{ type: choice, options: [staging, production] }} }}
    elements:
      plan: {{}}
      build:
        after: plan
        matrix: {{ os: [linux, mac, windows], exclude: [{{ os: windows }}] }}
        with: {{ os: "{{matrix.os}}", version: "{{results.plan.version}}" }}
      test: {{ after: build }}
      approve:
        approval: {{ by: [administrator], message: "Deploy to {{parameters.env}}?" }}
        after: test
        if: 'parameters.env == "production"'
      deploy:
        after: {{ test: succeeded, approve: [succeeded, skipped] }}
        for-each: results.plan.targets
        with: {{ target: "{{item}}" }}
    finally:
      tidy: {{}}
"""


def command_line(up: Orchestra, *words: str) -> str:
    """What a command prints; it must succeed."""
    arguments = [PYTHON, "-m", "orchestra", *words, "--server", up.address]
    environment = os.environ | {"ORCHESTRA_TOKEN": read_token_file(up.data / "admin.token")}
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout


def test_a_release_fails_is_mended_and_only_the_failed_part_is_done_again(up: Orchestra, tmp_path: Path) -> None:
    witness, repaired = tmp_path / "witness", tmp_path / "repaired"
    atlas = up.worker(tmp_path, "atlas")
    up.apply(RELEASE.format(witness=witness, repaired=repaired))
    with running(atlas):
        first = up.trigger("shop/release", {"env": "production"})
        assert up.finish(first).state == "failed"
        assert PipelineOf(up, first).states == {
            "plan": "succeeded", "build": "succeeded", "test": "failed",
            "approve": "skipped", "deploy": "skipped", "tidy": "succeeded",
        }  # fmt: skip
        built = ["build linux 1.4.2", "build mac 1.4.2"]
        assert sorted(lines_of(witness)[1:3]) == built
        assert lines_of(witness)[3:] == ["test", "tidy"]

        repaired.touch()
        witness.unlink()
        again = up.api.post(f"/api/v1/runs/{first}/retry", {"failed_only": True}).read(dict[str, object])["id"]
        assert isinstance(again, int)
        second = PipelineOf(up, again)
        asked = second.reach("approve", "waiting")
        assert asked.approval is not None
        assert asked.approval.message == "Deploy to production?"
        assert second.runs("build") == PipelineOf(up, first).runs("build")
        second.answer("approve", "approve", "tested by hand")
        run = up.finish(again)

        assert run.state == "succeeded"
        assert lines_of(witness)[0] == "test"
        assert sorted(lines_of(witness)[1:3]) == ["deploy db", "deploy web"]
        assert lines_of(witness)[3:] == ["tidy"]


def test_a_release_survives_the_master_and_begins_nothing_twice(up: Orchestra, tmp_path: Path) -> None:
    witness, repaired = tmp_path / "witness", tmp_path / "repaired"
    repaired.touch()
    atlas = up.worker(tmp_path, "atlas")
    up.apply(RELEASE.format(witness=witness, repaired=repaired))
    with running(atlas):
        number = up.trigger("shop/release", {"env": "production"})
        for element in ("plan", "build", "test"):
            PipelineOf(up, number).reach(element, "succeeded")
            up.close_clients()
            up.program.kill()
            up.start()
        PipelineOf(up, number).reach("approve", "waiting")
        PipelineOf(up, number).answer("approve", "approve")

        assert up.finish(number).state == "succeeded"
        told = lines_of(witness)
        assert sorted(told) == sorted(
            ["plan", "build linux 1.4.2", "build mac 1.4.2", "test", "deploy web", "deploy db", "tidy"]
        )
        assert (told[0], told[3], told[-1]) == ("plan", "test", "tidy")


def test_an_aborted_release_ends_its_runs_and_still_tidies_up(up: Orchestra, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    atlas = up.worker(tmp_path, "atlas")
    slow = RELEASE.replace('echo "build $PARAM_OS', 'sleep 60; echo "build $PARAM_OS')
    up.apply(slow.format(witness=witness, repaired=tmp_path / "repaired"))
    with running(atlas):
        number = up.trigger("shop/release", {"env": "staging"})
        pipeline = PipelineOf(up, number)
        pipeline.reach("build", "running")
        for run in pipeline.runs("build").values():
            assert run is not None
            up.reach(run, "running")
        up.api.post(f"/api/v1/runs/{number}/abort", {"reason": "wrong branch"})
        run_ = up.finish(number)

        assert (run_.state, run_.reason) == ("aborted", "stopped by user admin: wrong branch")
        assert pipeline.states == {
            "plan": "succeeded", "build": "aborted", "test": "cancelled",
            "approve": "cancelled", "deploy": "cancelled", "tidy": "succeeded",
        }  # fmt: skip
        assert lines_of(witness) == ["plan", "tidy"]


def test_who_follows_a_release_reads_what_becomes_of_its_elements(up: Orchestra, tmp_path: Path) -> None:
    witness, repaired = tmp_path / "witness", tmp_path / "repaired"
    repaired.touch()
    up.apply(RELEASE.format(witness=witness, repaired=repaired))
    with running(up.worker(tmp_path, "atlas")):
        told = command_line(up, "trigger", "shop/release", "-p", "env=staging", "--follow", "--timeout", "60s")

    lines = [line.split() for line in told.splitlines()]
    assert told.index("plan ") < told.index("test ") < told.index("tidy ")
    assert [words[1].rstrip(",") for words in lines if words and words[0] == "tidy"][-1] == "succeeded"
    assert ["approve", "skipped,"] in [words[:2] for words in lines]
