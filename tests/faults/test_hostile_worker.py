"""A worker with a valid token that lies: nothing of others changes, what it said is counted, and it is sent away."""

import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from orchestra.configuration import read_token_file
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import AttemptState
from orchestra.limits import FRAME_MESSAGES_MAX
from orchestra.logs.digest import SegmentedDigest
from orchestra.protocol.codec import CloseCode, Frame, encode
from orchestra.protocol.messages import (
    Accept,
    Chunk,
    Forget,
    Go,
    Heartbeat,
    Held,
    Offer,
    Refuse,
    Results,
    Welcome,
    WorkerMessage,
)
from tests.faults.fired import Fired
from tests.faults.process_figures import forget_peak, metric, resident_bytes, resident_peak_bytes
from tests.support.impostor import Impostor, impostor
from tests.support.journey import Orchestra, lines_of, running, started, wait_until
from tests.support.worker_end import event, final, hello
from tests.support.worker_end import started as told_started

MEBIBYTE = 1 << 20
GROWTH_BYTES_MAX = 50 * MEBIBYTE
ANSWERS = 100_000
LOCKED_SECONDS = 3.0
"""Less than the master waits for its database."""
VICTIM, FIRST, SECOND = RunId(1), AttemptNumber(1), AttemptNumber(2)
BROKEN = "orchestra_worker_links_broken_total"
JOBS = """
orchestra: 1
project: ops
jobs:
  victim:
    worker: {{role: victim}}
    run: |
      echo the beginning
      echo begin >> {folder}/witness
      while [ ! -e {folder}/release ]; do sleep 0.05; done
      echo end >> {folder}/witness
  bait:
    worker: {{role: guest}}
    run: echo bait
"""


class Place:
    """An instance with a worker on which a run is under way, and a guest who may connect as well."""

    def __init__(self, up: Orchestra, folder: Path) -> None:
        self.up = up
        self.folder = folder
        self.token = read_token_file(up.data / "worker.token")
        self._guests = itertools.count(1)
        self._broken = 0.0

    def snapshot(self) -> object:
        """All of the victim that a stranger must not change."""
        run = self.up.run(VICTIM)
        atlas = self.up.fleet()["atlas"]
        witness = lines_of(self.folder / "witness")
        return run, self.up.log(VICTIM), atlas.connected, atlas.connected_at, witness

    def greet(self, guest: Impostor, *, held: Sequence[Held] = ()) -> None:
        """The guest comes in as any worker may, and as none that came before."""
        self._broken = metric(self.up, BROKEN)
        name = f"guest-{next(self._guests)}"
        guest.say(msgspec.structs.replace(hello(worker=name, held=held), properties={"role": "guest"}))
        guest.hear(Welcome)

    def await_counted(self) -> None:
        """Waits until the master has counted that the guest was sent away, which it does afterwards."""
        wait_until(lambda: metric(self.up, BROKEN) > self._broken, what="the broken link to be counted")
        assert metric(self.up, BROKEN) == self._broken + 1

    def offered(self, guest: Impostor) -> Offer:
        """A run of the guest's own, offered to it."""
        self.up.trigger("ops/bait")
        return guest.hear(Offer)

    def take(self, guest: Impostor) -> Offer:
        """A run of the guest's own, which may begin."""
        self.up.trigger("ops/bait")
        return guest.take_offer()


