"""The corners of the pure cores that chance seldom finds, one by one."""

import resource
import shutil
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cron_descriptor
import msgspec
import pytest
from sqlalchemy import Connection, update

from orchestra.clock import from_datetime
from orchestra.cron.expression import BadCron, parse_cron
from orchestra.cron.occurrences import next_after
from orchestra.cron.sentence import sentence
from orchestra.errors import FolderUnusable, ProtocolError
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import AttemptState
from orchestra.limits import OUTGOING_MESSAGES_MAX, SEGMENT_BYTES
from orchestra.logs import store as store_module
from orchestra.logs.digest import SegmentedDigest
from orchestra.logs.store import FileLogStore, LogPiece
from orchestra.protocol.codec import CloseCode, encode
from orchestra.protocol.messages import Forget, Go, Heartbeat, StepEnded, StepStarted
from orchestra.protocol.session import MasterSession, WorkerSession
from orchestra.protocol.window import LogWindow
from orchestra.storage.database import Signal, Topic
from orchestra.storage.job_versions import JobVersions
from orchestra.storage.runs import request_stop
from orchestra.storage.sqlite_file import sqlite_engine
from orchestra.storage.tables import runs
from orchestra_master.attempt_fold import AttemptReport
from orchestra_master.report import ReportApplier
from orchestra_worker import log_source
from orchestra_worker.log_source import LogSource
from orchestra_worker.masking import Masker
from orchestra_worker.outbox import Outbox
from tests.master.stored_attempt import ATTEMPT, NOW, StoredAttempt, offered_attempt
from tests.support import given
from tests.support.timetables import by_cron
from tests.support.worker_end import event, final, hello, started


@pytest.fixture
def connection(sqlite_template: Path, tmp_path: Path) -> Iterator[Connection]:
    """A transaction over a database of the test's own."""
    shutil.copyfile(sqlite_template, tmp_path / "orchestra.db")
    engine = sqlite_engine(tmp_path / "orchestra.db", pragmas=[], begin="BEGIN IMMEDIATE", connections=1)
    with engine.connect() as made:
        yield made
    engine.dispose()


def refuse(stored: StoredAttempt, connection: Connection) -> tuple[list[object], set[Signal], bool]:
    """The worker does not take the offer: the answers, the signals, and whether that was news."""
    report = {(stored.run, ATTEMPT): AttemptReport(refused="no free slot")}
    applier = ReportApplier(versions=JobVersions())
    applied = applier.apply(connection, report, worker=stored.worker, epoch=stored.epoch, name="atlas", now=NOW)
    return list(applied.answers), applied.signals, applied.refused


def test_a_refused_offer_is_pending_again_and_is_refused_once(connection: Connection) -> None:
    stored = offered_attempt(connection, given.specification())

    answers, signals, is_news = refuse(stored, connection)
    again = refuse(stored, connection)

    assert (answers, is_news) == ([], True)
    assert Topic.PENDING in {signal.topic for signal in signals}
    assert again[0] == [Forget(run=stored.run, attempt=ATTEMPT)]
    assert not again[2]


def test_a_word_of_refusal_after_the_acceptance_changes_nothing(connection: Connection) -> None:
    stored = offered_attempt(connection, given.specification())
    stored.tell(connection, accepts=True)
    before = stored.rows(connection)

    assert refuse(stored, connection)[2] is False
    assert stored.rows(connection) == before


def test_an_acceptance_after_a_stop_was_asked_takes_the_offer_back(connection: Connection) -> None:
    stored = offered_attempt(connection, given.specification())
    request_stop(connection, stored.run, by="user ana", reason="", now=NOW)

    applied = stored.tell(connection, accepts=True)

    assert applied.answers == [Forget(run=stored.run, attempt=ATTEMPT)]
    assert applied.released == [(stored.run, ATTEMPT)]
    assert [row.state for row in stored.rows(connection)["attempts"]] == ["withdrawn"]


