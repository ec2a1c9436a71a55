"""Both ends of the conversation against each other while frames are lost at any place, commits fail, and both sides
die: what is told arrives, once, and within the windows."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import func, select

from orchestra.errors import DatabaseAway, ProtocolError
from orchestra.identifiers import RunId
from orchestra.lifecycle import LIVE_ATTEMPT_STATES, AttemptState
from orchestra.limits import FRAME_BYTES_MAX, FRAME_MESSAGES_MAX
from orchestra.protocol.codec import CloseCode, Frame
from orchestra.protocol.messages import Acknowledge, Chunk, Results, Resume
from orchestra.protocol.session import WorkerSession
from orchestra.protocol.window import AttemptKey
from orchestra.storage.runs import request_stop
from orchestra.storage.sqlite_file import sqlite_engine
from orchestra.storage.tables import run_events, runs
from orchestra.storage.workers import session_is_current
from orchestra_master import greeting
from orchestra_worker import log_source, outbox
from orchestra_worker.masking import Masker
from tests.properties.effort import effort
from tests.properties.master_side import MasterEnd, MasterSide
from tests.properties.worker_side import NOW, SECRET, WorkerSide, check_in

RUN_WINDOW, WORKER_WINDOW, CHUNK = 150, 220, 64
RUNS_MAX = 4
OUTCOMES = (AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.EXCEPTION)
PUMPS_MAX = 500
_chunks = msgspec.msgpack.Decoder(Chunk)

some_runs = st.integers(0, 3)
counts = st.integers(0, 6)
fates = st.sampled_from(("stored", "stored", "stored", "stored", "lost", "stored, and nobody hears of it"))
PAGE = bytes(range(256)) * 2
prints = st.one_of(
    st.integers(1, len(PAGE)).map(lambda length: PAGE[:length]),
    st.sampled_from((SECRET.encode(), SECRET[:7].encode(), SECRET.encode() * 9)),
)


def as_stored(output: bytes) -> bytes:
    """Without the secret, and without its beginning at the very end: while a step runs that is held back, and masked
    once it has ended."""
    masker = Masker([SECRET])
    kept = len(output) - masker.cut_bytes(output)
    return masker.mask_window(output, 0, len(output))[:kept] + b"*" * (len(output) - kept)


class ConversationMachine(RuleBasedStateMachine):
    """A worker, a master, and between them one wire at a time. An old wire may live on at the master's end."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(greeting, "RUN_WINDOW_BYTES", RUN_WINDOW)
        self.patch.setattr(greeting, "WORKER_WINDOW_BYTES", WORKER_WINDOW)
        for module in (outbox, log_source):
            self.patch.setattr(module, "CHUNK_BYTES_MAX", CHUNK)
        self.folder = Path(tempfile.mkdtemp(prefix="conversation-"))
        (self.folder / "worker").mkdir()
        shutil.copyfile(self.template, self.folder / "orchestra.db")
        self.engine = sqlite_engine(self.folder / "orchestra.db", pragmas=[], begin="BEGIN IMMEDIATE", connections=1)
        self.connection = self.engine.connect()
        self.connection.begin()
        self.master = MasterSide(self.connection, self.folder / "logs")
        self.worker = WorkerSide(self.folder / "worker")
        self.runs: list[RunId] = []
        self.ghost: tuple[MasterEnd, list[Frame]] | None = None
        self.last_seen: dict[AttemptKey, tuple[int, int]] = {}
        self._connect()

    def teardown(self) -> None:
        """Whatever happened: once the wire holds and all has ended, everything has arrived."""
        try:
            self._settle()
            self._everything_has_arrived()
        finally:
            self.worker.close()
            self.master.logs.close()
            self.connection.close()
            self.engine.dispose()
            shutil.rmtree(self.folder)
            self.patch.undo()

    # --- the wire ---

    def _connect(self) -> None:
        self.session: WorkerSession = self.worker.open_session()
        self.end = MasterEnd(self.master)
        self.upward: list[Frame] = []
        self.downward: list[Frame] = []
        self.sent: dict[AttemptKey, int] = {}
        self.acknowledged: dict[AttemptKey, int] = {}

    @rule()
    def the_wire_is_cut(self) -> None:
        """All that is on its way is lost; the master may not have noticed yet, and work on what had come."""
        self.ghost = (self.end, self.upward)
        self._connect()

    def the_worker_sends(self, count: int) -> None:
        for _ in range(count):
            for frame in self.worker.frames(self.session):
                assert len(frame) <= FRAME_BYTES_MAX
                if isinstance(frame, bytes):
                    self._sends_chunk(_chunks.decode(frame))
                else:
                    assert len(msgspec.json.decode(frame)) <= FRAME_MESSAGES_MAX
                self.upward.append(frame)

    def _sends_chunk(self, chunk: Chunk) -> None:
        key = (chunk.run, chunk.attempt)
        assert 0 < len(chunk.content) <= CHUNK
        assert chunk.offset == self.sent.get(key, 0), "log bytes leave in order"
        self.sent[key] = chunk.offset + len(chunk.content)
        under_way = {each: self.sent[each] - self.acknowledged.get(each, 0) for each in self.sent}
        assert under_way[key] <= RUN_WINDOW
        # What was given up with a forgotten attempt is under way no more.
        assert sum(bytes_of for each, bytes_of in under_way.items() if each in self.worker.attempts) <= WORKER_WINDOW

    def frames_reach_the_master(self, count: int) -> None:
        arriving, self.upward = self.upward[:count], self.upward[count:]
        for frame in arriving:
            self.end.receive(frame)

    def the_master_records(self, fate: str) -> None:
        self.master.database.is_lost = fate == "lost"
        self.master.database.is_silent = fate.endswith("of it")
        try:
            self.end.record()
        except DatabaseAway:
            # The link ends with it.
            self._connect()
        finally:
            self.master.database.is_lost = self.master.database.is_silent = False
        for frame in self.end.session.take_frames():
            assert len(frame) <= FRAME_BYTES_MAX
            self.downward.append(frame)

    def frames_reach_the_worker(self, count: int) -> None:
        arriving, self.downward = self.downward[:count], self.downward[count:]
        for frame in arriving:
            messages = self.session.receive(frame, 0)
            for message in messages:
                if isinstance(message, Resume | Acknowledge):
                    key = (message.run, message.attempt)
                    self.acknowledged[key] = max(self.acknowledged.get(key, 0), message.log_length)
                if isinstance(message, Resume):
                    self.sent[message.run, message.attempt] = message.log_length
            self.worker.take(messages)

    @rule(sent=counts, arrived=counts, fate=fates, heard=counts, is_journalled=st.booleans())
    def something_is_said(self, sent: int, arrived: int, fate: str, heard: int, is_journalled: bool) -> None:
        """Each end gets on a little; what is not said to the end is on its way."""
        self.the_worker_sends(sent)
        self.frames_reach_the_master(arrived)
        self.the_master_records(fate)
        self.frames_reach_the_worker(heard)
        if is_journalled:
            self.worker.write_journal()

    @rule(rounds=st.integers(1, 3))
    def all_is_well_for_a_while(self, rounds: int) -> None:
        for _ in range(rounds):
            self.something_is_said(sent=10, arrived=1000, fate="stored", heard=1000, is_journalled=True)

    @initialize(runs_offered=st.integers(1, 3), rounds=st.integers(1, 3))
    def begin(self, runs_offered: int, rounds: int) -> None:
        """Something is under way, or most of what follows would have nothing to disturb."""
        self.all_is_well_for_a_while(1)
        for _ in range(runs_offered):
            self.runs.append(self.master.create_run())
            self.end.offer(self.runs[-1])
        self.all_is_well_for_a_while(rounds)
        for key in list(self.worker.attempts):
            self.worker.print(key, PAGE)

    @precondition(lambda self: self.ghost is not None)
    @rule(count=st.integers(0, 6))
    def the_old_wire_is_still_worked_on(self, count: int) -> None:
        """Half open: the newer connection decides who may still say something, from the commit of its greeting on, of
        which its own end may not have heard."""
        assert self.ghost is not None
        (end, frames), self.ghost = self.ghost, None
        session = end.connected
        is_newest = session is not None and session_is_current(self.connection, session.worker, session.epoch)
        refused = None
        try:
            for frame in frames[:count]:
                end.receive(frame)
            end.record()
        except ProtocolError as error:
            refused = error.code
        assert refused in ((None,) if is_newest else (None, CloseCode.REPLACED))

    # --- what happens at both ends ---

    @rule(place=some_runs, is_new=st.booleans())
    def the_master_offers(self, place: int, is_new: bool) -> None:
        if is_new and len(self.runs) < RUNS_MAX:
            self.runs.append(self.master.create_run())
        if self.end.connected is not None and self.runs:
            self.end.offer(self.runs[place % len(self.runs)])

    @rule(place=some_runs)
    def somebody_stops_a_run_that_a_worker_may_have(self, place: int) -> None:
        run = self.runs[place % len(self.runs)] if self.runs else None
        if run and any(
            key[0] == run and state.state in LIVE_ATTEMPT_STATES for key, state in self.master.stored().items()
        ):
            request_stop(self.connection, run, by="user ana", reason="", now=NOW)

    @rule(output=prints, text=st.sampled_from(("", "30 %", "x" * 300)), is_result=st.booleans())
    def the_processes_work(self, output: bytes, text: str, is_result: bool) -> None:
        for key in list(self.worker.attempts):
            self.worker.print(key, output)
            if text:
                self.worker.tell(key, Results(values={"r": msgspec.Raw(b"1")}) if is_result else check_in(text))

    @rule(place=some_runs, outcome=st.sampled_from(OUTCOMES))
    def a_process_ends(self, place: int, outcome: AttemptState) -> None:
        for key in self._attempts_of(place):
            self.worker.end(key, outcome)

    @rule()
    def the_journal_is_written(self) -> None:
        self.worker.write_journal()

    @rule(is_agent=st.booleans())
    def one_of_them_is_killed(self, is_agent: bool) -> None:
        if is_agent:
            self.worker.restart_agent()
            self.the_wire_is_cut()
        else:
            self.master.crash()
            self.ghost = None
            self._connect()

    def _attempts_of(self, place: int) -> Iterator[AttemptKey]:
        run = self.runs[place % len(self.runs)] if self.runs else None
        return (key for key in list(self.worker.attempts) if key[0] == run)

    # --- what must always hold ---

    @invariant()
    def nothing_that_was_committed_goes_back(self) -> None:
        for key, state in self.master.stored().items():
            sequence, log_length = self.last_seen.get(key, (0, 0))
            assert state.sequence >= sequence
            assert state.log_length >= log_length
            self.last_seen[key] = (state.sequence, state.log_length)

    @invariant()
    def what_is_committed_is_true_and_nothing_else_was_deleted(self) -> None:
        stored = self.master.stored()
        for key, state in stored.items():
            expected = as_stored(self.worker.outputs.get(key, b""))
            assert self.master.logs.read(*key, 0, state.log_length) == expected[: state.log_length]
        for key, attempt in self.worker.attempts.items():
            first = attempt.events[0].event.sequence if attempt.events else attempt.sequence + 1
            assert (
                key not in stored or first <= stored[key].sequence + 1 or stored[key].state not in LIVE_ATTEMPT_STATES
            )

    @invariant()
    def nothing_is_started_twice(self) -> None:
        assert len(self.worker.spawned) == len(set(self.worker.spawned))

    # --- the end ---

    def _settle(self) -> None:
        self.ghost = None
        self._connect()
        for _ in range(PUMPS_MAX):
            self.something_is_said(sent=20, arrived=1000, fate="stored", heard=1000, is_journalled=True)
            for key in list(self.worker.attempts):
                self.worker.end(key, AttemptState.SUCCEEDED)
            self.worker.write_journal()
            if not self.worker.attempts and not self.upward and not self.downward:
                return
        raise AssertionError(f"it never comes to rest: {self.worker.attempts}")

    def _everything_has_arrived(self) -> None:
        stored = self.master.stored()
        assert not any(state.state in LIVE_ATTEMPT_STATES for state in stored.values())
        for key, state in stored.items():
            if state.state is AttemptState.WITHDRAWN:
                assert key not in self.worker.spawned
                continue
            assert (state.state, state.sequence) == (self.worker.outcomes[key], self.worker.events_made[key])
            assert state.log_length == len(self.worker.outputs.get(key, b""))
            assert "damaged" not in (state.reason or "")
            started = self._told(key, "started")
            assert started == (key in self.worker.spawned)
        ran = {key[0] for key in self.worker.spawned}
        counted = {row.id: row.attempts_counted for row in self.connection.execute(select(runs))}
        assert all(counted[run] == (run in ran) for run in self.runs)

    def _told(self, key: AttemptKey, kind: str) -> int:
        query = select(func.count()).where(
            run_events.c.run_id == key[0], run_events.c.attempt == key[1], run_events.c.kind == kind
        )
        return self.connection.execute(query).scalar_one()


@pytest.fixture(autouse=True)
def template(sqlite_template: Path) -> None:
    """An empty database with all tables, to be copied."""
    ConversationMachine.template = sqlite_template


ConversationMachine.TestCase.settings = effort(100, steps=40)
TestConversation = ConversationMachine.TestCase