@contextmanager
def place_in(folder: Path) -> Iterator[Place]:
    """The victim's run must end as if no stranger had ever come, its log and its worker's connection untouched."""
    up = Orchestra(folder, slots=0)
    with started(up):
        made = Place(up, folder)
        up.apply(JOBS.format(folder=folder))
        with running(up.worker(folder, "atlas", role="victim")):
            assert up.trigger("ops/victim") == VICTIM
            wait_until(lambda: up.log(VICTIM) == b"the beginning\n", what="the victim's first output")
            wait_until(lambda: lines_of(folder / "witness") == ["begin"], what="its witness")
            yield made
            (folder / "release").touch()
            run = up.finish(VICTIM)
            assert (run.state, run.attempts_counted, run.reason) == ("succeeded", 1, "")
            assert up.log(VICTIM) == b"the beginning\n"
            assert lines_of(folder / "witness") == ["begin", "end"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """One for this test: what it measures is not what others have left."""
    with place_in(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the instance is that tests share."""
    return tmp_path_factory.mktemp("hostile-worker")


@pytest.fixture(scope="module")
def shared(shared_folder: Path) -> Iterator[Place]:
    """One for many tests: none of them may harm the next."""
    with place_in(shared_folder) as made:
        yield made


FOREIGN: Mapping[str, WorkerMessage | Chunk] = {
    "accepts it": Accept(run=VICTIM, attempt=FIRST),
    "refuses it": Refuse(run=VICTIM, attempt=FIRST, reason="mine now"),
    "starts it": told_started(VICTIM, FIRST),
    "ends it": final(VICTIM, FIRST, sequence=2, exit_code=1),
    "accepts its next attempt": Accept(run=VICTIM, attempt=SECOND),
    "ends its next attempt": final(VICTIM, SECOND, sequence=1),
    "writes at the beginning of its log": Chunk(run=VICTIM, attempt=FIRST, offset=0, content=b"forged bytes\n"),
    "writes at the end of its log": Chunk(run=VICTIM, attempt=FIRST, offset=14, content=b"forged bytes\n"),
    "writes far behind its log": Chunk(run=VICTIM, attempt=FIRST, offset=2**40, content=b"forged bytes\n"),
    "ends a run that does not exist": final(RunId(10**9), FIRST, sequence=1),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_worker_that_speaks_of_anothers_run_changes_nothing_and_is_sent_away(
    shared: Place, fired: Fired, what: str
) -> None:
    before = shared.snapshot()

    with impostor(shared.up.port, shared.token) as guest:
        shared.greet(guest)
        guest.say(FOREIGN[what])
        code, _ = guest.closed()
        fired(what)

    assert code == CloseCode.OUT_OF_TURN
    assert shared.snapshot() == before
    shared.await_counted()


def raw(*messages: Mapping[str, object]) -> str:
    """A text frame that no codec of ours would make."""
    return msgspec.json.encode(messages).decode().replace('"2**63"', str(2**63))


def told(run: RunId, **changes: object) -> Mapping[str, object]:
    """An event of the guest's own run, but for the changes."""
    said: dict[str, object] = {"type": "event", "run": run, "attempt": 1, "sequence": 1, "at": 1}
    return said | {"happening": {"kind": "started"}} | changes


FINAL = {
    "kind": "final",
    "exit_code": 0,
    "reason": "",
    "cause": None,
    "log_length": 0,
    "log_digest": SegmentedDigest().hexdigest(),
}
LIES: Mapping[str, tuple[Callable[[RunId], Frame], CloseCode]] = {
    "a sequence of 2**63": (lambda run: raw(told(run, sequence="2**63")), CloseCode.MALFORMED),
    "a sequence below nothing": (lambda run: raw(told(run, sequence=-1)), CloseCode.MALFORMED),
    "a sequence with a gap": (lambda run: raw(told(run, sequence=7)), CloseCode.OUT_OF_TURN),
    "an offset below nothing": (lambda run: msgspec.msgpack.encode([run, 1, -1, b"x"]), CloseCode.MALFORMED),
    "an offset with a gap": (lambda run: msgspec.msgpack.encode([run, 1, 10**12, b"x"]), CloseCode.OUT_OF_TURN),
    "a step with 2**63 bytes of log": (
        lambda run: raw(told(run, happening={"kind": "step-started", "step": 0, "name": "", "log_offset": "2**63"})),
        CloseCode.MALFORMED,
    ),
    "an end before the beginning": (
        lambda run: raw(told(run, happening={**FINAL, "outcome": "succeeded"})),
        CloseCode.OUT_OF_TURN,
    ),
    "an end that is none": (
        lambda run: raw(told(run, happening={**FINAL, "outcome": "accepted"})),
        CloseCode.MALFORMED,
    ),
    "an end with log that never came": (
        lambda run: raw(told(run), told(run, sequence=2, happening={**FINAL, "outcome": "succeeded", "log_length": 5})),
        CloseCode.OUT_OF_TURN,
    ),
    "two beginnings": (lambda run: raw(told(run), told(run, sequence=2)), CloseCode.OUT_OF_TURN),
}


@pytest.mark.parametrize("what", LIES)
def test_a_worker_that_lies_about_its_own_run_is_sent_away_and_the_run_stays_as_it_was(
    shared: Place, fired: Fired, what: str
) -> None:
    lie, expected = LIES[what]
    before = shared.snapshot()

    with impostor(shared.up.port, shared.token) as guest:
        shared.greet(guest)
        own = shared.take(guest).run
        guest.say_frame(lie(own))
        code, _ = guest.closed()
        fired(what)

    assert code == expected
    assert shared.snapshot() == before
    shared.await_counted()
    assert (shared.up.run(own).state, shared.up.log(own)) == ("assigned", b"")


def test_a_worker_that_claims_to_hold_anothers_run_is_told_to_forget_it(shared: Place, fired: Fired) -> None:
    before = shared.snapshot()
    held = Held(run=VICTIM, attempt=FIRST, state=AttemptState.STARTED, sequence=9, log_length=1 << 40)

    with impostor(shared.up.port, shared.token) as guest:
        shared.greet(guest, held=[held])
        forget = guest.hear(Forget)
        fired("claim")

    assert (forget.run, forget.attempt) == (VICTIM, FIRST)
    assert shared.snapshot() == before


def test_a_hundred_thousand_answers_to_one_offer_are_one_answer(place: Place, fired: Fired) -> None:
    before = place.snapshot()
    forget_peak(place.up.program.pid)
    resident = resident_bytes(place.up.program.pid)

    with impostor(place.up.port, place.token) as guest:
        place.greet(guest)
        offer = place.offered(guest)
        guest.say_together([Accept(run=offer.run, attempt=offer.attempt)] * ANSWERS)
        guest.hear(Go)
        guest.say(told_started(offer.run, offer.attempt), final(offer.run, offer.attempt, sequence=2))
        run = place.up.finish(offer.run)
        fired("answers", ANSWERS)

    assert (run.state, run.attempts_counted) == ("succeeded", 1)
    assert resident_peak_bytes(place.up.program.pid) - resident <= GROWTH_BYTES_MAX
    assert place.snapshot() == before


def test_a_worker_that_talks_and_never_listens_costs_bounded_memory(place: Place, fired: Fired) -> None:
    beats = encode([Heartbeat(counter=1, load=0.0, free_disk_bytes=1)] * FRAME_MESSAGES_MAX)[0]
    forget_peak(place.up.program.pid)
    resident = resident_bytes(place.up.program.pid)

    with impostor(place.up.port, place.token) as guest:
        place.greet(guest)
        with pytest.raises(ConnectionClosed):
            say_for_ever(guest, beats)
        fired("deaf")

    assert resident_peak_bytes(place.up.program.pid) - resident <= GROWTH_BYTES_MAX
    place.await_counted()


def say_for_ever(guest: Impostor, frame: Frame) -> None:
    """Until the master has had enough, or for two million messages."""
    for _ in range(8000):
        guest.say_frame(frame)


def test_a_worker_that_tells_more_than_can_be_stored_is_slowed_down(place: Place, fired: Fired) -> None:
    values = {"large": msgspec.Raw(b'"' + b"x" * 500_000 + b'"')}
    with impostor(place.up.port, place.token) as guest:
        place.greet(guest)
        offer = place.take(guest)
        guest.say(told_started(offer.run, offer.attempt))
        forget_peak(place.up.program.pid)
        resident = resident_bytes(place.up.program.pid)
        with locked(place.up.data / "orchestra.db"):
            saying = threading.Thread(target=say_results, args=(guest, offer, values, 300))
            saying.start()
            saying.join(LOCKED_SECONDS)
            fired("slowed down", saying.is_alive())
        saying.join(60)
        assert not saying.is_alive(), "it did not get rid of its words"
        guest.say(final(offer.run, offer.attempt, sequence=302))
        run = place.up.finish(offer.run)

    assert run.state == "succeeded", run.reason
    assert resident_peak_bytes(place.up.program.pid) - resident <= GROWTH_BYTES_MAX


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else writes to the database meanwhile."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("begin immediate")
        yield
        database.execute("rollback")


def say_results(guest: Impostor, offer: Offer, values: Mapping[str, msgspec.Raw], count: int) -> None:
    """So many events with these results, after the first one."""
    for sequence in range(2, 2 + count):
        guest.say(event(offer.run, offer.attempt, sequence, Results(values=dict(values))))
