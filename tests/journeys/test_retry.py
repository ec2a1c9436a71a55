"""A job that fails is tried again by its policy; nobody ever sees the run as failed before it is."""

import secrets
import threading
import time
from pathlib import Path

import msgspec

from orchestra.configuration import read_token_file
from orchestra.network.client import API, ApiClient
from tests.support.journey import Orchestra, Run, lines_of, running

RETRYING = """
orchestra: 1
project: ops
jobs:
  fail:
    run: |
      echo "$ORCHESTRA_ATTEMPT" >> {witness}
      echo "attempt $ORCHESTRA_ATTEMPT says no"
      sleep 0.5
      exit 3
    retry: {{ max-attempts: 3, wait: 1s, factor: 2 }}
  recover:
    run: |
      echo "$ORCHESTRA_ATTEMPT" >> {witness}
      echo "attempt $ORCHESTRA_ATTEMPT"
      [ "$ORCHESTRA_ATTEMPT" -ge 2 ] || exit 3
    retry: {{ max-attempts: 3, wait: 1s }}
"""


class RunPage(msgspec.Struct, frozen=True):
    """A page of runs."""

    items: tuple[Run, ...]


class Poller:
    """Asks for a run as fast as it can, in a thread, alone and among all others, until it is over."""

    def __init__(self, up: Orchestra, number: int) -> None:
        # A client of its own: one speaks on one connection, about one thing at a time.
        self._client = ApiClient(
            server=up.address,
            token=read_token_file(up.data / "admin.token"),
            new_key=lambda: secrets.token_hex(16),
            pause=time.sleep,
            user_agent="poller",
        )
        self._number = number
        self.seen: list[Run] = []
        self._thread = threading.Thread(target=self._poll, name="poller")
        self._thread.start()

    def _poll(self) -> None:
        try:
            while not self.seen or not self.seen[-1].is_over:
                page = self._client.get(f"{API}/runs").read(RunPage)
                self.seen += [run for run in page.items if run.id == self._number]
                self.seen.append(self._client.get(f"{API}/runs/{self._number}").read(Run))
        finally:
            self._client.close()

    def wait(self) -> list[Run]:
        """All that was seen."""
        self._thread.join(90)
        assert not self._thread.is_alive(), "the run did not end"
        return self.seen


def test_three_attempts_are_recorded_and_the_run_is_never_shown_as_failed_in_between(
    up: Orchestra, tmp_path: Path, witness: Path
) -> None:
    up.apply(RETRYING.format(witness=witness))
    with running(up.worker(tmp_path, "atlas")):
        number = up.trigger("ops/fail")
        seen = Poller(up, number).wait()
        run = up.run(number)
        logs = [up.log(number, attempt) for attempt in (1, 2, 3)]

    in_between = [each for each in seen if not each.is_over]
    assert len(in_between) > 100, "it was not asked often enough to tell"
    assert {"running", "scheduled"} <= {each.state for each in in_between}
    assert {each.state for each in in_between} <= {"pending", "assigned", "running", "scheduled"}
    assert {each.attempts_counted for each in seen if each.is_over} == {3}
    assert {each.exit_code for each in in_between} == {None}
    assert (run.state, run.exit_code, run.reason, run.attempts_counted) == ("failed", 3, "exit code 3", 3)
    assert [(each["number"], each["state"], each["exit_code"]) for each in run.attempts] == [
        (attempt, "failed", 3) for attempt in (1, 2, 3)
    ]
    assert logs == [b"attempt %d says no\n" % attempt for attempt in (1, 2, 3)]
    assert up.log(number) == logs[-1]
    assert lines_of(witness) == ["1", "2", "3"]


def test_a_job_that_recovers_has_never_failed(up: Orchestra, tmp_path: Path, witness: Path) -> None:
    up.apply(RETRYING.format(witness=witness))
    with running(up.worker(tmp_path, "atlas")):
        number = up.trigger("ops/recover")
        seen = Poller(up, number).wait()
        run = up.run(number)

    assert {each.state for each in seen if each.is_over} == {"succeeded"}
    assert "scheduled" in {each.state for each in seen}
    assert (run.state, run.exit_code, run.attempts_counted) == ("succeeded", 0, 2)
    assert [each["state"] for each in run.attempts] == ["failed", "succeeded"]
    assert lines_of(witness) == ["1", "2"]
