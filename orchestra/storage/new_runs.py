"""How runs are made: once for each creation key, pending at once, at a time, or after the earlier ones of their job."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import msgspec
from sqlalchemy import ClauseElement, Connection, select

from orchestra.clock import Instant, after
from orchestra.demands import Demand, demands_of, filled_in, rank_of, signature_for
from orchestra.identifiers import JobId, JobVersionId, ProjectId, RunId, Signature
from orchestra.lifecycle import RunState
from orchestra.limits import ALONE_POLL_SECONDS
from orchestra.matching import PIPELINE
from orchestra.policies import Uniqueness, WhenFull
from orchestra.specification import Matching, PropertyValue
from orchestra.storage.database import Signal, Topic, announce, pending_signal
from orchestra.storage.jobs import JobRecord
from orchestra.storage.prepared import PreparedQuery, inserted
from orchestra.storage.queued import behind_words, open_run_of_job
from orchestra.storage.run_events import RunEventRow, add_run_events
from orchestra.storage.tables import runs
from orchestra.storage.terms import keep_terms
from orchestra.storage.upserts import DIALECTS, insert_into


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRun:
    """Everything that is known of a run when it is made."""

    creation_key: str
    """Made by the creator: the same key never makes a second run."""
    project_id: ProjectId
    job_id: JobId
    job_version_id: JobVersionId
    signature: Signature
    matching: Matching
    demands: tuple[Demand, ...] = ()
    are_terms_new: bool = False
    """They are not those of the job's version: more is asked than there, or demanded."""
    unique: Uniqueness | None = None
    unique_key: str | None = None
    """What no other run may be about, as far as `unique` says so."""
    when_full: WhenFull = WhenFull.QUEUE
    priority: int
    parameters: Mapping[str, PropertyValue]
    """Without the secret ones."""
    sealed_secrets: str | None
    source: str
    """Who wanted it: "user ana", "schedule", "retry of #480"."""
    retry_of: RunId | None
    delay_seconds: float
    """How long it is `scheduled` before it becomes `pending`."""
    expire_after_seconds: float
    is_queued: bool = False
    """It waits until the earlier runs of its job are over."""
    retry_scope: str | None = None
    """Of a retried pipeline: what of the old one is used again."""
    parent: RunId | None = None
    """The pipeline that makes it for one of its elements."""
    element: str | None = None
    element_key: str | None = None
    now: Instant


def run_of(
    job: JobRecord,
    *,
    creation_key: str,
    source: str,
    now: Instant,
    parameters: Mapping[str, PropertyValue] | None = None,
    sealed_secrets: str | None = None,
    priority: int | None = None,
    delay_seconds: float = 0.0,
    matching: Matching | None = None,
    is_queued: bool = False,
) -> NewRun:
    """A run of this version of the job, with its own priority and requirements if no others are given; what is seldom
    is replaced.

    Raises UnknownValue and BadTemplate if its policies name what these parameters do not have.
    """
    specification, given = job.specification, parameters or {}
    demands: tuple[Demand, ...] = ()
    if specification.policies.are_demanding:
        demands = demands_of(specification.policies, project=job.project, job=job.name, parameters=given)
    asked = matching or specification.matching
    are_terms_new = job.signature != PIPELINE and (bool(demands) or matching is not None)
    unique, group = specification.policies.unique, specification.policies.concurrency
    return NewRun(
        creation_key=creation_key,
        project_id=job.project_id,
        job_id=job.id,
        job_version_id=job.version_id,
        signature=signature_for(job.project_id, asked, demands) if are_terms_new else job.signature,
        matching=asked,
        demands=demands,
        are_terms_new=are_terms_new,
        unique=unique,
        unique_key=None if unique is None else filled_in(unique.key, given),
        # No worker has a pipeline, so that it holds nothing of a group.
        when_full=WhenFull.QUEUE if group is None or job.signature == PIPELINE else group.when_full,
        priority=specification.priority if priority is None else priority,
        parameters=given,
        sealed_secrets=sealed_secrets,
        source=source,
        retry_of=None,
        delay_seconds=delay_seconds,
        expire_after_seconds=specification.expire_after_seconds,
        is_queued=is_queued,
        now=now,
    )


