"""Enabling and disabling jobs, releasing them from quarantine, steering workers."""

from sqlalchemy import Connection

from orchestra.clock import Clock, rfc3339
from orchestra.commands.reasons import check_reason
from orchestra.errors import Conflict, ImpossibleTransition, InvalidFields
from orchestra.lifecycle import NEXT_WORKER_STATE, WorkerEvent, WorkerState
from orchestra.policy import Permission, Principal
from orchestra.queries.fleet import WorkerView, show_worker
from orchestra.queries.jobs import JobDetail, show_job
from orchestra.storage.audit import record_change
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.expectations import switch_expectation
from orchestra.storage.jobs import find_job, switch_job
from orchestra.storage.quarantine import quarantine_of, release_job
from orchestra.storage.workers import move_worker

STEERABLE = (WorkerState.ONLINE, WorkerState.DRAINING, WorkerState.DISABLED)


class Switches:
    """What people may turn on and off."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def switch_job(self, who: Principal, project: str, name: str, *, enabled: bool, reason: str) -> JobDetail:
        """Disables a job (no schedule or person makes runs of it; those that exist go on), or enables it.

        Raises NotFound, NotAllowed, InvalidFields, and Conflict for a job that only its definition can enable.
        """
        check_reason(reason)
        now = self._clock.now()

        def switch(connection: Connection) -> JobDetail:
            job = find_job(connection, project, name)
            who.require_in(Permission.SWITCH_JOBS, job.project_id, "job", f"{project}/{name}")
            if job.retired_at is not None:
                raise Conflict(f"job {project}/{name} is in no definition any more: there is nothing to switch")
            if enabled and not job.enabled:
                raise Conflict(f"job {project}/{name} is disabled by its definition: say 'enabled: true' there")
            words = who.name + (f": {reason}" if reason else "")
            switch_job(connection, job.id, disabled_by=None if enabled else words)
            if enabled != job.is_active:
                switch_expectation(connection, job.id, is_active=enabled, now=now)
            record_change(
                connection,
                who,
                at=now,
                action="job_enabled" if enabled else "job_disabled",
                subject=f"job {project}/{name}",
                detail=reason,
                before={"disabled_by": job.disabled_by},
                after={"disabled_by": None if enabled else words},
            )
            return show_job(connection, who, project, name, now=now)

        return await self._database.write(switch, signals=[Signal(Topic.DUE)])

    async def release_job(self, who: Principal, project: str, name: str, *, reason: str) -> JobDetail:
        """Lets a job out of quarantine: what waits of it may start, and its lost attempts are counted anew.

        Raises NotFound, NotAllowed, InvalidFields, and Conflict for a job that is not in quarantine.
        """
        check_reason(reason)
        now = self._clock.now()

        def release(connection: Connection) -> JobDetail:
            job = find_job(connection, project, name)
            who.require_in(Permission.SWITCH_JOBS, job.project_id, "job", f"{project}/{name}")
            quarantine = quarantine_of(connection, job.id)
            if quarantine is None or not release_job(connection, job.id, now=now):
                raise Conflict(f"job {project}/{name} is not in quarantine: there is nothing to release")
            record_change(
                connection,
                who,
                at=now,
                action="job_released",
                subject=f"job {project}/{name}",
                detail=reason,
                before={"quarantine": f"since {rfc3339(quarantine.since)}: {quarantine.reason}"},
                after={"quarantine": None},
            )
            return show_job(connection, who, project, name, now=now)

        return await self._database.write(release)

    async def steer_worker(self, who: Principal, name: str, *, state: WorkerState, reason: str) -> WorkerView:
        """Brings a worker into a state; its runs go on. Being there is no error. Raises NotFound, NotAllowed."""
        who.require(Permission.STEER_WORKERS)
        check_reason(reason)
        if state not in STEERABLE:
            raise InvalidFields([("/state", f"must be {', '.join(STEERABLE[:-1])} or {STEERABLE[-1]}")])
        now = self._clock.now()

        def steer(connection: Connection) -> WorkerView:
            before = show_worker(connection, who, name, now=now).state
            if before is not state:
                move_worker(connection, name, _event(before, state), reason=_words(who, state, reason))
                record_change(
                    connection,
                    who,
                    at=now,
                    action=f"worker_{state}",
                    subject=f"worker {name}",
                    detail=reason,
                    before={"state": before},
                    after={"state": state},
                )
            return show_worker(connection, who, name, now=now)

        return await self._database.write(steer, signals=[Signal(Topic.WORKERS, name)])


def next_states(state: WorkerState) -> tuple[WorkerState, ...]:
    """What a person can make of a worker in this state."""
    return tuple(after for (before, _), after in NEXT_WORKER_STATE.items() if before is state and after in STEERABLE)


def _words(who: Principal, state: WorkerState, reason: str) -> str:
    if state is WorkerState.ONLINE:
        return ""
    return f"by {who.name}" + (f": {reason}" if reason else "")


def _event(before: WorkerState, wanted: WorkerState) -> WorkerEvent:
    """The event that leads from one state to the other; raises ImpossibleTransition if the table has none."""
    for (state, event), after in NEXT_WORKER_STATE.items():
        if state is before and after is wanted:
            return event
    raise ImpossibleTransition(before, wanted)
