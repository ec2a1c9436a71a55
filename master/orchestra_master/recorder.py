"""Takes down what a worker says: log bytes to the files, then everything else in one transaction, then the answers.

What gathers while one batch is being committed is the next batch, so that load makes the batches larger, not the
queue longer.
"""

from collections.abc import Sequence

from orchestra.clock import Instant
from orchestra.errors import ProtocolError
from orchestra.limits import REFUSED_OFFER_SECONDS
from orchestra.logs.store import LogPiece, MissingLogBytes
from orchestra.protocol.codec import CloseCode
from orchestra.protocol.messages import Accept, Chunk, Event, Final, Go, Heartbeat, Hello, Refuse, WorkerMessage
from orchestra.protocol.window import AttemptKey
from orchestra_master.attempt_fold import Applied, AttemptReport
from orchestra_master.parts import MasterParts
from orchestra_master.quarantining import report_quarantines
from orchestra_master.report import ReportApplier
from orchestra_master.roster import ConnectedWorker


class Recorder:
    """Records one session's messages."""

    def __init__(self, *, parts: MasterParts, connected: ConnectedWorker) -> None:
        self._parts = parts
        self._connected = connected
        self._applier = ReportApplier(versions=parts.versions)

    async def record(self, messages: Sequence[WorkerMessage | Chunk]) -> None:
        """Stores the messages and answers them; raises ProtocolError, and OSError when the logs cannot be written."""
        report, pieces = self._sorted(messages)
        if not report:
            return
        finals = [key for key, told in report.items() if told.events and isinstance(told.events[-1].happening, Final)]
        self._free_slots(finals)
        await self._write_logs(report, pieces, finals)
        connected, now = self._connected, self._parts.clock.now()
        applied = await self._parts.database.write(
            lambda connection: self._applier.apply(
                connection, report, worker=connected.worker, epoch=connected.epoch, name=connected.name, now=now
            ),
            signals=lambda applied: applied.signals,
        )
        self._count(applied, now)
        report_quarantines(applied.quarantined)
        for answer in applied.answers:
            # A go that is withheld follows when a slot is free.
            if not isinstance(answer, Go) or connected.may_go((answer.run, answer.attempt)):
                connected.send(answer)
        for key in applied.accepted:
            connected.offers.pop(key, None)
        for key in applied.started:
            # It had been told to go on an earlier connection.
            connected.prefetched.pop(key, None)
        for key in applied.released:
            connected.release(key)
        if applied.refused:
            connected.refused_until = self._parts.clock.monotonic() + REFUSED_OFFER_SECONDS
        if applied.released:
            self._parts.roster.capacity_changed()
        unfinished = [key for key in applied.released if key not in finals]
        if unfinished:
            left = self._parts.log_writers.leave(unfinished, self._connected.epoch)
            await self._parts.run_blocking(lambda: self._release_logs(left))

    def _count(self, applied: Applied, now: Instant) -> None:
        for pending_at in applied.starts:
            self._parts.metrics.started(pending_at, now)
        for outcome, started_at in applied.ends:
            self._parts.metrics.ended(outcome, started_at, now)

    def _release_logs(self, keys: Sequence[AttemptKey]) -> None:
        for run, attempt in keys:
            self._parts.logs.release(run, attempt)

    def _sorted(
        self, messages: Sequence[WorkerMessage | Chunk]
    ) -> tuple[dict[AttemptKey, AttemptReport], list[LogPiece]]:
        report: dict[AttemptKey, AttemptReport] = {}
        pieces = []
        for message in messages:
            if isinstance(message, Heartbeat):
                self._connected.load = message.load
                self._connected.free_disk_bytes = message.free_disk_bytes
                continue
            assert not isinstance(message, Hello), "the session takes hello once, before anything is recorded"
            key = (message.run, message.attempt)
            told = report.setdefault(key, AttemptReport())
            match message:
                case Accept():
                    told.accepted = True
                case Refuse(reason=reason):
                    told.refused = reason
                case Event():
                    told.events.append(message)
                case Chunk() if key in self._connected.held:
                    # A log that the worker does not hold is never written, whatever the worker says.
                    piece = LogPiece(
                        run=message.run, attempt=message.attempt, offset=message.offset, content=message.content
                    )
                    pieces.append(piece)
        return report, pieces

    def _free_slots(self, finals: Sequence[AttemptKey]) -> None:
        """The worker says that these are over: the next run is given while their ends are still being stored."""
        if self._connected.end(finals, self._parts.clock.monotonic()):
            self._parts.roster.capacity_changed()

    async def _write_logs(
        self, report: dict[AttemptKey, AttemptReport], pieces: list[LogPiece], finals: Sequence[AttemptKey]
    ) -> None:
        if not pieces and not finals:
            return

        writers, epoch = self._parts.log_writers, self._connected.epoch
        writers.take([(piece.run, piece.attempt) for piece in pieces], epoch)
        held = writers.leave([key for key in finals if key in self._connected.held], epoch)

        def write_and_digest() -> None:
            for key, length in self._parts.logs.write(pieces).items():
                report[key].log_length = length
            for key in finals:
                report[key].log_digest = self._parts.logs.digest(*key)
            # In the same visit to the thread: what comes after a final comes in a new session, which begins anew. Of
            # others' runs this worker may say anything: their logs are still being written.
            self._release_logs(held)

        try:
            await self._parts.run_blocking(write_and_digest)
        except MissingLogBytes as error:
            raise ProtocolError(CloseCode.OUT_OF_TURN, str(error)) from error
        self._parts.metrics.log_stored(sum(len(piece.content) for piece in pieces))
