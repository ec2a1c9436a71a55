"""What a worker tells becomes rows: the same rows however the stream was cut, repeated, or lost before a commit."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st
from msgspec import Raw
from sqlalchemy import Connection, select, update

from orchestra.clock import Instant
from orchestra.errors import ProtocolError
from orchestra.identifiers import RunId
from orchestra.lifecycle import AttemptState, RunState
from orchestra.limits import DELAY_SECONDS_MAX
from orchestra.logs.digest import SegmentedDigest
from orchestra.protocol.codec import CloseCode
from orchestra.protocol.messages import (
    Acknowledge,
    CheckIn,
    Event,
    Final,
    Forget,
    Go,
    Results,
    Started,
    StepEnded,
    StepStarted,
)
from orchestra.specification import RetryPolicy
from orchestra.storage.database import Database
from orchestra.storage.results import comparable_text
from orchestra.storage.tables import run_events, runs
from orchestra_master.retrying import seconds_until_retry
from tests.master.stored_attempt import ATTEMPT, Rows, StoredAttempt, offered_attempt
from tests.support import given
from tests.support.worker_end import Told, event, final

FIRST = RunId(1)
JOB = given.specification()


@dataclass(frozen=True)
class Stream:
    """A whole execution: its events, and its log, of which each event needs some."""

    events: Sequence[Event]
    log: bytes

    def deliver(self, stored: StoredAttempt, connection: Connection, begin: int, end: int, length: int) -> None:
        """A batch of events; before the last one all of the log must have come."""
        length = len(self.log) if end == len(self.events) else length
        stored.tell(connection, *self.events[begin:end], accepts=begin == 0, log=self.log[:length])


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    happenings: list[Told] = [Started()]
    steps = draw(st.integers(0, 3))
    small = st.integers(0, 5)
    for step in range(steps):
        happenings.append(StepStarted(step=step, name=f"step-{step}", log_offset=draw(small)))
        for _ in range(draw(st.integers(0, 2))):
            happenings.append(CheckIn(progress=draw(small) / 5, text=f"at {draw(small)}"))
        if draw(st.booleans()):
            happenings.append(Results(values={draw(st.sampled_from("abc")): Raw(str(draw(small)).encode())}))
        happenings.append(StepEnded(step=step, exit_code=draw(small), reason="", log_length=draw(small)))
    log = draw(st.binary(max_size=30))
    events = [event(FIRST, ATTEMPT, number, each) for number, each in enumerate(happenings, 1)]
    last = final(FIRST, ATTEMPT, sequence=len(events) + 1, output=log, exit_code=draw(st.integers(0, 1)))
    return Stream([*events, last], log)


def told_once(connection: Connection, stream: Stream) -> Rows:
    """The rows after everything has come at once."""
    savepoint = connection.begin_nested()
    stored = offered_attempt(connection, JOB)
    stream.deliver(stored, connection, 0, len(stream.events), len(stream.log))
    rows = stored.rows(connection)
    savepoint.rollback()
    return rows


@dataclass(frozen=True)
class Piece:
    """One batch: from some events back, over some events on, with some of the log; it may die before its commit."""

    back: int
    on: int
    length: int
    is_lost: bool


pieces = st.builds(Piece, st.integers(0, 20), st.integers(0, 6), st.integers(0, 30), st.booleans())


def told_in_pieces(connection: Connection, stream: Stream, cuts: Sequence[Piece]) -> Rows:
    """The rows after sessions that were cut anywhere, with repeats, commits that never happened, and words after the
    end."""
    stored = offered_attempt(connection, JOB)
    done = 0
    for piece in cuts:
        savepoint = connection.begin_nested()
        end = min(done + piece.on, len(stream.events))
        stream.deliver(stored, connection, max(0, done - piece.back), end, piece.length)
        if piece.is_lost:
            savepoint.rollback()
        else:
            savepoint.commit()
            done = end
    for _ in range(2):
        stream.deliver(stored, connection, 0, len(stream.events), len(stream.log))
    return stored.rows(connection)


@settings(max_examples=150, deadline=None)
@examples(stream=streams(), cuts=st.lists(pieces, max_size=10))
def test_a_stream_leaves_the_same_rows_however_it_came(
    engine_connection: Connection, stream: Stream, cuts: list[Piece]
) -> None:
    transaction = engine_connection.begin()
    try:
        once = told_once(engine_connection, stream)
        piecewise = told_in_pieces(engine_connection, stream, cuts)
    finally:
        transaction.rollback()

    assert piecewise == once


async def test_it_does_so_on_both_databases(database: Database) -> None:
    output = b"output"
    events = [
        event(FIRST, ATTEMPT, 1, Started()),
        event(FIRST, ATTEMPT, 2, StepStarted(step=0, name="build", log_offset=0)),
        event(FIRST, ATTEMPT, 3, Results(values={"a": Raw(b"1")})),
        event(FIRST, ATTEMPT, 4, Results(values={"a": Raw(b"2"), "b": Raw(b'"x"')})),
        event(FIRST, ATTEMPT, 5, StepEnded(step=0, exit_code=0, reason="", log_length=6)),
        final(FIRST, ATTEMPT, sequence=6, output=output),
    ]
    stream = Stream(events, output)

    def in_pieces(connection: Connection) -> Rows:
        once = told_once(connection, stream)
        stored = offered_attempt(connection, JOB)
        for begin, end, length in ((0, 0, 3), (0, 2, 1), (0, 2, 6), (1, 4, 6), (2, 6, 6), (0, 6, 6)):
            # Keys count on although the first was rolled back, on PostgreSQL: the run's own number is told.
            mine = [event(stored.run, ATTEMPT, each.sequence, each.happening) for each in events]
            Stream(mine, output).deliver(stored, connection, begin, end, length)
        rows = stored.rows(connection)
        assert [row.state for row in rows["run"]] == [row.state for row in once["run"]] == [RunState.SUCCEEDED]
        assert [(row.name, row.value) for row in rows["results"]] == [("a", "2"), ("b", '"x"')]
        assert rows["history"] == once["history"]
        assert [(row.exit_code, row.log_end) for row in rows["steps"]] == [(0, 6)]
        return rows

    rows = await database.write(in_pieces)

    assert [row.sequence for row in rows["attempts"]] == [6]


def test_steps_may_begin_in_one_batch_and_end_in_another(connection: Connection) -> None:
    stored = offered_attempt(connection, JOB)
    stored.tell(connection, event(FIRST, ATTEMPT, 1, Started()), accepts=True)
    stored.tell(connection, event(FIRST, ATTEMPT, 2, StepStarted(step=0, name="build", log_offset=3)))

    stored.tell(connection, event(FIRST, ATTEMPT, 3, StepEnded(step=0, exit_code=4, reason="no", log_length=9)))

    (step,) = stored.rows(connection)["steps"]
    assert (step.name, step.log_start, step.exit_code, step.reason, step.log_end) == ("build", 3, 4, "no", 9)


GAPS = {
    "an event is missing": [
        event(FIRST, ATTEMPT, 1, Started()),
        event(FIRST, ATTEMPT, 3, CheckIn(progress=1, text="")),
    ],
    "the first event is missing": [event(FIRST, ATTEMPT, 2, Started())],
    "something after the end": [
        event(FIRST, ATTEMPT, 1, Started()),
        final(FIRST, ATTEMPT, sequence=2),
        event(FIRST, ATTEMPT, 3, CheckIn(progress=1, text="")),
    ],
    "an end that never began": [final(FIRST, ATTEMPT, sequence=1)],
}


@pytest.mark.parametrize("events", GAPS.values(), ids=GAPS.keys())
def test_a_gap_closes_the_link_and_changes_nothing(connection: Connection, events: list[Event]) -> None:
    stored = offered_attempt(connection, JOB)
    stored.tell(connection, accepts=True)
    before = stored.rows(connection)
    savepoint = connection.begin_nested()

    with pytest.raises(ProtocolError) as caught:
        stored.tell(connection, *events, log=b"")
    savepoint.rollback()

    assert caught.value.code == CloseCode.OUT_OF_TURN
    assert stored.rows(connection) == before


def test_an_event_before_acceptance_closes_the_link(connection: Connection) -> None:
    stored = offered_attempt(connection, JOB)

    with pytest.raises(ProtocolError, match=r"event 1 of #1 came after event 0 \(offered\)"):
        stored.tell(connection, event(FIRST, ATTEMPT, 1, Started()))


@pytest.mark.parametrize("outcome", [AttemptState.OFFERED, AttemptState.STARTED, AttemptState.WITHDRAWN])
def test_an_end_must_be_an_end(connection: Connection, outcome: AttemptState) -> None:
    stored = offered_attempt(connection, JOB)
    happening = Final(
        outcome=outcome,
        exit_code=None,
        reason="",
        cause=None,
        log_length=0,
        log_digest=SegmentedDigest().hexdigest(),
    )

    with pytest.raises(ProtocolError, match=f"an attempt cannot end as {outcome}"):
        stored.tell(connection, event(FIRST, ATTEMPT, 1, happening), accepts=True, log=b"")


@pytest.mark.parametrize("kept", [b"outpux", b"output and more"])
def test_a_damaged_log_ends_the_run_as_an_exception(connection: Connection, kept: bytes) -> None:
    stored = offered_attempt(connection, JOB)
    started = event(FIRST, ATTEMPT, 1, Started())

    applied = stored.tell(
        connection, started, final(FIRST, ATTEMPT, sequence=2, output=b"output"), accepts=True, log=kept
    )

    (run,) = stored.rows(connection)["run"]
    assert run.state == RunState.EXCEPTION
    assert run.reason.startswith("the log is damaged: ")
    assert run.reason.endswith("the job itself: succeeded")
    assert applied.answers[-1] == Forget(run=FIRST, attempt=ATTEMPT)


def test_acknowledged_is_what_is_stored_and_no_more(connection: Connection) -> None:
    stored = offered_attempt(connection, JOB)

    applied = stored.tell(connection, event(FIRST, ATTEMPT, 1, Started()), accepts=True, log=b"four")
    repeated = stored.tell(connection, event(FIRST, ATTEMPT, 1, Started()), log=b"fo")

    assert applied.answers == [
        Go(run=FIRST, attempt=ATTEMPT),
        Acknowledge(run=FIRST, attempt=ATTEMPT, sequence=1, log_length=4),
    ]
    assert repeated.answers == [Acknowledge(run=FIRST, attempt=ATTEMPT, sequence=1, log_length=4)]


def test_an_older_session_changes_nothing(connection: Connection) -> None:
    stored = offered_attempt(connection, JOB)

    with pytest.raises(ProtocolError) as caught:
        stored.tell(connection, accepts=True, epoch=stored.epoch + 1)

    assert caught.value.code == CloseCode.REPLACED


def test_a_late_end_is_kept_as_evidence(connection: Connection) -> None:
    stored = offered_attempt(connection, JOB)
    started = event(FIRST, ATTEMPT, 1, Started())
    stored.tell(connection, started, final(FIRST, ATTEMPT, sequence=2), accepts=True, log=b"")
    before = stored.rows(connection)

    applied = stored.tell(connection, final(FIRST, ATTEMPT, sequence=2, exit_code=3), log=b"")

    late = connection.execute(select(run_events.c.detail).where(run_events.c.kind == "late")).scalar_one()
    assert late == "came too late: failed exit code 3"
    assert stored.rows(connection) == before
    assert applied.released == [(FIRST, ATTEMPT)]


def test_a_stop_that_was_asked_for_withdraws_what_was_only_offered(connection: Connection) -> None:
    stored = offered_attempt(connection, JOB)
    asked = {"stop_requested_at": Instant(1), "stop_requested_by": "user ana"}
    connection.execute(update(runs).values(asked))

    applied = stored.tell(connection, accepts=True)

    assert applied.answers == [Forget(run=FIRST, attempt=ATTEMPT)]
    assert applied.released == [(FIRST, ATTEMPT)]
    assert stored.rows(connection)["run"][0].state == RunState.CANCELLED


@pytest.mark.parametrize("stop_asked", [False, True])
def test_a_failed_attempt_is_tried_again_unless_somebody_wanted_it_stopped(
    connection: Connection, stop_asked: bool
) -> None:
    retrying = RetryPolicy(max_attempts=3, wait_seconds=60, factor=2, on=("exit",))
    stored = offered_attempt(connection, given.specification(retry=retrying))
    stored.tell(connection, event(FIRST, ATTEMPT, 1, Started()), accepts=True)
    if stop_asked:
        connection.execute(update(runs).values(stop_requested_at=Instant(1), stop_requested_by="user ana"))

    stored.tell(connection, final(FIRST, ATTEMPT, sequence=2, exit_code=3), log=b"")

    assert stored.rows(connection)["run"][0].state == (RunState.FAILED if stop_asked else RunState.SCHEDULED)


def test_the_wait_before_a_retry_is_bounded() -> None:
    policy = RetryPolicy(max_attempts=100, wait_seconds=604_800, factor=100, on=("exit",))

    waits = [
        seconds_until_retry(policy, run=FIRST, attempt=ATTEMPT, attempts_counted=count, cause="exit:1")
        for count in range(1, 101)
    ]

    assert waits[:2] == [604_800, DELAY_SECONDS_MAX]
    assert waits[-2:] == [DELAY_SECONDS_MAX, None]


async def test_a_large_result_can_be_kept_and_looked_for(database: Database) -> None:
    scrambled = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(10_000))
    values = {"large": Raw(f'"{scrambled}"'.encode()), "deep": Raw(b"[" * 900 + b"]" * 900)}

    def tell(connection: Connection) -> Rows:
        stored = offered_attempt(connection, JOB)
        events = event(stored.run, ATTEMPT, 1, Started()), event(stored.run, ATTEMPT, 2, Results(values=values))
        stored.tell(connection, *events, accepts=True)
        return stored.rows(connection)

    deep, large = (await database.write(tell))["results"]

    assert large.value == f'"{scrambled}"'
    assert scrambled.startswith(large.text)
    assert deep.text == comparable_text(b"[" * 900)
