"""Defects of how a master records what workers say."""

import os
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, bindparam, select, text, update

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, Epoch, RunId, WorkerId
from orchestra.lifecycle import AttemptState
from orchestra.logs import store
from orchestra.logs.store import LogPiece
from orchestra.protocol.messages import Acknowledge, Chunk, Event, Final, Forget, Held, Resume, WorkerMessage
from orchestra.protocol.window import AttemptKey
from orchestra.storage import workers as worker_rows
from orchestra.storage.attempts import OpenAttempt
from orchestra.storage.prepared import PreparedChange
from orchestra.storage.tables import attempts, runs, workers
from orchestra_master import greeting, link, recalling, report
from orchestra_master.attempt_fold import Applied, AttemptFold, AttemptReport, Report
from orchestra_master.reconcile import Reconciliation, reconcile
from orchestra_master.recorder import Recorder
from orchestra_master.report import ReportApplier
from tests.simulation.mutants.planting import Graft, Mutants

recording = Mutants()


@recording.breaks("R6")
def append_without_offset(graft: Graft) -> None:
    """A piece of a log goes to the end of the file, wherever it belongs."""

    def append(self: store._OpenLog, piece: LogPiece) -> None:
        assert self._descriptor is not None
        os.pwrite(self._descriptor, piece.content, os.fstat(self._descriptor).st_size)
        self.digest.update(piece.content)

    graft.replace(store._OpenLog, "append", append)


@recording.breaks("R1", "R4")
def no_terminal_guard(graft: Graft) -> None:
    """The last word of an attempt changes a run that is over already."""
    original, sorted_first = ReportApplier._refuse_foreign, Recorder._sorted

    def apply_late(
        self: ReportApplier,
        connection: Connection,
        key: AttemptKey,
        told: AttemptReport,
        *,
        worker: WorkerId,
        name: str,
        now: Instant,
        applied: Applied,
    ) -> None:
        original(self, connection, key, told, worker=worker, name=name, now=now, applied=applied)
        finals = [event.happening for event in told.events if isinstance(event.happening, Final)]
        if not finals and not told.accepted:
            # Not forgotten before its last word, or that would never come.
            sequence = max((event.sequence for event in told.events), default=0)
            length = told.log_length or 0
            applied.answers[-1] = Acknowledge(run=key[0], attempt=key[1], sequence=sequence, log_length=length)
        for final in finals:
            connection.execute(text("drop trigger if exists runs_stay_over"))
            changes = {"state": final.outcome, "reason": final.reason, "exit_code": final.exit_code, "ended_at": now}
            connection.execute(update(runs).where(runs.c.id == key[0]).values(changes))

    def listen(held: Sequence[Held], stored: Sequence[OpenAttempt]) -> Reconciliation:
        result = reconcile(held, stored)
        # What is over there as well has perhaps nothing more to say, and would wait for ever to be forgotten.
        lives = {(each.run, each.attempt): each.log_length for each in held if each.state is AttemptState.STARTED}
        over = lives.keys() - {(each.run, each.attempt) for each in stored}
        for place, answer in enumerate(result.answers):
            if isinstance(answer, Forget) and (key := (answer.run, answer.attempt)) in over:
                result.answers[place] = Resume(run=key[0], attempt=key[1], sequence=0, log_length=lives[key])
        return result

    def sort(
        self: Recorder, messages: Sequence[WorkerMessage | Chunk]
    ) -> tuple[dict[AttemptKey, AttemptReport], list[LogPiece]]:
        report, pieces = sorted_first(self, messages)
        for chunk in (message for message in messages if isinstance(message, Chunk)):
            report[chunk.run, chunk.attempt].log_length = chunk.offset + len(chunk.content)
        return report, pieces

    graft.replace(ReportApplier, "_refuse_foreign", apply_late)
    graft.replace(Recorder, "_sorted", sort)
    graft.replace(greeting, "reconcile", listen)