def test_a_second_acceptance_is_answered_by_a_second_go_and_changes_nothing(connection: Connection) -> None:
    stored = offered_attempt(connection, given.specification())
    stored.tell(connection, accepts=True)
    before = stored.rows(connection)

    applied = stored.tell(connection, accepts=True)

    assert applied.answers == [Go(run=stored.run, attempt=ATTEMPT)]
    assert stored.rows(connection) == before


def test_the_end_of_a_step_may_come_in_another_batch_than_its_beginning(connection: Connection) -> None:
    stored = offered_attempt(connection, given.specification())
    begun = StepStarted(step=0, name="one", log_offset=0)
    ended = StepEnded(step=0, exit_code=None, reason="stopped before it ran", log_length=0)

    stored.tell(connection, started(stored.run, ATTEMPT), event(stored.run, ATTEMPT, 2, begun), accepts=True)
    stored.tell(connection, event(stored.run, ATTEMPT, 3, ended))

    assert [(row.name, row.reason) for row in stored.rows(connection)["steps"]] == [("one", "stopped before it ran")]


def test_an_end_that_comes_before_its_log_is_out_of_turn(connection: Connection) -> None:
    stored = offered_attempt(connection, given.specification())
    stored.tell(connection, started(stored.run, ATTEMPT), accepts=True)

    with pytest.raises(ProtocolError, match="is final with 5 bytes of log, but 4 have come"):
        stored.tell(connection, final(stored.run, ATTEMPT, sequence=2, output=b"hello"), log=b"hell")


def test_an_attempt_cannot_end_as_something_that_is_no_end(connection: Connection) -> None:
    stored = offered_attempt(connection, given.specification())
    stored.tell(connection, started(stored.run, ATTEMPT), accepts=True)
    end = final(stored.run, ATTEMPT, sequence=2)
    odd = msgspec.structs.replace(end, happening=msgspec.structs.replace(end.happening, outcome=AttemptState.OFFERED))

    with pytest.raises(ProtocolError, match="an attempt cannot end as offered") as caught:
        stored.tell(connection, odd)

    assert caught.value.code == CloseCode.MALFORMED


def test_a_run_keeps_its_first_start_over_its_attempts(connection: Connection) -> None:
    stored = offered_attempt(connection, given.specification())
    connection.execute(update(runs).where(runs.c.id == stored.run).values(started_at=NOW - 5))

    stored.tell(connection, started(stored.run, ATTEMPT), accepts=True)

    assert [row.started_at for row in stored.rows(connection)["run"]] == [NOW - 5]


# --- logs ---


def test_a_folder_of_logs_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(FolderUnusable, match="file"):
        FileLogStore(tmp_path / "file" / "logs")


def test_a_file_system_that_cannot_be_synced_acknowledges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileLogStore(tmp_path)
    monkeypatch.setattr(store_module, "_syncfs", lambda folder: -1)
    pieces = [LogPiece(run=RunId(run), attempt=AttemptNumber(1), offset=0, content=b"x") for run in range(1, 9)]

    with pytest.raises(OSError, match="the file system of the logs could not be synced"):
        store.write(pieces)

    store.close()


def test_a_log_that_is_shorter_than_its_end_says_has_the_digest_of_what_is_left(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"hello")
    source = LogSource(tmp_path, Masker([]))
    digest = SegmentedDigest()
    digest.update(b"hello")

    source.rewind(9)

    assert source.next_piece(100, ended=True) is None
    assert source.digest(9) == digest.hexdigest()
    source.close()


def two_segments(folder: Path) -> LogSource:
    """A new agent's view of a log of which two segments were read already."""
    (folder / "log").write_bytes(bytes(2 * SEGMENT_BYTES))
    before = LogSource(folder, Masker([]))
    before.digest(2 * SEGMENT_BYTES)
    before.close()
    return LogSource(folder, Masker([]))


def digest_of_zeros(count: int) -> str:
    """Of so many."""
    digest = SegmentedDigest()
    digest.update(bytes(count))
    return digest.hexdigest()


