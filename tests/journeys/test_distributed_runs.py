"""What holds on one machine holds with the parts in processes of their own: retry, abort, killed agents, cut links."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from orchestra.network.client import API
from tests.support.distributed import Distributed
from tests.support.gated import GatedJob
from tests.support.journey import Run, arguments_of, lines_of, marked_processes, running, wait_until
from tests.support.proxy import Proxy

JOBS = """
orchestra: 1
project: ops
jobs:
  recover:
    run: |
      echo "$ORCHESTRA_RUN $ORCHESTRA_ATTEMPT" >> {witness}
      echo "attempt $ORCHESTRA_ATTEMPT"
      [ "$ORCHESTRA_ATTEMPT" -ge 2 ] || exit 3
    retry: {{ max-attempts: 2, wait: 100ms }}
  fail:
    run: |
      echo "$ORCHESTRA_RUN $ORCHESTRA_ATTEMPT" >> {witness}
      exit 3
  sleep:
    grace: 1s
    run: |
      trap '' TERM
      setsid sleep 300 &
      echo "$ORCHESTRA_RUN begins" >> {witness}
      while true; do sleep 300 || true; done
    teardown:
      - echo "$ORCHESTRA_RUN teardown" >> {witness}
  nowhere:
    worker: {{ zone: nowhere }}
    run: echo "$ORCHESTRA_RUN begins" >> {witness}
"""


@pytest.fixture
def instance(tmp_path: Path, postgres_url: str) -> Iterator[Distributed]:
    """Two masters and a service."""
    with Distributed(tmp_path, postgres_url) as distributed:
        yield distributed


def ask(instance: Distributed, run: int, verb: str) -> Run:
    return instance.api.post(f"{API}/runs/{run}/{verb}", {"reason": "wrong branch"}).read(Run)


def begin(instance: Distributed, job: GatedJob) -> int:
    instance.apply(job.definition)
    run = instance.trigger("ops/gated")
    job.await_begin(1)
    instance.reach(run, "running")
    return run


def test_what_fails_is_tried_again_by_its_policy_and_by_a_person(instance: Distributed, witness: Path) -> None:
    instance.apply(JOBS.format(witness=witness))
    with running(instance.worker("atlas")):
        recovered = instance.finish(instance.trigger("ops/recover"))
        failed = instance.finish(instance.trigger("ops/fail"))
        again = instance.finish(instance.api.post(f"{API}/runs/{failed.id}/retry", {}).read(Run).id)

        assert (recovered.state, recovered.attempts_counted) == ("succeeded", 2)
        assert [instance.log(recovered.id, attempt) for attempt in (1, 2)] == [b"attempt 1\n", b"attempt 2\n"]
        assert (failed.state, failed.exit_code, failed.attempts_counted) == ("failed", 3, 1)
        assert (again.state, again.id > failed.id) == ("failed", True)
        assert lines_of(witness) == [f"{recovered.id} 1", f"{recovered.id} 2", f"{failed.id} 1", f"{again.id} 1"]


def test_an_abort_leaves_nothing_alive_and_a_cancel_withdraws(
    instance: Distributed, tmp_path: Path, witness: Path
) -> None:
    instance.apply(JOBS.format(witness=witness))
    with running(instance.worker("atlas")):
        run, waiting = instance.trigger("ops/sleep"), instance.trigger("ops/nowhere")
        wait_until(lambda: lines_of(witness) == [f"{run} begins"], what="the run to begin")
        instance.reach(run, "running")

        withdrawn = ask(instance, waiting, "cancel")
        asked = ask(instance, run, "abort")
        aborted = instance.finish(run)

        assert withdrawn.state == "cancelled"
        assert (asked.state, asked.stop_requested is not None) == ("running", True)
        assert (aborted.state, "wrong branch" in aborted.reason) == ("aborted", True)
        assert lines_of(witness) == [f"{run} begins", f"{run} teardown"]
        assert [pid for pid in marked_processes(f"{tmp_path}/atlas") if is_sleeping(pid)] == []


def is_sleeping(pid: int) -> bool:
    """Whether it is one of the job's own processes."""
    return b"sleep" in arguments_of(pid).split(b"\0")[0]


def test_an_agent_killed_again_and_again_disturbs_no_step(instance: Distributed, tmp_path: Path) -> None:
    job, atlas = GatedJob(tmp_path, steps=3), instance.worker("atlas")
    with running(atlas):
        run = begin(instance, job)
        for number in (1, 2):
            os.kill(atlas.pid, signal.SIGSTOP)  # so that it never hears of the step's end
            job.open(number)
            job.await_end(number)
            atlas.kill()
            assert not job.has_begun(number + 1)
            atlas.start()
            job.await_begin(number + 1)
        atlas.kill()
        job.open(3)
        job.await_end(3)
        atlas.start()

        job.assert_whole(instance, run)


def test_an_agent_and_all_masters_killed_come_back_in_any_order(instance: Distributed, tmp_path: Path) -> None:
    job, atlas = GatedJob(tmp_path, steps=2), instance.worker("atlas")
    with running(atlas):
        run = begin(instance, job)
        for master in instance.masters:
            master.kill()
        atlas.kill()
        job.open(1)
        job.await_end(1)
        atlas.start()
        job.await_begin(2)  # it needs no master for the next step
        instance.masters[1].start()
        job.open(2)

        job.assert_whole(instance, run)


def test_what_ended_while_every_link_was_cut_arrives_once(instance: Distributed, tmp_path: Path) -> None:
    job = GatedJob(tmp_path, steps=2)
    addresses = [("127.0.0.1", master.port) for master in instance.masters]
    with Proxy(addresses[0]) as first, Proxy(addresses[1]) as two:
        atlas = instance.worker("atlas", ports=[first.port, two.port])
        with running(atlas):
            run = begin(instance, job)
            for proxy in (first, two):
                proxy.cut()
            job.open(1, 2)
            job.await_end(2)
            tries = [proxy.accepted for proxy in (first, two)]
            wait_until(lambda: all(map(int.__lt__, tries, (first.accepted, two.accepted))), what="a try at each")
            state = instance.run(run).state
            two.mend()  # the other one stays cut

            job.assert_whole(instance, run)
            assert state == "running"
            assert instance.await_holder("atlas") is instance.masters[1]


def test_the_website_of_another_process_shows_the_run(tmp_path: Path, postgres_url: str, witness: Path) -> None:
    with Distributed(tmp_path, postgres_url, masters=1, has_website=True) as instance:
        assert instance.website is not None
        address = f"http://127.0.0.1:{instance.website.port}"
        instance.apply(JOBS.format(witness=witness))
        with running(instance.worker("atlas")):
            run = instance.finish(instance.trigger("ops/recover"))
        with httpx2.Client(base_url=address, headers={"sec-fetch-site": "same-origin"}) as browser:
            before = browser.get(f"/runs/{run.id}")
            signed_in = browser.post("/sign-in", data={"link": instance.sign_in_link()})
            page = browser.get(f"/runs/{run.id}/log")

        assert before.status_code == 303, before.text
        assert before.headers["location"].startswith("/sign-in")
        assert signed_in.status_code == 303
        assert page.status_code == 200
        assert "attempt 2" in page.text  # from the folder that the master writes to
