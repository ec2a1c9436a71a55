"""Plan and apply: what a definition would change, and the change itself in one transaction."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec
from sqlalchemy import Connection

from orchestra.clock import Instant
from orchestra.commands.element_jobs import require_element_jobs
from orchestra.commands.shared_resources import require_locks, require_slots
from orchestra.cron.expected import expectation_sentence
from orchestra.cron.occurrences import next_after
from orchestra.cron.sentence import sentence
from orchestra.definition.canonical import definition_digest, encode_definition
from orchestra.definition.differences import describe_changes
from orchestra.errors import ChangedSincePlan, Conflict
from orchestra.identifiers import ProjectId
from orchestra.policy import Principal
from orchestra.specification import JobDefinition, ProjectDefinition, ScheduleSpecification
from orchestra.storage.database import Signal, Topic, announce
from orchestra.storage.declared_locks import declare_locks, declared_locks
from orchestra.storage.expectations import (
    ExpectationRecord,
    expectations_of_project,
    retire_expectation,
    set_expectation,
)
from orchestra.storage.jobs import JobRecord, add_job, add_version, job_by_name, jobs_of_project, keep_job, retire_job
from orchestra.storage.projects import (
    DefinitionRecord,
    ProjectRecord,
    add_definition,
    claim_project,
    describe_project,
    find_project,
    has_project,
    newest_definition,
)
from orchestra.storage.resources import lock_names
from orchestra.storage.schedules import ScheduleRecord, retire_schedule, schedules_of_project, set_schedule

_DECLARING = "declared locks"


class Action(StrEnum):
    """What happens to a thing."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"
    KEEP = "keep"


