"""Moves runs along when their time has come: scheduled ones become pending, those that waited too long expire."""

from sqlalchemy import Connection

from orchestra.clock import Instant, seconds_between
from orchestra.identifiers import RunId
from orchestra.lifecycle import RunEvent, RunState
from orchestra.limits import BATCH_CHANGES_MAX
from orchestra.storage.admission import Candidate, Ruling, admit_due, candidates_due
from orchestra.storage.database import Signal, Topic, announce, pending_signal
from orchestra.storage.pending import due_runs, expired_runs, next_due, next_expiry
from orchestra.storage.queued import queue_up, queued_first
from orchestra.storage.run_moves import state_of_run
from orchestra.storage.runs import follow_displaced, let_go, move_run
from orchestra_master.parts import MasterParts


class Promoter:
    """Any number of masters may promote: each run is moved by the one whose transaction finds it still there."""

    name = "promoter"
    topics: tuple[Topic, ...] = (Topic.DUE,)

    def __init__(self, *, parts: MasterParts) -> None:
        self._parts = parts

    async def run_once(self) -> float:
        """Promotes and expires what is due now."""
        now = self._parts.clock.now()
        there_may_be_more = await self._promote(now)
        await self._let_go(now)
        await self._expire(now)
        if there_may_be_more:
            return 0.0
        poll_seconds = self._parts.poll_seconds
        moment = await self._parts.database.read(_next_moment)
        return poll_seconds if moment is None else min(poll_seconds, max(0.0, seconds_between(now, moment)))

    async def _promote(self, now: Instant) -> bool:
        due = await self._parts.database.read(lambda connection: due_runs(connection, now, BATCH_CHANGES_MAX))
        if not due:
            return False

        def promote(connection: Connection) -> None:
            candidates = candidates_due(connection, [run for run, _ in due], now)
            for run, _ in due:
                if state_of_run(connection, run, lock=True) is not RunState.SCHEDULED:
                    continue
                if run in candidates and not self._is_admitted(connection, run, candidates[run]):
                    continue
                if not queue_up(connection, run):
                    move_run(connection, run, RunEvent.DUE, actor=self._parts.actor, now=now)

        await self._parts.database.write(promote, signals=[pending_signal(each) for each in {s for _, s in due}])
        return len(due) == BATCH_CHANGES_MAX

    def _is_admitted(self, connection: Connection, run: RunId, candidate: Candidate) -> bool:
        """Whether its job's policies let it wait for a worker beside the other runs; else it ends here."""
        admission = admit_due(connection, run, candidate)
        if admission.ruling is not Ruling.MADE:
            move_run(
                connection, run, RunEvent.SKIPPED, actor=self._parts.actor, now=candidate.now, reason=admission.words
            )
            announce(connection, Signal(Topic.RUN, str(run)))
            return False
        follow_displaced(connection, admission, now=candidate.now)
        return True

    async def _let_go(self, now: Instant) -> None:
        # Whoever ends a run does this itself; two masters at the same moment may not see each other's rows.
        if await self._parts.database.read(lambda connection: queued_first(connection, lock=False)):
            await self._parts.database.write(
                lambda connection: let_go(connection, queued_first(connection, lock=True), now=now)
            )

    async def _expire(self, now: Instant) -> None:
        expired = await self._parts.database.read(lambda connection: expired_runs(connection, now, BATCH_CHANGES_MAX))
        if not expired:
            return

        def expire(connection: Connection) -> None:
            for run in expired:
                if state_of_run(connection, run, lock=True) is RunState.PENDING:
                    words = "expired: no worker took it in time"
                    move_run(connection, run, RunEvent.EXPIRED, actor=self._parts.actor, now=now, reason=words)

        await self._parts.database.write(expire, signals=[Signal(Topic.RUN, str(run)) for run in expired])


def _next_moment(connection: Connection) -> Instant | None:
    """When the next run becomes due, or the next one has waited for too long."""
    moments = [moment for moment in (next_due(connection), next_expiry(connection)) if moment is not None]
    return min(moments, default=None)
