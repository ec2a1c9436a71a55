"""The link between a worker and its master goes away: what runs goes on, and arrives once when the link is back."""

import time
from pathlib import Path

from tests.support.figures import figure
from tests.support.journey import Orchestra, lines_of, wait_until
from tests.support.proxy import Proxy

CUT_SECONDS = 20.0
"""At least, and until all that runs has ended; longer than either side is silent without being given up."""
NOTICED_SECONDS_MAX = figure(15.0)
BACK_SECONDS_MAX = figure(5.0)
SLOTS = 4
RUNS = 20

COUNTING = """
orchestra: 1
project: ops
jobs:
  count:
    parameters:
      beats: {{ type: integer }}
    run: |
      echo "begin $ORCHESTRA_RUN" >> {witness}
      for number in $(seq 1 "$PARAM_BEATS"); do
        echo "run $ORCHESTRA_RUN line $number"
        sleep 0.25
      done
      orchestra result set beats "$PARAM_BEATS" --parse
      echo "end $ORCHESTRA_RUN" >> {witness}
"""
NOTING = "orchestra: 1\nproject: ops\njobs:\n  note:\n    run: echo $ORCHESTRA_RUN >> {witness}\n"


def whole_log(run: int, beats: int) -> bytes:
    return b"".join(b"run %d line %d\n" % (run, number) for number in range(1, beats + 1))


def test_all_that_ended_while_the_link_was_cut_arrives_once(up: Orchestra, tmp_path: Path, witness: Path) -> None:
    up.apply(COUNTING.format(witness=witness))
    with Proxy(("127.0.0.1", up.port)) as proxy:
        worker = up.worker(tmp_path, "atlas", slots=SLOTS, port=proxy.port)
        worker.start()
        try:
            beats = {up.trigger("ops/count", {"beats": 40}): 40 for _ in range(SLOTS)}
            beats |= {up.trigger("ops/count", {"beats": 2}): 2 for _ in range(RUNS - SLOTS)}
            early = list(beats)[:SLOTS]
            wait_until(lambda: all(up.log(number) for number in early), what="the first output of each")

            proxy.cut()
            cut_at = time.monotonic()
            connections = proxy.accepted
            ends = {f"end {number}" for number in early}
            wait_until(lambda: ends <= set(lines_of(witness)), what="the runs to end without a link")
            ended_after = time.monotonic() - cut_at
            states = [up.run(number).state for number in beats]
            time.sleep(max(0.0, CUT_SECONDS - ended_after))  # the time without a link is the fault
            tries = proxy.accepted - connections
            proxy.mend()
            runs = [up.finish(number) for number in beats]

            assert tries >= 3, "the worker did not try to come back"
            assert states[:SLOTS] == ["running"] * SLOTS
            assert set(states[SLOTS:]) <= {"pending", "assigned"}
            assert {(run.state, run.attempts_counted) for run in runs} == {("succeeded", 1)}
            assert {run.id: run.results for run in runs} == {
                number: {"beats": count} for number, count in beats.items()
            }
            assert {number: up.log(number) for number in beats} == {
                number: whole_log(number, count) for number, count in beats.items()
            }
            assert sorted(lines_of(witness)) == sorted(
                f"{word} {number}" for word in ("begin", "end") for number in beats
            )
        finally:
            worker.stop()


def test_a_half_open_link_is_noticed_by_both_sides(up: Orchestra, tmp_path: Path, witness: Path) -> None:
    up.apply(COUNTING.format(witness=witness))
    with Proxy(("127.0.0.1", up.port)) as proxy:
        worker = up.worker(tmp_path, "atlas", port=proxy.port)
        worker.start()
        try:
            number = up.trigger("ops/count", {"beats": 8})
            wait_until(lambda: up.log(number), what="the first output")

            proxy.freeze()
            frozen_at = time.monotonic()
            noticed: dict[str, float] = {}

            def both() -> bool:
                passed = time.monotonic() - frozen_at
                if proxy.accepted > 1:
                    noticed.setdefault("worker", passed)
                if not up.connected("atlas"):
                    noticed.setdefault("master", passed)
                return len(noticed) == 2

            wait_until(both, what="both sides to notice")
            state = up.run(number).state
            proxy.mend()
            run = up.finish(number)

            assert proxy.broken >= 1
            assert max(noticed.values()) < NOTICED_SECONDS_MAX, noticed
            assert state == "running"
            assert run.state == "succeeded"
            assert up.log(number) == whole_log(number, 8)
            assert lines_of(witness) == [f"begin {number}", f"end {number}"]
        finally:
            worker.stop()


def test_a_link_that_hangs_does_not_block_the_next_one(up: Orchestra, tmp_path: Path, witness: Path) -> None:
    up.apply(NOTING.format(witness=witness))
    with Proxy(("127.0.0.1", up.port)) as proxy:
        worker = up.worker(tmp_path, "atlas", port=proxy.port)
        worker.start()
        try:
            up.finish(up.trigger("ops/note"))
            since = up.fleet()["atlas"].connected_at

            proxy.freeze()
            proxy.mend()
            worker.kill()
            worker.start()
            wait_until(
                lambda: up.fleet()["atlas"].connected_at != since, seconds=BACK_SECONDS_MAX, what="the new connection"
            )
            hangs = proxy.half_open
            run = up.finish(up.trigger("ops/note"), seconds=BACK_SECONDS_MAX)

            assert hangs == 1, "the old connection did not hang"
            assert run.state == "succeeded"
            assert lines_of(witness) == ["1", "2"]
            assert up.connected("atlas")
        finally:
            worker.stop()