class Kind(StrEnum):
    """What a definition consists of."""

    PROJECT = "project"
    JOB = "job"
    SCHEDULE = "schedule"
    EXPECTATION = "expectation"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedChange:
    """One line of a plan."""

    action: Action
    kind: Kind
    name: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class NextFire:
    """When a job will run by itself next."""

    job: str
    at: Instant


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a definition changes, compared with what holds now."""

    project: str
    changes: tuple[PlannedChange, ...]
    next: tuple[NextFire, ...]
    planned_on: str | None
    """The digest of the definition that holds before; None if there is none."""
    version: str
    """The digest of the planned definition."""
    warnings: tuple[str, ...] = ()
    """What is probably not meant."""

    @property
    def is_empty(self) -> bool:
        """Whether everything stays as it is."""
        return self.planned_on == self.version and all(change.action is Action.KEEP for change in self.changes)


@dataclass(frozen=True, slots=True)
class _Before:
    """What is stored of a project."""

    project: ProjectRecord | None
    locks: Mapping[str, int]
    definition: DefinitionRecord | None
    jobs: dict[str, JobRecord]
    schedules: dict[str, ScheduleRecord]
    expectations: dict[str, ExpectationRecord]


def plan(connection: Connection, definition: ProjectDefinition, now: Instant, *, who: Principal | None = None) -> Plan:
    """What applying the definition now would change; changes nothing. The definition must have passed the checks.

    Raises RefusedByOthers and SlotsNotAllowed, as `apply_definition` does.
    """
    before = _before(connection, definition.name)
    _require_others(connection, before, definition, who)
    return _compare(before, definition, now)


def apply_definition(
    connection: Connection,
    definition: ProjectDefinition,
    *,
    owner_file: str | None,
    source: str,
    by: str,
    now: Instant,
    if_match: str | None = None,
    who: Principal | None = None,
) -> Plan:
    """Makes the definition hold, all of it or nothing, and returns what was changed.

    `owner_file` is the file that the project belongs to from now on, None if it belongs to the API. Raises Conflict if
    it belongs to another file, ChangedSincePlan if `if_match` is given and is not the digest of what holds now,
    RefusedByOthers if pipelines run jobs of other projects that are not there or not for `who` to run, or locks do not
    agree with theirs, SlotsNotAllowed if `who` may not say what the project is to have of the slots. Jobs that are not
    in the definition are retired; a schedule that did not change keeps its cursor. Signal Topic.DUE after the commit.
    """
    # Two definitions that both declare a lock, or lower it and take it, are applied one after the other.
    lock_names(connection, [_DECLARING])
    is_new = not has_project(connection, definition.name)
    project = claim_project(
        connection, definition.name, description=definition.description, owner_file=owner_file, now=now
    )
    _require_owner(project, owner_file)
    before = _before(connection, definition.name)
    if is_new:
        before = replace(before, project=None)
    found = before.definition.digest if before.definition else None
    if if_match is not None and if_match != found:
        raise ChangedSincePlan(definition.name, if_match, found)
    _require_others(connection, before, definition, who)
    made = _compare(before, definition, now)
    if made.is_empty and before.project is not None and before.project.owner_file == owner_file:
        return made
    describe_project(connection, project.id, definition, owner_file=owner_file)
    declare_locks(connection, project.id, definition.locks)
    # A capacity, a share, a rate: any of them may let something go that waits.
    announce(connection, Signal(Topic.RELEASED))
    for job in definition.jobs:
        _apply_job(connection, project.id, job, before, now)
    kept = {job.name for job in definition.jobs}
    for name, record in before.jobs.items():
        if name not in kept:
            retire_job(connection, record.id, now=now)
            retire_schedule(connection, record.id, now=now)
            retire_expectation(connection, record.id, now=now)
    if found != made.version:
        add_definition(
            connection,
            project.id,
            DefinitionRecord(
                document=encode_definition(definition),
                digest=made.version,
                source=source,
                applied_at=now,
                applied_by=by,
            ),
        )
    return made


def _require_others(
    connection: Connection, before: _Before, definition: ProjectDefinition, who: Principal | None
) -> None:
    require_slots(before.project, definition, who)
    require_element_jobs(connection, definition, who)
    require_locks(connection, definition, who)


def _require_owner(project: ProjectRecord, owner_file: str | None) -> None:
    if project.owner_file is None or project.owner_file == owner_file:
        return
    raise Conflict(
        f"the project {project.name!r} belongs to the file {project.owner_file}: change it there, "
        "or rename the project in this definition"
    )


def _before(connection: Connection, name: str) -> _Before:
    if not has_project(connection, name):
        return _Before(None, {}, None, {}, {}, {})
    project = find_project(connection, name)
    jobs = {job.name: job for job in jobs_of_project(connection, project.id)}
    names = {job.id: job.name for job in jobs.values()}
    schedules = {names[found.job_id]: found for found in schedules_of_project(connection, project.id)}
    expectations = {names[found.job_id]: found for found in expectations_of_project(connection, project.id)}
    locks = {lock: found.capacity for lock, found in declared_locks(connection).items() if found.project == name}
    return _Before(project, locks, newest_definition(connection, project.id), jobs, schedules, expectations)


def _apply_job(connection: Connection, project: ProjectId, job: JobDefinition, before: _Before, now: Instant) -> None:
    record = before.jobs.get(job.name) or job_by_name(connection, project, job.name)
    if record is None:
        identifier = add_job(connection, project, job.name, job.specification, enabled=job.enabled, now=now)
    else:
        identifier = record.id
        if record.specification != job.specification:
            add_version(connection, record.id, job.specification, now=now)
        keep_job(connection, record.id, enabled=job.enabled)
    schedule = before.schedules.get(job.name)
    if job.schedule is None:
        retire_schedule(connection, identifier, now=now)
    elif schedule is None or schedule.specification != job.schedule:
        set_schedule(connection, identifier, job.schedule, next_fire_at=_first_due(schedule, job.schedule, now))
    expectation = before.expectations.get(job.name)
    is_active = job.enabled and (record is None or record.disabled_by is None)
    if job.expect is None:
        if expectation is not None:
            retire_expectation(connection, identifier, now=now)
    elif (
        expectation is None
        or expectation.specification != job.expect
        or is_active != (record is not None and record.is_active)
    ):
        set_expectation(connection, identifier, job.expect, is_active=is_active, now=now)


def _compare(before: _Before, definition: ProjectDefinition, now: Instant) -> Plan:
    changes = [_project_change(before, definition)]
    fires: list[NextFire] = []
    for job in definition.jobs:
        changes.append(_job_change(before.jobs.get(job.name), job))
        schedule = before.schedules.get(job.name)
        words = "" if job.schedule is None else sentence(job.schedule.timetable)
        stored = schedule.specification if schedule else None
        changes.extend(_part_changes(Kind.SCHEDULE, job.name, stored, job.schedule, words))
        words = "" if job.expect is None else expectation_sentence(job.expect)
        expectation = before.expectations.get(job.name)
        expected = expectation.specification if expectation else None
        changes.extend(_part_changes(Kind.EXPECTATION, job.name, expected, job.expect, words))
        if job.schedule is not None:
            at = _first_due(schedule, job.schedule, now)
            if at is not None:
                fires.append(NextFire(job=job.name, at=at))
    kept = {job.name for job in definition.jobs}
    for name in before.jobs:
        if name not in kept:
            changes.append(PlannedChange(action=Action.REMOVE, kind=Kind.JOB, name=name, detail="its history is kept"))
            for kind, found in ((Kind.SCHEDULE, before.schedules), (Kind.EXPECTATION, before.expectations)):
                if name in found:
                    changes.append(PlannedChange(action=Action.REMOVE, kind=kind, name=name))
    return Plan(
        project=definition.name,
        changes=tuple(changes),
        next=tuple(sorted(fires, key=lambda fire: (fire.at, fire.job))),
        planned_on=before.definition.digest if before.definition else None,
        version=definition_digest(definition),
    )


def _first_due(before: ScheduleRecord | None, wanted: ScheduleSpecification, now: Instant) -> Instant | None:
    """The cursor: where it was if only policies change, so that no instant goes by undecided."""
    if before is not None and before.specification.timetable == wanted.timetable:
        return before.next_fire_at
    return next_after(wanted.timetable, now)


def _project_change(before: _Before, definition: ProjectDefinition) -> PlannedChange:
    project = before.project
    share, reserve = (project.share, project.reserve) if project else (1, None)
    said = ProjectDefinition(name=definition.name, locks=dict(before.locks), share=share, reserve=reserve)
    details = [describe_changes(said, msgspec.structs.replace(definition, description="", jobs=()))]
    if project is not None and project.description != definition.description:
        details.insert(0, "description")
    detail = ", ".join(part for part in details if part)
    action = Action.ADD if project is None else Action.CHANGE if detail else Action.KEEP
    return PlannedChange(action=action, kind=Kind.PROJECT, name=definition.name, detail=detail)


def _job_change(record: JobRecord | None, job: JobDefinition) -> PlannedChange:
    if record is None:
        return PlannedChange(action=Action.ADD, kind=Kind.JOB, name=job.name)
    details = [describe_changes(record.specification, job.specification)]
    if record.enabled != job.enabled:
        details.append("enabled" if job.enabled else "disabled")
    detail = ", ".join(part for part in details if part)
    action = Action.CHANGE if detail else Action.KEEP
    return PlannedChange(action=action, kind=Kind.JOB, name=job.name, detail=detail)


def _part_changes(
    kind: Kind, name: str, old: msgspec.Struct | None, new: msgspec.Struct | None, words: str
) -> Iterator[PlannedChange]:
    """Of what a job may have beside its specification; `words` say what is new."""
    if new is None:
        if old is not None:
            yield PlannedChange(action=Action.REMOVE, kind=kind, name=name)
    elif old is None:
        yield PlannedChange(action=Action.ADD, kind=kind, name=name, detail=words)
    elif old != new:
        yield PlannedChange(action=Action.CHANGE, kind=kind, name=name, detail=describe_changes(old, new))
    else:
        yield PlannedChange(action=Action.KEEP, kind=kind, name=name)
