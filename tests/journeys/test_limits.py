"""A job that hangs silently, and one whose step is too slow, are ended, also while no agent lives, and tried again
by their policy until an end says that it is no use."""

from pathlib import Path

from tests.support.journey import Orchestra, await_lines, lines_of, running, wait_until

LIMITED = """
orchestra: 1
project: ops
jobs:
  silent:
    run: |
      echo "$ORCHESTRA_ATTEMPT $$" >> {witness}
      echo "attempt $ORCHESTRA_ATTEMPT"
      [ "$ORCHESTRA_ATTEMPT" -ge 2 ] || sleep 600
      for i in 1 2 3 4 5; do sleep 0.5; orchestra checkin "$((i * 20))%"; done
    silence: 2s
    grace: 1s
    retry: {{ max-attempts: 3, wait: 1s, jitter: full, on: timeout }}
  slow:
    setup: ["true"]
    steps:
      - {{ name: fetch, run: echo fetched }}
      - name: build
        run: |
          echo "$ORCHESTRA_ATTEMPT $$" >> {witness}
          [ "$ORCHESTRA_ATTEMPT" -lt 3 ] || exit 2
          while :; do echo building; sleep 0.1; done
        timeout: 1s
    teardown: [{{ name: tidy, run: echo tidied, timeout: 10s }}]
    timeout: 5m
    grace: 1s
    retry: {{ max-attempts: 9, wait: 10ms, factor: 2, max-wait: 20ms, on: [exit, timeout], never: exit:2 }}
  left:
    steps: [{{ name: hang, run: 'echo "$ORCHESTRA_ATTEMPT $$" >> {witness}; sleep 600', timeout: 3s }}]
    timeout: 5m
"""


def test_a_job_that_hangs_silently_is_ended_and_its_next_attempt_that_checks_in_is_not(
    up: Orchestra, tmp_path: Path, witness: Path
) -> None:
    up.apply(LIMITED.format(witness=witness))
    with running(up.worker(tmp_path, "atlas")):
        number = up.trigger("ops/silent")
        run = up.finish(number)
        log = up.log(number, 1)

    assert (run.state, run.attempts_counted) == ("succeeded", 2)
    assert [each["reason"] for each in run.attempts] == [
        "timed out: nothing was printed and nothing checked in for 2 s",
        "",
    ]
    assert [each["state"] for each in run.attempts] == ["failed", "succeeded"]
    assert log == b"attempt 1\n"
    assert len(lines_of(witness)) == 2


def test_a_step_that_is_too_slow_is_tried_again_until_it_ends_with_a_code_that_is_never(
    up: Orchestra, tmp_path: Path, witness: Path
) -> None:
    up.apply(LIMITED.format(witness=witness))
    with running(up.worker(tmp_path, "atlas")):
        number = up.trigger("ops/slow")
        run = up.finish(number)
        logs = [up.log(number, attempt) for attempt in (1, 2, 3)]

    slow = "timed out: the step 'build' took longer than 1 s"
    assert [each["reason"] for each in run.attempts] == [slow, slow, "step 'build': exit code 2"]
    assert (run.state, run.exit_code, run.attempts_counted) == ("failed", 2, 3)
    assert [line.split()[0] for line in lines_of(witness)] == ["1", "2", "3"]
    assert all(log.startswith(b"fetched\n") and log.endswith(b"tidied\n") for log in logs)


def test_a_steps_limit_is_held_while_no_agent_lives(up: Orchestra, tmp_path: Path, witness: Path) -> None:
    up.apply(LIMITED.format(witness=witness))
    atlas = up.worker(tmp_path, "atlas")
    with running(atlas):
        number = up.trigger("ops/left")
        await_lines(witness, 1)
        atlas.kill()
        process = Path("/proc") / lines_of(witness)[0].split()[1]

        wait_until(lambda: not process.exists(), what="the end of the step")
        assert not up.run(number).is_over
        atlas.start()
        run = up.finish(number)

    assert (run.state, run.reason) == ("failed", "timed out: the step 'hang' took longer than 3 s")
    assert len(lines_of(witness)) == 1
