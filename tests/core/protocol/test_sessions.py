"""Both ends of a connection against each other, with time turned by the test and no socket between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.errors import ProtocolError
from orchestra.identifiers import AttemptNumber, Epoch, RunId
from orchestra.limits import HEARTBEAT_SECONDS, HELLO_SECONDS_MAX, PROTOCOL_VERSIONS, SILENCE_SECONDS_MAX
from orchestra.protocol.codec import CloseCode, encode
from orchestra.protocol.messages import (
    Accept,
    Chunk,
    Drain,
    Go,
    Heartbeat,
    HeartbeatAnswer,
    Hello,
    MasterMessage,
    Welcome,
    WorkerMessage,
)
from orchestra.protocol.session import MasterSession, WorkerSession, chosen_version

NOTICED_SECONDS = 15.0
ACCEPT = Accept(run=RunId(1), attempt=AttemptNumber(1))
GO = Go(run=RunId(1), attempt=AttemptNumber(1))


def hello(minimum: int = 1, maximum: int = 1) -> Hello:
    return Hello(
        protocol_minimum=minimum,
        protocol_maximum=maximum,
        worker="atlas",
        instance="i",
        boot_id="b",
        version="1",
        properties={},
        slots=1,
        free_disk_bytes=0,
    )


def welcome(protocol: int = 1) -> Welcome:
    return Welcome(
        protocol=protocol,
        epoch=Epoch(1),
        heartbeat_seconds=HEARTBEAT_SECONDS,
        silence_seconds_max=SILENCE_SECONDS_MAX,
        run_window_bytes=1,
        worker_window_bytes=1,
        accepts_runs=True,
    )


class Conversation:
    """Two ends and a wire that the test can cut; the master says welcome as soon as it has heard hello."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.worker = WorkerSession(hello=hello(), now=now)
        self.master = MasterSession(now=now)
        self.worker_heard: list[MasterMessage] = []
        self.master_heard: list[WorkerMessage | Chunk] = []
        self.reaches_master = self.reaches_worker = True

    def exchange(self) -> None:
        """Everything that waits goes over the wire, until nothing does."""
        while self.worker.wants_to_send or self.master.wants_to_send:
            for frame in self.worker.take_frames():
                if self.reaches_master:
                    heard = self.master.receive(frame, self.now)
                    self.master_heard += heard
                    if any(isinstance(message, Hello) for message in heard):
                        self.master.send(welcome())
            for frame in self.master.take_frames():
                if self.reaches_worker:
                    self.worker_heard += self.worker.receive(frame, self.now)

    def pass_time(self, until: float) -> None:
        """Ticks both ends whenever one of them wants it."""
        while (due := min(self.worker.next_tick(), self.master.next_tick())) <= until:
            self.now = max(self.now, due)
            self.worker.tick(self.now, load=0.5, free_disk_bytes=7)
            self.master.tick(self.now)
            self.exchange()
        self.now = until


@pytest.fixture
def conversation() -> Conversation:
    """Both have greeted."""
    made = Conversation()
    made.exchange()
    return made


def refusal_of(error: ProtocolError) -> tuple[CloseCode, str]:
    return CloseCode(error.code), str(error)


def test_hello_and_welcome_come_first(conversation: Conversation) -> None:
    assert conversation.master_heard == [hello()]
    assert conversation.worker_heard == [welcome()]
    assert conversation.master.hello == hello()
    assert conversation.worker.welcome == welcome()


def test_nothing_but_hello_leaves_before_welcome() -> None:
    worker = WorkerSession(hello=hello(), now=0)
    worker.send(ACCEPT)

    before = worker.take_frames()
    worker.receive(encode([welcome()])[0], 1)

    assert before == encode([hello()])
    assert worker.take_frames() == encode([ACCEPT])


def test_heartbeats_go_on_for_ever_and_tell_the_lease(conversation: Conversation) -> None:
    conversation.pass_time(1000)

    beats = [message for message in conversation.master_heard if isinstance(message, Heartbeat)]
    assert [beat.counter for beat in beats] == list(range(1, len(beats) + 1))
    assert len(beats) == 1000 / HEARTBEAT_SECONDS + 1
    assert (beats[-1].load, beats[-1].free_disk_bytes) == (0.5, 7)
    assert conversation.worker.answered_at == 1000


def test_an_answer_that_is_late_moves_the_lease_only_to_its_own_beat(conversation: Conversation) -> None:
    worker = conversation.worker
    for now in (100, 105):
        worker.receive(encode([Drain()])[0], now)
        worker.tick(now, load=0, free_disk_bytes=0)

    worker.receive(encode([HeartbeatAnswer(counter=1)])[0], 112)
    first = worker.answered_at
    worker.receive(
        encode([HeartbeatAnswer(counter=2), HeartbeatAnswer(counter=1), HeartbeatAnswer(counter=99)])[0], 113
    )

    assert (first, worker.answered_at) == (100, 105)


