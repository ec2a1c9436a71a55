"""Ends attempts whose worker has been out of contact for longer than the job wants to wait."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, or_, select

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, JobVersionId, RunId, WorkerId
from orchestra.lifecycle import AttemptState
from orchestra.limits import RESCUE_GAP_SECONDS_MAX, RESCUE_PATIENCE_SECONDS, RESCUE_SECONDS, SILENCE_SECONDS_MAX
from orchestra.storage.database import Topic
from orchestra.storage.prepared import PreparedQuery
from orchestra.storage.tables import attempts, runs, workers
from orchestra_master.losing import Loss, lose_attempt
from orchestra_master.parts import MasterParts
from orchestra_master.quarantining import report_quarantines
from orchestra_master.silences import Silences


@dataclass(frozen=True, kw_only=True, slots=True)
class _Silent:
    run: RunId
    attempt: AttemptNumber
    job_version: JobVersionId
    worker_id: WorkerId
    worker: str


class Rescuer:
    """Offline is not failed: this only acts after the job's own `lost-after`, and never soon after the master's
    start."""

    name = "rescuer"
    topics: tuple[Topic, ...] = ()

    def __init__(self, *, parts: MasterParts, patience_seconds: float = RESCUE_PATIENCE_SECONDS) -> None:
        self._parts = parts
        self._patience_seconds = patience_seconds
        self._silences = Silences(clock=parts.clock)
        self._looked_at = parts.clock.monotonic()
        self._patient_until = self._looked_at + patience_seconds

    async def run_once(self) -> float:
        """Looks at every worker that is silent and still holds something."""
        moment = self._parts.clock.monotonic()
        # While there was no master, or no database to write the contacts into, or the machine slept, no worker could
        # make itself heard: that time must not count against it.
        if moment - self._looked_at > RESCUE_GAP_SECONDS_MAX:
            self._patient_until = moment + self._patience_seconds
        contacts = await self._parts.database.read(_contacts)
        silences = self._silences.look(contacts)
        silent = [
            worker
            for worker, seconds in silences.items()
            if seconds >= SILENCE_SECONDS_MAX and self._parts.roster.find(worker) is None
        ]
        if silent and moment >= self._patient_until:
            for each in await self._parts.database.read(lambda connection: self._held(connection, silent)):
                await self._rescue(each, contacts[each.worker_id], silences[each.worker_id])
        self._looked_at = moment
        return max(RESCUE_SECONDS, self._parts.contact_seconds)

    @staticmethod
    def _held(connection: Connection, silent: Collection[WorkerId]) -> list[_Silent]:
        rows = connection.execute(
            select(
                attempts.c.run_id,
                attempts.c.number,
                runs.c.job_version_id,
                attempts.c.worker_id,
                workers.c.name,
            )
            .join(workers, workers.c.id == attempts.c.worker_id)
            .join(runs, runs.c.id == attempts.c.run_id)
            .where(_IS_HELD, attempts.c.worker_id.in_(silent))
        )
        return [
            _Silent(
                run=RunId(row.run_id),
                attempt=AttemptNumber(row.number),
                job_version=JobVersionId(row.job_version_id),
                worker_id=WorkerId(row.worker_id),
                worker=row.name,
            )
            for row in rows
        ]

    async def _rescue(self, silent: _Silent, last_contact_at: Instant, silence: float) -> None:
        now = self._parts.clock.now()

        def rescue(connection: Connection) -> Loss:
            specification = self._parts.versions.get(connection, silent.job_version).specification
            if silence < specification.given_up_after_seconds or self._has_come_back(
                connection, silent.worker_id, last_contact_at
            ):
                return Loss()
            return lose_attempt(
                connection,
                self._parts.versions,
                silent.run,
                silent.attempt,
                reason=f"worker lost: {silent.worker} was out of contact for {silence:.0f} s",
                actor=self._parts.actor,
                now=now,
            )

        loss = await self._parts.database.write(rescue, signals=lambda loss: loss.signals)
        report_quarantines([loss.quarantine] if loss.quarantine is not None else ())

    @staticmethod
    def _has_come_back(connection: Connection, worker: WorkerId, last_contact_at: Instant) -> bool:
        query = select(workers.c.last_contact_at).where(workers.c.id == worker).with_for_update(read=True)
        return bool(connection.execute(query).scalar_one() != last_contact_at)


_IS_HELD = attempts.c.ended_at.is_(None) & or_(
    attempts.c.state == AttemptState.ACCEPTED, attempts.c.state == AttemptState.STARTED
)


def _contacts(connection: Connection) -> Mapping[WorkerId, Instant]:
    """The last contact of each worker that holds something."""
    return {WorkerId(row.id): Instant(row.last_contact_at) for row in _CONTACTS.all(connection, {})}


class _Contact(NamedTuple):
    id: int
    last_contact_at: int


_CONTACTS = PreparedQuery(
    _Contact,
    lambda _: (
        select(workers.c.id, workers.c.last_contact_at)
        .join(attempts, attempts.c.worker_id == workers.c.id)
        .where(_IS_HELD, workers.c.last_contact_at.is_not(None))
        .distinct()
    ),
)