@recording.breaks("R1", "R3", "R4", "R6")
def no_fencing_by_attempt(graft: Graft) -> None:
    """What is told of an older attempt is taken for the run's present one."""
    original = ReportApplier.apply

    def apply(
        self: ReportApplier,
        connection: Connection,
        told: Report,
        *,
        worker: WorkerId,
        epoch: Epoch,
        name: str,
        now: Instant,
    ) -> Applied:
        query = select(runs.c.id, runs.c.attempt).where(runs.c.id.in_(run for run, _ in told))
        newest = {RunId(row.id): AttemptNumber(row.attempt) for row in connection.execute(query)}
        moved = {(run, newest.get(run, number)): each for (run, number), each in told.items()}
        for key in moved.keys() - told.keys():
            owned = update(attempts).where(attempts.c.run_id == key[0], attempts.c.number == key[1])
            connection.execute(owned.values(worker_id=worker, sequence=0))
        return original(self, connection, moved, worker=worker, epoch=epoch, name=name, now=now)

    graft.replace(ReportApplier, "apply", apply)


@recording.breaks("R1", "R3", "R4", "R6", "R8/R9")
def no_fencing_by_epoch(graft: Graft) -> None:
    """A session that was replaced by a newer one goes on being believed, also in what it takes back.

    It shows by what is taken back: late reports alone are harmless, since attempt and event numbers fence them too.
    """

    def is_current(connection: Connection, worker: WorkerId, epoch: Epoch) -> bool:
        return True

    def end(connection: Connection, worker: WorkerId, epoch: Epoch, *, heard_at: Instant) -> bool:
        mine = update(workers).where(workers.c.id == worker)
        return bool(connection.execute(mine.values(master=None, last_contact_at=heard_at)).rowcount)

    contact = PreparedChange(
        lambda _: (
            update(workers)
            .where(workers.c.id == bindparam("worker"), bindparam("epoch") == bindparam("epoch"))
            .values(
                last_contact_at=bindparam("heard_at"),
                load=bindparam("new_load"),
                free_disk_bytes=bindparam("free_disk"),
            )
        )
    )
    for module in (report, recalling):
        graft.replace(module, "session_is_current", is_current)
    graft.replace(link, "end_session", end)
    graft.replace(worker_rows, "_NOTE_CONTACT", contact)


@recording.breaks("R1")
def acknowledge_before_commit(graft: Graft) -> None:
    """The worker is told that its words are stored before they are."""
    original = Recorder.record

    async def record(self: Recorder, messages: Sequence[WorkerMessage | Chunk]) -> None:
        told, _ = self._sorted(messages)
        for (run, attempt), each in told.items():
            if each.events:
                sequence = each.events[-1].sequence
                self._connected.send(Acknowledge(run=run, attempt=attempt, sequence=sequence, log_length=0))
        await original(self, messages)

    graft.replace(Recorder, "record", record)


@recording.breaks("R8/R9")
def forget_before_the_end_is_committed(graft: Graft) -> None:
    """The worker is told to delete an attempt before its end is stored."""
    original = Recorder.record

    async def record(self: Recorder, messages: Sequence[WorkerMessage | Chunk]) -> None:
        for message in messages:
            if isinstance(message, Event) and isinstance(message.happening, Final):
                self._connected.send(Forget(run=message.run, attempt=message.attempt))
        await original(self, messages)

    graft.replace(Recorder, "record", record)


@recording.breaks("R3")
def retry_counted_twice(graft: Graft) -> None:
    """Each attempt that starts is counted as two."""
    original = AttemptFold._started

    def started(self: AttemptFold) -> None:
        self._counted += 1
        original(self)

    graft.replace(AttemptFold, "_started", started)


@recording.breaks("R6")
def any_log_will_do(graft: Graft) -> None:
    """The master takes the log that it has for the whole, and the worker does not wait until it is sent."""
    _send_the_end_first(graft)
    original = AttemptFold._over

    def over(self: AttemptFold, final: Final, log_length: int, log_digest: str | None) -> None:
        believed = msgspec.structs.replace(final, log_length=log_length, log_digest=log_digest or "")
        original(self, believed, log_length, log_digest)

    graft.replace(AttemptFold, "_over", over)


def _send_the_end_first(graft: Graft) -> None:
    from orchestra_worker.outbox import Outbox, _Feed

    def events(self: Outbox, feed: _Feed) -> list[Event]:
        found = []
        for kept in feed.attempt.events:
            if kept.event.sequence > feed.sent_sequence and kept.is_written:
                kept.was_sent = True
                feed.sent_sequence = kept.event.sequence
                found.append(kept.event)
        return found

    graft.replace(Outbox, "_events", events)
