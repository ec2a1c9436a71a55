"""What a worker tells of its attempts, applied in one transaction.

A repeat changes nothing, a late word is kept as evidence. Everything here is replayable: time, log lengths and digests
come in as values.
"""

from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select

from orchestra.clock import Instant
from orchestra.errors import ProtocolError
from orchestra.identifiers import AttemptNumber, Epoch, JobVersionId, RunId, WorkerId
from orchestra.lifecycle import AttemptState, RunState
from orchestra.protocol.codec import CloseCode
from orchestra.protocol.messages import Final, Forget
from orchestra.protocol.window import AttemptKey
from orchestra.storage.attempts import stopped_by
from orchestra.storage.database import Signal, Topic
from orchestra.storage.job_versions import JobVersions
from orchestra.storage.prepared import PreparedQuery, listed
from orchestra.storage.run_events import RunEventRow, add_run_events
from orchestra.storage.tables import attempts, runs
from orchestra.storage.workers import session_is_current
from orchestra_master.attempt_fold import Applied, AttemptFold, AttemptReport, OpenRow, Report
from orchestra_master.gathered import Gathered


class ReportApplier:
    """Applies reports of one worker's session; the owner commits, then sends the answers."""

    def __init__(self, *, versions: JobVersions) -> None:
        self._versions = versions

    def apply(
        self, connection: Connection, report: Report, *, worker: WorkerId, epoch: Epoch, name: str, now: Instant
    ) -> Applied:
        """Raises ProtocolError if the session is not the worker's newest, if an attempt was never given to it, or if an
        event or a piece of log is missing."""
        if not session_is_current(connection, worker, epoch):
            raise ProtocolError(CloseCode.REPLACED, "the worker has opened a newer connection")
        applied, gathered = Applied(), Gathered()
        rows = self._open_rows(connection, worker, report)
        for key, told in report.items():
            row = rows.get(key)
            if row is None:
                self._refuse_foreign(connection, key, told, worker=worker, name=name, now=now, applied=applied)
            else:
                fold = AttemptFold(connection, self._versions, key, row, f"worker {name}", now, applied, gathered)
                fold.apply(told)
            applied.signals.add(Signal(Topic.RUN, str(key[0])))
        applied.quarantined += gathered.write(connection, now)
        return applied

    @staticmethod
    def _open_rows(connection: Connection, worker: WorkerId, report: Report) -> dict[AttemptKey, "OpenRow"]:
        """The attempts that the worker may speak about: its own, not over, and the newest of their runs."""
        rows = _OPEN_ROWS.all(connection, {"worker": worker, "told": sorted({run for run, _ in report})})
        return {
            (RunId(row.run_id), AttemptNumber(row.number)): OpenRow(
                state=AttemptState(row.state),
                run_state=RunState(row.run_state),
                sequence=row.sequence,
                log_length=row.log_length,
                attempts_counted=row.attempts_counted,
                pending_at=row.pending_at,
                started_at=row.started_at,
                first_started_at=row.first_started_at,
                stop_words=stopped_by(row.stop_requested_by, row.stop_reason) if row.stop_requested_by else None,
                job_version=JobVersionId(row.job_version_id),
                signature=row.signature,
            )
            for row in rows
        }

    def _refuse_foreign(
        self,
        connection: Connection,
        key: AttemptKey,
        told: AttemptReport,
        *,
        worker: WorkerId,
        name: str,
        now: Instant,
        applied: Applied,
    ) -> None:
        """An attempt that is over or replaced: nothing changes, the worker may forget it. Somebody else's: it lies."""
        run, number = key
        own = connection.execute(
            select(attempts.c.state).where(
                attempts.c.run_id == run, attempts.c.number == number, attempts.c.worker_id == worker
            )
        ).one_or_none()
        if own is None:
            sentence = f"attempt {number} of #{run} was never given to this worker"
            raise ProtocolError(CloseCode.OUT_OF_TURN, sentence)
        applied.answers.append(Forget(run=run, attempt=number))
        # Another master may have ended it, or it was withdrawn before it was offered: here it may still hold its slots.
        applied.released.append(key)
        final = next((event.happening for event in told.events if isinstance(event.happening, Final)), None)
        if final is not None:
            words = f"came too late: {final.outcome} {final.reason}".rstrip()
            add_run_events(
                connection,
                [RunEventRow(run=run, at=now, kind="late", actor=f"worker {name}", attempt=number, detail=words)],
            )


class _OpenRow(NamedTuple):
    run_id: int
    number: int
    state: str
    run_state: str
    sequence: int
    log_length: int
    attempts_counted: int
    started_at: Instant | None
    pending_at: Instant | None
    first_started_at: Instant | None
    stop_requested_by: str | None
    stop_reason: str | None
    job_version_id: int
    signature: str


_OPEN_ROWS = PreparedQuery(
    _OpenRow,
    lambda count: (
        select(
            attempts.c.run_id,
            attempts.c.number,
            attempts.c.state,
            runs.c.state.label("run_state"),
            attempts.c.sequence,
            attempts.c.log_length,
            runs.c.attempts_counted,
            attempts.c.started_at,
            runs.c.pending_at,
            runs.c.started_at.label("first_started_at"),
            runs.c.stop_requested_by,
            runs.c.stop_reason,
            runs.c.job_version_id,
            runs.c.signature,
        )
        .select_from(runs.join(attempts, (runs.c.id == attempts.c.run_id) & (runs.c.attempt == attempts.c.number)))
        .where(
            attempts.c.ended_at.is_(None),
            attempts.c.worker_id == bindparam("worker"),
            attempts.c.run_id.in_(listed("told", attempts.c.run_id.type, count)),
        )
        .order_by(attempts.c.run_id)
        # Without the lock another master could take the offer back between this look and the change: both would be
        # done.
        .with_for_update()
    ),
    of_list="told",
)
