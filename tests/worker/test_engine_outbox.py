"""What leaves the worker next: answers and events before log bytes, logs in turn, nothing beyond the window."""

from pathlib import Path

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import AttemptState
from orchestra.limits import CHUNK_BYTES_MAX
from orchestra.protocol.messages import Accept, Event, Final, Refuse, Started
from orchestra.protocol.window import LogWindow
from orchestra_worker.attempt import HeldAttempt
from orchestra_worker.log_source import LogSource
from orchestra_worker.masking import Masker
from orchestra_worker.outbox import Outbox
from tests.worker import given

NOW = Instant(1)


def held(outbox: Outbox, folder: Path, *, run: int = 1, log: bytes = b"") -> HeldAttempt:
    """An attempt with a started event and a log of its own."""
    attempt = HeldAttempt(offer=given.offer("true", run=run), boot_id="b", state=AttemptState.STARTED)
    place = folder / attempt.name
    place.mkdir()
    (place / "log").write_bytes(log)
    outbox.add(attempt, LogSource(place, Masker(())))
    attempt.add_event(Started(), NOW).is_written = True
    return attempt


def end(attempt: HeldAttempt, log_length: int) -> None:
    attempt.state = AttemptState.SUCCEEDED
    final = Final(outcome=attempt.state, exit_code=0, reason="", cause=None, log_length=log_length, log_digest="")
    attempt.add_event(final, NOW).is_written = True


def window(run_bytes: int = 1 << 20, worker_bytes: int = 1 << 22) -> LogWindow:
    return LogWindow(run_bytes=run_bytes, worker_bytes=worker_bytes)


def kinds(messages: object) -> list[str]:
    assert isinstance(messages, list)
    return [type(each.happening if isinstance(each, Event) else each).__name__ for each in messages]


def test_nothing_is_sent_of_an_attempt_before_the_master_said_where_to_go_on(tmp_path: Path) -> None:
    outbox = Outbox()
    held(outbox, tmp_path, log=b"hello")
    outbox.start_session(window())

    assert outbox.take_messages() == []
    assert outbox.take_chunk() is None


def test_an_answer_leaves_in_its_own_session_or_else_in_the_next() -> None:
    outbox = Outbox()
    accept = Accept(run=RunId(1), attempt=AttemptNumber(1))
    refuse = Refuse(run=RunId(2), attempt=AttemptNumber(1), reason="cannot write its journal: disk full")

    outbox.start_session(window())
    outbox.say(accept)  # the next hello lists it
    outbox.end_session()
    outbox.say(refuse)
    outbox.start_session(window())

    assert outbox.take_messages() == [refuse]
    assert outbox.take_messages() == []


def test_logs_leave_in_turn(tmp_path: Path) -> None:
    outbox = Outbox()
    attempts = [held(outbox, tmp_path, run=run, log=bytes(CHUNK_BYTES_MAX * 2)) for run in (1, 2)]
    outbox.start_session(window())
    for attempt in attempts:
        outbox.ensure_resumed(attempt.key)

    chunks = [outbox.take_chunk() for _ in range(4)]

    assert [(chunk.run, chunk.offset) for chunk in chunks if chunk] == [
        (1, 0),
        (2, 0),
        (1, CHUNK_BYTES_MAX),
        (2, CHUNK_BYTES_MAX),
    ]


def test_an_acknowledgement_makes_room_in_the_window(tmp_path: Path) -> None:
    outbox = Outbox()
    attempt = held(outbox, tmp_path, log=bytes(25))
    outbox.start_session(window(run_bytes=10))
    outbox.ensure_resumed(attempt.key)

    first, nothing = outbox.take_chunk(), outbox.take_chunk()
    outbox.acknowledge(attempt.key, sequence=0, log_length=10)
    second = outbox.take_chunk()

    assert first is not None
    assert second is not None
    assert nothing is None
    assert (first.offset, len(first.content), second.offset, len(second.content)) == (0, 10, 10, 10)