@given(
    begins=st.floats(0, 1e6),
    cut_after=st.floats(0, 60),
    to_master=st.booleans(),
)
def test_a_cut_is_noticed_by_both_ends(begins: float, cut_after: float, to_master: bool) -> None:
    conversation = Conversation(begins)
    conversation.exchange()
    conversation.pass_time(begins + cut_after)
    conversation.reaches_worker = False
    conversation.reaches_master = not to_master

    with pytest.raises(ProtocolError) as caught:
        conversation.pass_time(begins + cut_after + NOTICED_SECONDS)

    # The end that hears nothing is the first to leave; that closes the connection of the other one as well.
    assert caught.value.code == CloseCode.SILENT
    assert conversation.now <= begins + cut_after + NOTICED_SECONDS


@given(phase=st.floats(0, HEARTBEAT_SECONDS))
def test_a_worker_that_falls_silent_is_noticed_in_time(phase: float) -> None:
    conversation = Conversation()
    conversation.exchange()
    conversation.pass_time(100 + phase)
    silent_since = conversation.now

    noticed_at = conversation.master.next_tick()
    with pytest.raises(ProtocolError, match="the worker was silent"):
        conversation.master.tick(noticed_at)

    assert noticed_at - silent_since <= NOTICED_SECONDS


def test_any_frame_is_a_sign_of_life(conversation: Conversation) -> None:
    for now in range(10, 200, 10):
        conversation.worker.send(ACCEPT)
        conversation.now = now
        conversation.exchange()
        conversation.master.tick(now)

    assert conversation.master.next_tick() == 190 + SILENCE_SECONDS_MAX


def test_who_does_not_say_hello_is_sent_away() -> None:
    master = MasterSession(now=5)

    assert master.next_tick() == 5 + HELLO_SECONDS_MAX
    with pytest.raises(ProtocolError) as caught:
        master.tick(5 + HELLO_SECONDS_MAX)
    assert refusal_of(caught.value) == (CloseCode.SILENT, "the worker did not say hello")


def test_a_master_that_never_says_welcome_is_left() -> None:
    worker = WorkerSession(hello=hello(), now=0)

    with pytest.raises(ProtocolError, match="the master was silent for 13 s"):
        worker.tick(worker.next_tick(), load=0, free_disk_bytes=0)


OUT_OF_TURN: dict[str, tuple[list[WorkerMessage], str]] = {
    "before hello": ([ACCEPT], "the worker speaks before it has said hello"),
    "a heartbeat before hello": (
        [Heartbeat(counter=1, load=0, free_disk_bytes=0)],
        "the worker speaks before it has said hello",
    ),
    "hello twice": ([hello(), hello()], "the worker says hello twice"),
}


@pytest.mark.parametrize(("said", "words"), OUT_OF_TURN.values(), ids=OUT_OF_TURN.keys())
def test_a_worker_that_speaks_out_of_turn_is_sent_away(said: list[WorkerMessage], words: str) -> None:
    master = MasterSession(now=0)

    with pytest.raises(ProtocolError) as caught:
        master.receive(encode(said)[0], 1)

    assert refusal_of(caught.value) == (CloseCode.OUT_OF_TURN, words)


def test_a_master_that_speaks_out_of_turn_is_left(conversation: Conversation) -> None:
    early = WorkerSession(hello=hello(), now=0)

    with pytest.raises(ProtocolError, match="before it has said welcome"):
        early.receive(encode([GO])[0], 1)
    with pytest.raises(ProtocolError, match="says welcome twice"):
        conversation.worker.receive(encode([welcome()])[0], 1)


@pytest.mark.parametrize(("minimum", "maximum", "older"), [(2, 9, "master"), (0, 0, "worker"), (3, 2, "master")])
def test_without_a_common_version_the_older_side_is_named(minimum: int, maximum: int, older: str) -> None:
    master = MasterSession(now=0)

    with pytest.raises(ProtocolError) as caught:
        master.receive(encode([hello(minimum, maximum)])[0], 1)

    code, words = refusal_of(caught.value)
    assert code == CloseCode.VERSION
    assert words.endswith(f"upgrade the {older}")
    assert master.hello is None


def test_a_version_that_the_worker_does_not_speak_is_left() -> None:
    worker = WorkerSession(hello=hello(), now=0)

    with pytest.raises(ProtocolError) as caught:
        worker.receive(encode([welcome(PROTOCOL_VERSIONS.stop)])[0], 1)

    assert caught.value.code == CloseCode.VERSION
    assert worker.welcome is None


@given(st.integers(0, 2**31), st.integers(0, 2**31))
def test_the_chosen_version_is_the_newest_that_both_speak(low: int, high: int) -> None:
    spoken = range(low, high + 1)

    common = [version for version in PROTOCOL_VERSIONS if version in spoken]

    assert chosen_version(spoken) == max(common, default=None)
