"""A master that lies, or drowns its worker: what is not an offer that can be is refused, in bounded memory."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from orchestra.identifiers import RunId
from orchestra.protocol.messages import Accept, Go, Offer, Refuse
from tests.faults.fired import Fired
from tests.faults.hostile_master import HostileMaster, hostile_master
from tests.faults.process_figures import resident_bytes
from tests.support.journey import PYTHON, Program, running, wait_until
from tests.worker.given import offer

MEBIBYTE = 1 << 20
GROWTH_BYTES_MAX = 100 * MEBIBYTE
OFFERS = 100_000
SLOTS = 2


def worker(folder: Path, port: int) -> Program:
    """A worker of this master."""
    (folder / "token").write_text("orc_w_any\n")
    arguments = [PYTHON, "-m", "orchestra", "worker", "start", "--name", "atlas", "--folder", str(folder / "atlas")]
    arguments += ["--master", f"ws://127.0.0.1:{port}", "--slots", str(SLOTS), "--token-file", str(folder / "token")]
    return Program(arguments, log=folder / "atlas.log")


def playing(folder: Path, scene: Callable[[HostileMaster], None], *, seconds: float) -> int:
    """Lets a worker meet the scene; returns by how much its memory has grown."""
    done, failed = threading.Event(), []

    def play(master: HostileMaster) -> None:
        try:
            scene(master)
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            done.set()

    with hostile_master(play) as port:
        program = worker(folder, port)
        with running(program):
            wait_until(lambda: "link_welcome" in program.output or done.is_set(), what="the worker")
            before = resident_bytes(program.pid)
            assert done.wait(seconds), "the scene did not end"
            growth = resident_bytes(program.pid) - before
    assert not failed, failed
    assert "Traceback" not in program.output
    return growth


def answers_to(master: HostileMaster, offers: Sequence[Offer]) -> Mapping[int, Accept | Refuse]:
    """Offers all of it at once, and waits for an answer to each."""
    found: dict[int, Accept | Refuse] = {}
    speaking = threading.Thread(target=master.say, args=offers, name="speaking")
    speaking.start()
    while len(found) < len(offers):
        found.update({each.run: each for each in master.hear() if isinstance(each, Accept | Refuse)})
    speaking.join()
    return found


BAD: Mapping[str, Mapping[str, object]] = {
    "a project that leads out of the folder": {"project": "../../../outside"},
    "a project that is an absolute path": {"project": "{folder}/outside"},
    "a project with a NUL": {"project": "a\0b"},
    "a job that leads out of the folder": {"job": "../outside"},
    "slots below nothing": {"slots": -1000},
    "no slots": {"slots": 0},
    "too many slots": {"slots": 2**40},
}


@pytest.mark.parametrize("what", BAD)
def test_an_offer_that_cannot_be_is_refused(tmp_path: Path, fired: Fired, what: str) -> None:
    good = offer(f"echo executed >> {tmp_path}/executed")
    changes = {
        name: value.replace("{folder}", str(tmp_path)) if isinstance(value, str) else value
        for name, value in BAD[what].items()
    }
    heard: list[Accept | Refuse] = []

    def scene(master: HostileMaster) -> None:
        heard.extend(answers_to(master, [msgspec.structs.replace(good, **changes)]).values())
        master.say(Go(run=good.run, attempt=good.attempt))
        heard.extend(answers_to(master, [msgspec.structs.replace(good, run=RunId(2))]).values())
        fired("bad offer")

    playing(tmp_path, scene, seconds=60)

    assert [type(each) for each in heard] == [Refuse, Accept]
    assert not (tmp_path / "executed").exists()
    assert not list(tmp_path.rglob("*outside*"))


def test_a_hundred_thousand_offers_fill_twice_the_slots_and_no_more(tmp_path: Path, fired: Fired) -> None:
    offers = [offer("sleep 100", run=number) for number in range(1, OFFERS + 1)]
    heard: dict[int, Accept | Refuse] = {}

    def scene(master: HostileMaster) -> None:
        heard.update(answers_to(master, offers))
        fired("offers", len(heard))

    growth = playing(tmp_path, scene, seconds=100)

    # As many as it has slots wait there until they are told to go.
    assert sum(isinstance(each, Accept) for each in heard.values()) == 2 * SLOTS
    assert growth <= GROWTH_BYTES_MAX
