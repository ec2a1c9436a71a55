"""What happens, as those may follow it who may read it: events of runs in the order of their numbers."""

from collections.abc import Mapping
from datetime import datetime
from fnmatch import fnmatchcase

import msgspec
from sqlalchemy import Connection, select

from orchestra.errors import InvalidFields
from orchestra.identifiers import ProjectId
from orchestra.lifecycle import RunEvent, RunState
from orchestra.limits import EVENTS_READ_MAX, EVENTS_SPAN_MAX
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import moment, run_address
from orchestra.queries.visibility import within
from orchestra.storage.tables import jobs, projects, run_events, runs

_EVIDENCE = ("created", "stop asked", "late", "stale", "refused")
"""What stands in a history beside the events of a run's life."""
KIND_OF_TYPE: Mapping[str, str] = {
    f"run.{kind.replace(' ', '-')}": kind for kind in (*_EVIDENCE, *(str(event) for event in RunEvent))
}
"""The types of events that are kept, and what they are called in the history of a run."""
WORKER_CHANGED = "worker.changed"
"""Told to who listens, and not kept."""
EVENT_TYPES = (*KIND_OF_TYPE, WORKER_CHANGED)


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a run."""

    id: int
    at: datetime
    type: str
    run: int
    url: str
    project: str
    job: str
    attempt: int | None
    actor: str
    detail: str
    state: RunState
    """Of the run when this was sent."""


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to follow."""

    kinds: tuple[str, ...] | None = None
    """As in the history; None is all of them."""
    projects: tuple[ProjectId, ...] | None = None
    workers: bool = True


def read_event_types(text: str) -> EventFilter:
    """From `run.*,worker.changed` and the like; raises InvalidFields for what fits no type."""
    chosen: set[str] = set()
    problems = []
    for pattern in filter(None, text.split(",")):
        fitting = {kind for kind in EVENT_TYPES if fnmatchcase(kind, pattern)}
        if not fitting:
            problems.append(("/types", f"{pattern[:40]!r} fits no type of event: use {', '.join(EVENT_TYPES)}"))
        chosen |= fitting
    if problems:
        raise InvalidFields(problems)
    if not chosen:
        return EventFilter()
    kinds = tuple(KIND_OF_TYPE[kind] for kind in sorted(chosen & KIND_OF_TYPE.keys()))
    return EventFilter(kinds=None if len(kinds) == len(KIND_OF_TYPE) else kinds, workers=WORKER_CHANGED in chosen)


def events_behind(
    connection: Connection, who: Principal, wanted: EventFilter, behind: int, settled_to: int
) -> tuple[list[EventView], int]:
    """Some of the events behind this number, and the number up to which they are all."""
    # A person who may see little must not make the database look through everything at once.
    end = min(settled_to, behind + EVENTS_SPAN_MAX)
    if wanted.kinds == () or end <= behind:
        return [], end
    query = (
        select(run_events, runs.c.state, projects.c.name.label("project"), jobs.c.name.label("job"))
        .join(runs, runs.c.id == run_events.c.run_id)
        .join(projects, projects.c.id == runs.c.project_id)
        .join(jobs, jobs.c.id == runs.c.job_id)
        .where(run_events.c.id > behind, run_events.c.id <= end)
        .where(*within(who.scope(Permission.READ), runs.c.project_id))
        .order_by(run_events.c.id)
        .limit(EVENTS_READ_MAX)
    )
    if wanted.kinds is not None:
        query = query.where(run_events.c.kind.in_(wanted.kinds))
    if wanted.projects is not None:
        query = query.where(runs.c.project_id.in_(wanted.projects))
    found = [
        EventView(
            id=row.id,
            at=moment(row.at),
            type=f"run.{row.kind.replace(' ', '-')}",
            run=row.run_id,
            url=run_address(row.run_id),
            project=row.project,
            job=row.job,
            attempt=row.attempt,
            actor=row.actor,
            detail=row.detail,
            state=RunState(row.state),
        )
        for row in connection.execute(query)
    ]
    return found, found[-1].id if len(found) == EVENTS_READ_MAX else end