def create_run(connection: Connection, new: NewRun) -> RunId:
    """Makes the run, or finds the one that was made with the same key, whatever its policies say of other runs: for who
    has asked `orchestra.storage.admission`, or need not."""
    pending_at = after(new.now, new.delay_seconds)
    behind = open_run_of_job(connection, new.job_id) if new.is_queued and new.delay_seconds <= 0 else None
    state = RunState.SCHEDULED if new.delay_seconds > 0 or behind is not None else RunState.PENDING
    found = _INSERT_RUN[connection.dialect.name].first(
        connection,
        {
            "creation_key": new.creation_key,
            "project_id": new.project_id,
            "job_id": new.job_id,
            "job_version_id": new.job_version_id,
            "signature": new.signature,
            "slots": new.matching.slots,
            "priority": new.priority,
            "rank": rank_of(pending_at, new.priority),
            "unique_key": new.unique_key,
            "parameters": msgspec.json.encode(new.parameters).decode(),
            "sealed_secrets": new.sealed_secrets,
            "source": new.source,
            "retry_of": new.retry_of,
            "retry_scope": new.retry_scope,
            "parent_id": new.parent,
            "element": new.element,
            "element_key": new.element_key,
            "state": state,
            "reason": "" if behind is None else behind_words(behind),
            "is_queued": new.is_queued,
            "created_at": new.now,
            "due_at": pending_at if behind is None else None,
            "pending_at": None if state is RunState.SCHEDULED else new.now,
            "expires_at": after(pending_at, new.expire_after_seconds),
        },
    )
    if found is None:
        repeated = run_made_with(connection, new.creation_key)
        assert repeated is not None, "it conflicts with this insertion"
        return repeated
    run = RunId(found.id)
    if new.are_terms_new:
        keep_terms(connection, new.signature, new.matching, new.demands)
    add_run_events(connection, [RunEventRow(run=run, at=new.now, kind="created", actor=new.source)])
    if behind is None:
        announce(connection, *signals_of_run(new.signature, new.delay_seconds, new.expire_after_seconds))
    return run


def run_made_with(connection: Connection, creation_key: str) -> RunId | None:
    """The run that was made with this key, or None."""
    found = connection.execute(select(runs.c.id).where(runs.c.creation_key == creation_key)).scalar_one_or_none()
    return None if found is None else RunId(found)


def signals_of_run(signature: Signature, delay_seconds: float, expire_after_seconds: float) -> tuple[Signal, ...]:
    """What to tell once such a run was made: who gives runs out, or who waits for their time."""
    due, pending = Signal(Topic.DUE), pending_signal(signature)
    if delay_seconds > 0:
        return (due,)
    # Whoever looks for runs that have waited too long sleeps until it knows of one.
    return (pending, due) if expire_after_seconds <= ALONE_POLL_SECONDS else (pending,)


class _Made(NamedTuple):
    id: int


_NEW = inserted(
    runs,
    "creation_key",
    "project_id",
    "job_id",
    "job_version_id",
    "signature",
    "slots",
    "priority",
    "rank",
    "unique_key",
    "parameters",
    "sealed_secrets",
    "source",
    "retry_of",
    "retry_scope",
    "parent_id",
    "element",
    "element_key",
    "state",
    "reason",
    "is_queued",
    "created_at",
    "due_at",
    "pending_at",
    "expires_at",
)


def _insert_run(dialect: str, _: int) -> ClauseElement:
    new = insert_into(runs, dialect).values(_NEW)
    return new.on_conflict_do_nothing(index_elements=["creation_key"]).returning(runs.c.id)


_INSERT_RUN = {dialect: PreparedQuery(_Made, partial(_insert_run, dialect)) for dialect in DIALECTS}
