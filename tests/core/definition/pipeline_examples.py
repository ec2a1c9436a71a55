"""Definition files with pipelines that the tests share."""

JOBS = """  plan: { run: ./plan.sh, timeout: 1m }
  build:
    run: ./build.sh
    timeout: 1m
    parameters: { os: { options: [linux, windows, mac] }, count: { type: integer, min: 1, max: 9 } }
  deploy:
    run: ./deploy.sh
    timeout: 1m
    parameters:
      env: { options: [staging, production], default: staging }
      target: { pattern: "[a-z0-9-]+" }
      key: { type: secret }
  test: { run: ./test.sh, timeout: 1m }
  tidy: { run: ./tidy.sh, timeout: 1m }
  note: { run: ./note.sh, timeout: 1m, parameters: { text: { required: true } } }
  sign: { run: ./sign.sh, timeout: 1m, parameters: { key: { type: secret, required: true } } }
  watched: { wrapped: true }
"""
HEAD = f"orchestra: 1\nproject: shop\njobs:\n{JOBS}"

RELEASE = (
    HEAD
    + """  release:
    description: Builds, asks, deploys.
    parameters: { env: { type: choice, options: [staging, production] }, key: { type: secret } }
    priority: 10
    timeout: 6h
    expire-after: 2d
    schedule: { cron: "@daily", parameters: { env: staging } }
    max-parallel: 4
    fail-fast: true
    elements:
      plan: {}
      build:
        job: build
        after: plan
        matrix:
          os: [linux, windows]
          python: ["3.11", "3.13"]
          exclude: [{ os: windows, python: "3.11" }]
          include: [{ os: mac, python: "3.13" }]
        max-parallel: 2
        fail-fast: true
        with: { os: "{matrix.os}" }
        worker: { os: "{matrix.os}" }
      deploy-each:
        job: deploy
        after: build
        for-each: results.plan.targets
        with: { target: "{item.name}-{run.number:04}" }
      test: { after: [build], allow-failure: true }
      note: { after: { test: finished }, allow-failure: { exit: [75] }, with: { text: "{results.plan.version}" } }
      approve:
        approval: { by: [lead, ana], message: "Deploy {parameters.env}?", timeout: 2d, on-timeout: approve }
        after: test
        if: 'parameters.env == "production" && states.test == "succeeded"'
      quick: { approval: [lead], after: test }
      deploy: { after: { test: succeeded, approve: [succeeded, skipped] }, with: { env: "{parameters.env}" } }
      away: { job: tools/clean, after: { deploy: [failed, aborted] }, with: { any: "{parameters.env}" } }
    finally:
      tidy: {}
      last: { job: test, after: { tidy: finished } }
"""
)
