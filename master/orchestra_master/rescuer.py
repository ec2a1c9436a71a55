"""Ends attempts whose worker has been out of contact for longer than the job wants to wait."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from orchestra.clock import Instant, after, seconds_between
from orchestra.identifiers import AttemptNumber, JobVersionId, RunId, WorkerId
from orchestra.lifecycle import AttemptState
from orchestra.limits import RESCUE_GAP_SECONDS_MAX, RESCUE_PATIENCE_SECONDS, RESCUE_SECONDS, SILENCE_SECONDS_MAX
from orchestra.storage.database import Signal, Topic
from orchestra.storage.tables import attempts, runs, workers
from orchestra_master.losing import lose_attempt
from orchestra_master.parts import MasterParts


@dataclass(frozen=True, kw_only=True, slots=True)
class _Silent:
    run: RunId
    attempt: AttemptNumber
    job_version: JobVersionId
    worker_id: WorkerId
    worker: str
    last_contact_at: Instant


class Rescuer:
    """Offline is not failed: this only acts after the job's own `lost-after`, and never soon after the master's
    start."""

    name = "rescuer"
    topics: tuple[Topic, ...] = ()

    def __init__(self, *, parts: MasterParts, patience_seconds: float = RESCUE_PATIENCE_SECONDS) -> None:
        self._parts = parts
        self._patience_seconds = patience_seconds
        self._looked_at = parts.clock.monotonic()
        self._patient_until = self._looked_at + patience_seconds

    async def run_once(self) -> float:
        """Looks at every worker that is silent and still holds something."""
        moment = self._parts.clock.monotonic()
        # While there was no master, or no database to write the contacts into, or the machine slept, no worker could
        # make itself heard: that time must not count against it.
        if moment - self._looked_at > RESCUE_GAP_SECONDS_MAX:
            self._patient_until = moment + self._patience_seconds
        now = self._parts.clock.now()
        is_patient = moment < self._patient_until
        for silent in await self._parts.database.read(lambda connection: self._silent(connection, now)):
            if not is_patient and self._parts.roster.find(silent.worker_id) is None:
                await self._rescue(silent, now)
        self._looked_at = moment
        return RESCUE_SECONDS

    @staticmethod
    def _silent(connection: Connection, now: Instant) -> list[_Silent]:
        rows = connection.execute(
            select(
                attempts.c.run_id,
                attempts.c.number,
                runs.c.job_version_id,
                attempts.c.worker_id,
                workers.c.name,
                workers.c.last_contact_at,
            )
            .join(workers, workers.c.id == attempts.c.worker_id)
            .join(runs, runs.c.id == attempts.c.run_id)
            .where(
                attempts.c.ended_at.is_(None),
                attempts.c.state.in_((AttemptState.ACCEPTED, AttemptState.STARTED)),
                workers.c.last_contact_at <= after(now, -SILENCE_SECONDS_MAX),
            )
        )
        return [
            _Silent(
                run=RunId(row.run_id),
                attempt=AttemptNumber(row.number),
                job_version=JobVersionId(row.job_version_id),
                worker_id=WorkerId(row.worker_id),
                worker=row.name,
                last_contact_at=Instant(row.last_contact_at),
            )
            for row in rows
        ]

    async def _rescue(self, silent: _Silent, now: Instant) -> None:
        def rescue(connection: Connection) -> set[Signal]:
            specification = self._parts.versions.get(connection, silent.job_version).specification
            silence = seconds_between(silent.last_contact_at, now)
            if silence < specification.lost_after_seconds or self._has_come_back(connection, silent):
                return set()
            return lose_attempt(
                connection,
                self._parts.versions,
                silent.run,
                silent.attempt,
                reason=f"worker lost: {silent.worker} was out of contact for {silence:.0f} s",
                actor=self._parts.actor,
                now=now,
            )

        await self._parts.database.write(rescue, signals=lambda signals: signals)

    @staticmethod
    def _has_come_back(connection: Connection, silent: _Silent) -> bool:
        query = select(workers.c.last_contact_at).where(workers.c.name == silent.worker).with_for_update(read=True)
        return bool(connection.execute(query).scalar_one() != silent.last_contact_at)