def test_final_waits_for_the_last_byte_of_the_log_and_carries_its_digest(tmp_path: Path) -> None:
    outbox = Outbox()
    attempt = held(outbox, tmp_path, log=b"hello")
    end(attempt, 5)
    outbox.start_session(window())
    outbox.ensure_resumed(attempt.key)

    before = outbox.take_messages()
    chunk = outbox.take_chunk()
    after = outbox.take_messages()

    # All that is left of a run leaves in one frame right behind its last bytes.
    assert kinds(before) == []
    assert chunk is not None
    assert kinds(after) == ["Started", "Final"]
    assert isinstance(after[1], Event)
    assert isinstance(after[1].happening, Final)
    assert len(after[1].happening.log_digest) == 64


def test_events_do_not_wait_for_bytes_that_the_window_holds_back(tmp_path: Path) -> None:
    outbox = Outbox()
    attempt = held(outbox, tmp_path, log=b"hello")
    end(attempt, 5)
    outbox.start_session(window(run_bytes=3))
    outbox.ensure_resumed(attempt.key)

    assert kinds(outbox.take_messages()) == ["Started"]


def test_room_that_one_attempt_has_given_back_is_taken_by_those_that_found_none(tmp_path: Path) -> None:
    outbox = Outbox()
    first, second, third = (held(outbox, tmp_path, run=run, log=bytes(10)) for run in (1, 2, 3))
    outbox.start_session(window(worker_bytes=10))
    for attempt in (first, second, third):
        outbox.ensure_resumed(attempt.key)

    chunks = [outbox.take_chunk(), outbox.take_chunk()]
    outbox.acknowledge(first.key, sequence=0, log_length=10)
    chunks.append(outbox.take_chunk())
    outbox.remove(second.key)
    chunks.append(outbox.take_chunk())

    assert [chunk and chunk.run for chunk in chunks] == [1, None, 2, 3]


def test_an_event_that_is_not_in_the_journal_yet_holds_back_those_behind_it(tmp_path: Path) -> None:
    outbox = Outbox()
    attempt = held(outbox, tmp_path)
    unwritten = attempt.add_event(Started(), NOW)
    attempt.add_event(Started(), NOW).is_written = True
    outbox.start_session(window())
    outbox.ensure_resumed(attempt.key)

    before = outbox.take_messages()
    unwritten.is_written = True
    outbox.note(attempt.key)
    after = outbox.take_messages()

    assert [each.sequence for each in before if isinstance(each, Event)] == [1]
    assert [each.sequence for each in after if isinstance(each, Event)] == [2, 3]


def test_a_new_session_goes_on_from_where_the_master_is(tmp_path: Path) -> None:
    outbox = Outbox()
    attempt = held(outbox, tmp_path, log=b"hello")
    end(attempt, 5)
    outbox.start_session(window())
    outbox.ensure_resumed(attempt.key)
    outbox.take_messages()
    outbox.take_chunk()
    outbox.take_messages()
    outbox.end_session()
    outbox.start_session(window())
    outbox.resume(attempt.key, sequence=1, log_length=2)

    events = outbox.take_messages()
    chunk = outbox.take_chunk()
    final = outbox.take_messages()

    assert events == []
    assert chunk is not None
    assert (chunk.offset, chunk.content) == (2, b"llo")
    assert kinds(final) == ["Final"]


def test_what_happens_between_two_sessions_waits_until_the_master_said_where_to_go_on(tmp_path: Path) -> None:
    outbox = Outbox()
    attempt = held(outbox, tmp_path)
    outbox.start_session(window())
    outbox.ensure_resumed(attempt.key)
    outbox.take_messages()  # sent, and lost with the connection
    outbox.end_session()
    attempt.add_event(Started(), NOW).is_written = True
    outbox.note(attempt.key)

    before = outbox.take_messages()  # the next connection is there, but has no welcome yet
    outbox.start_session(window())
    outbox.resume(attempt.key, sequence=0, log_length=0)
    after = outbox.take_messages()

    assert before == []
    assert [each.sequence for each in after if isinstance(each, Event)] == [1, 2]
