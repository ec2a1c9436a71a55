"""Definition files that the tests share."""

BACKUP = """# yaml-language-server: $schema=./orchestra.schema.json
orchestra: 1
project: ops
jobs:
  backup-db:
    description: Dump the main database. If it fails twice, call Ana.
    run: ./backup.sh --to /mnt/backup
    worker: { role: db }
    timeout: 45m
    retry: { max-attempts: 3, wait: 1m, factor: 2, on: [exit, lost] }
    schedule: { cron: "30 2 * * *", zone: Europe/Paris, overlap: skip }
"""
RESIZE = r"""orchestra: 1
project: shop
description: The shop's machines.
jobs:
  resize:
    run: ./resize.sh
    parameters:
      version: { type: string, pattern: 'v\d+\.\d+\.\d+', required: true, example: v1.4.2, help: Tag to roll out }
      replicas: { type: integer, min: 1, max: 20, default: 2 }
      share: { type: number, min: 0.5 }
      notify: { type: boolean, default: true }
      drain-for: { type: duration, min: 10s, max: 1h, default: 10m }
      env: { options: [staging, production] }
      api-key: { type: secret }
      notes: { type: text }
"""
RENDER = """orchestra: 1
project: film
jobs:
  render:
    command: [./render, "--frames={parameters.frames}", "{environment.HOME}", "{run.number:06}", "{{}}", 5, no]
    setup: [make prepare]
    teardown: [{ name: Clean, command: [rm, -rf, tmp] }]
    environment: { LEVEL: 9, DEBUG: no, VERSION: 1.10 }
    directory: work
    grace: 30s
    disconnect: stop 5m
    lost-after: 2h
    expire-after: 1d
    priority: -5
    slots: 2
    enabled: false
    retry: { max-attempts: 2, on: [lost, { exit: [75, 3] }, "exit:9"] }
    worker: { os: linux, gpu: ">= 1", ram: ">= 32GB", pool: { not: quarantine }, zone: [a, b], prefer: { cache: warm } }
    parameters: { frames: { type: string, default: 1-10 } }
    schedule: every 15m
  steps:
    steps: [{ name: Compile, run: make }, make test, { command: [make, install] }]
    schedule: { every: 1h, overlap: allow }
  nightly: { run: "true", schedule: "@daily" }
"""