def test_a_new_agent_gives_the_disk_back_of_what_an_older_one_has_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_source, "PUNCH_BYTES", SEGMENT_BYTES)
    source = two_segments(tmp_path)

    source.acknowledge(2 * SEGMENT_BYTES)

    assert (tmp_path / "log").stat().st_blocks * 512 <= SEGMENT_BYTES
    assert source.digest(2 * SEGMENT_BYTES) == digest_of_zeros(2 * SEGMENT_BYTES)
    source.close()


def test_a_digest_of_more_than_there_is_stops_at_what_there_is(tmp_path: Path) -> None:
    source = two_segments(tmp_path)
    (tmp_path / "log").write_bytes(b"")

    assert source.digest(SEGMENT_BYTES + 5) == digest_of_zeros(SEGMENT_BYTES)
    source.close()


def test_a_list_of_segments_that_found_half_a_place_on_the_disk_is_written_again(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(bytes(2 * SEGMENT_BYTES))
    source = LogSource(tmp_path, Masker([]))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (16, limits[1]))
    try:
        source.digest(SEGMENT_BYTES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "log.segments").stat().st_size == 16

    assert source.digest(2 * SEGMENT_BYTES) == digest_of_zeros(2 * SEGMENT_BYTES)
    assert (tmp_path / "log.segments").stat().st_size == 64
    source.close()


# --- the conversation ---


def test_the_outbox_passes_over_words_about_what_it_does_not_hold(tmp_path: Path) -> None:
    outbox, key = Outbox(), (RunId(7), AttemptNumber(1))
    outbox.start_session(LogWindow(run_bytes=10, worker_bytes=10))

    outbox.resume(key, sequence=1, log_length=1)
    outbox.acknowledge(key, sequence=1, log_length=1)
    outbox.ensure_resumed(key)
    outbox.note(key)
    outbox.remove(key)

    assert (list(outbox.take_messages()), outbox.take_chunk(), outbox.has_messages()) == ([], None, False)


def test_a_tick_before_the_beat_is_due_says_nothing() -> None:
    worker = WorkerSession(hello=hello(), now=0)
    worker.take_frames()

    worker.tick(1, load=0, free_disk_bytes=0)

    assert not worker.wants_to_send


def test_a_worker_that_lets_its_answers_pile_up_is_sent_away() -> None:
    master = MasterSession(now=0)
    master.receive(encode([hello()])[0], 0)
    beats = encode(
        [Heartbeat(counter=number, load=0, free_disk_bytes=0) for number in range(OUTGOING_MESSAGES_MAX + 1)]
    )

    with pytest.raises(ProtocolError, match="the worker does not take what it is sent") as caught:
        deque((master.receive(frame, 0) for frame in beats), maxlen=0)

    assert caught.value.code == CloseCode.OUT_OF_TURN


def test_without_secrets_nothing_is_found() -> None:
    assert Masker([]).mask_text("as it is") == "as it is"
    assert Masker([]).mask_window(b"as it is", 3, 5) == b"it"


# --- schedules ---


def test_a_refusal_of_an_expression_says_what_to_write() -> None:
    with pytest.raises(BadCron) as caught:
        parse_cron("30 2")

    assert str(caught.value).startswith("'30 2' is no cron expression: it has 2 fields; write five fields such as")


def test_at_the_end_of_the_calendar_nothing_is_due_any_more() -> None:
    last = from_datetime(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))

    for cron in ("* * * * *", "0 0 1 1 *"):
        assert next_after(by_cron(cron, zone="Asia/Kolkata"), last) is None
    assert next_after(by_cron("0 0 1 1 *"), from_datetime(datetime(2200, 6, 1, tzinfo=UTC))) is None


def test_an_expression_for_which_the_library_has_no_sentence_stands_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_it(text: str, options: object) -> str:
        raise cron_descriptor.FormatError(text)

    monkeypatch.setattr(cron_descriptor, "get_description", refuse_it)

    assert sentence(by_cron("13 1,3,7 5 11 *", zone="UTC")) == "0 13 1,3,7 5 11 * (UTC)"
