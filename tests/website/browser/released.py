"""Pipelines for browsers to look at: one that failed, its repair, one that asks, and one of more elements than fit."""

import msgspec

from orchestra.network.client import API
from tests.support.journey import Orchestra
from tests.support.pipelines import PipelineOf

RELEASE = """
orchestra: 1
project: web
description: How the shop's pages come to its visitors.
jobs:
  plan:
    run: |
      orchestra result set version 1.4.2
      orchestra result set targets '["north", "south", "east"]' --parse
  build:
    parameters: { system: { type: string }, version: { type: string } }
    run: |
      echo "building $PARAM_VERSION for $PARAM_SYSTEM"
      sleep 0.3
  test:
    parameters: { kind: { type: string } }
    run: sleep 0.5
  check:
    run: |
      echo "3 links are broken" >&2
      exit 3
  deploy:
    parameters: { target: { type: string } }
    run: echo "$PARAM_TARGET is served"
  tell:
    run: echo "told"
  release:
    description: From the sources to the visitors, with a person's consent before.
    parameters:
      env: { type: choice, options: [staging, production], default: staging }
      strict: { type: boolean, default: false }
    elements:
      plan: {}
      build:
        after: plan
        matrix: { system: [linux, mac, windows], flavour: [small, full] }
        with: { system: "{matrix.system}", version: "{results.plan.version}" }
      unit-tests: { job: test, after: build, with: { kind: unit } }
      tests-in-browsers: { job: test, after: build, with: { kind: browser } }
      check-of-links: { job: check, after: plan, if: parameters.strict }
      approve:
        approval: { by: [administrator], message: "Release {results.plan.version} to {parameters.env}?", timeout: 30d }
        after: [unit-tests, tests-in-browsers]
      deploy:
        after: { approve: succeeded, check-of-links: [succeeded, skipped], plan: succeeded }
        for-each: results.plan.targets
        with: { target: "{item}" }
      alarm: { job: tell, after: { check-of-links: failed } }
    finally:
      tell: {}
"""


class _Numbered(msgspec.Struct, frozen=True):
    id: int


def add_pipelines(orchestra: Orchestra, runs: dict[str, int]) -> None:
    """The definition, and a run of each kind: one that asks, one that failed, and its repair."""
    orchestra.apply(RELEASE)
    runs["pipeline"] = orchestra.trigger("web/release", {"env": "production"})
    runs["refused"] = orchestra.trigger("web/release", {"strict": True})
    for name in ("pipeline", "refused"):
        PipelineOf(orchestra, runs[name]).reach("approve", "waiting")
    PipelineOf(orchestra, runs["refused"]).answer("approve", "approve", "it is only for us")
    orchestra.finish(runs["refused"])
    changed = {"failed_only": True, "parameters": {"strict": False}}
    runs["repaired"] = orchestra.api.post(f"{API}/runs/{runs['refused']}/retry", changed).read(_Numbered).id
    orchestra.finish(runs["repaired"])
    built = PipelineOf(orchestra, runs["pipeline"]).runs("build").values()
    runs["child"] = next(run for run in built if run is not None)
