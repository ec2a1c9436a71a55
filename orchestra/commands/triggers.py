"""Triggering: a person or program makes a run. The hottest path of the service, one short transaction each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, select

from orchestra.clock import Clock, Instant, after
from orchestra.commands.pipeline_retries import check_retry, retry_scope, version_of_run
from orchestra.commands.start_times import start_delay_seconds
from orchestra.definition.parameters import validate_parameters
from orchestra.errors import Conflict, InvalidFields, OrchestraError, RunInTheWay
from orchestra.formatter import BadTemplate, UnknownValue
from orchestra.identifiers import RunId
from orchestra.lifecycle import TERMINAL_STATES, RunState
from orchestra.limits import JOB_VERSIONS_KEPT_MAX, PRIORITY_MAX
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import moment, run_address
from orchestra.queries.run_views import RunView
from orchestra.queries.runs import show_run
from orchestra.sealing import Sealing
from orchestra.specification import PropertyValue
from orchestra.storage.admission import Admission, Ruling
from orchestra.storage.audit import record_change
from orchestra.storage.database import Database
from orchestra.storage.idempotency import KeptAnswer, find_answer, keep_answer
from orchestra.storage.jobs import JobRecord, find_job
from orchestra.storage.new_runs import NewRun, run_of
from orchestra.storage.prepared import PreparedQuery
from orchestra.storage.runs import admit_run
from orchestra.storage.tables import jobs

CREATED, FOUND = 201, 200


class TriggerRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody wants of a new run."""

    parameters: dict[str, PropertyValue] = {}
    secrets: dict[str, str] = {}
    priority: int | None = None
    """None is the job's own."""
    delay_seconds: float = 0.0
    run_at: str | None = None
    """Instead of a delay: `2026-12-24T18:00` by the clocks of `zone`, or with an offset of its own."""
    zone: str | None = None
    """None is UTC."""


class RetryRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be other than in the run that is retried; secrets are not kept, so they are given again."""

    parameters: dict[str, PropertyValue | None] = {}
    """Null: not the old run's value, but the default."""
    secrets: dict[str, str] = {}
    failed_only: bool = False
    """Of a pipeline: what succeeded is used again with its results."""
    from_element: str | None = None
    """Of a pipeline: this element and all that comes after it is done again, and what had not succeeded."""
    newest: bool = False
    """Of a pipeline: by the newest definition and from the beginning, and not by the one that it was made from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Repetition:
    """The key under which a request may come again, and the fingerprint of the request that it stands for."""

    key: str
    request_digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Triggered:
    """The run that was made, or that an earlier request with the same key made, or one that is about the same."""

    run: RunId
    body: bytes
    """The RunView as JSON, as it was answered first."""
    replayed: bool
    is_new: bool = True
    """Whether the request made it: the job's policies may answer with a run that there is."""


class KeyReused(OrchestraError):
    """An idempotency key came again with another request."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"the idempotency key {self.key[:80]!r} was used for another request: take a new key"


class _KeyTaken(Exception):
    """Another transaction has just committed an answer under the key: everything is undone and looked up again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wish:
    """A run that can be made, everything checked that needs no transaction."""

    job: JobRecord
    parameters: Mapping[str, PropertyValue]
    sealed_secrets: str | None
    priority: int
    delay_seconds: float
    source: str
    retry_of: RunId | None
    creation_key: str
    user: Principal
    now: Instant
    repetition: Repetition | None = field(default=None)
    retry_scope: str | None = None
    pinned: JobRecord | None = None
    """The job as it was, if the run is made of an older version than the newest."""

    @property
    def made_of(self) -> JobRecord:
        """The job in the version that the run is made of."""
        return self.pinned or self.job


class Triggers:
    """Makes runs on request."""

    def __init__(
        self, *, database: Database, clock: Clock, sealing: Sealing, new_creation_key: Callable[[], str]
    ) -> None:
        self._database = database
        self._clock = clock
        self._sealing = sealing
        self._new_creation_key = new_creation_key
        # Never trusted: each transaction compares it with the job's row.
        self._jobs: dict[tuple[str, str], JobRecord] = {}

    async def trigger(
        self, who: Principal, project: str, name: str, request: TriggerRequest, repetition: Repetition | None = None
    ) -> Triggered:
        """Makes a run of the job. Raises NotFound, NotAllowed, Conflict (disabled), InvalidFields, KeyReused, and
        RunInTheWay if the job's policies refuse it because of another run."""
        if request.priority is not None and abs(request.priority) > PRIORITY_MAX:
            raise InvalidFields([("/priority", f"must be from -{PRIORITY_MAX} to {PRIORITY_MAX}")])

        def wish(job: JobRecord) -> _Wish:
            who.require_in(Permission.RUN, job.project_id, "job", f"{project}/{name}")
            _require_active(job)
            given = validate_parameters(job.specification.parameters, request.parameters, request.secrets)
            now = self._clock.now()
            return _Wish(
                job=job,
                parameters=given.values,
                sealed_secrets=self._sealing.seal(given.secrets) if given.secrets else None,
                priority=job.specification.priority if request.priority is None else request.priority,
                delay_seconds=start_delay_seconds(
                    delay_seconds=request.delay_seconds, run_at=request.run_at, zone=request.zone, now=now
                ),
                source=who.actor,
                retry_of=None,
                creation_key=self._new_creation_key(),
                user=who,
                now=now,
                repetition=repetition,
            )

        return await self._make(who, project, name, wish, repetition)

    async def retry(
        self, who: Principal, run: RunId, request: RetryRequest, repetition: Repetition | None = None
    ) -> Triggered:
        """Makes a new run of the same job with the same parameters, by the job's newest version, linked to the old one;
        of a pipeline by the version that the old one was made of, if it is not asked for the newest.

        Parameters that the job does not have any more are left out. Raises as `trigger` does, and Conflict for a run
        that is not over.
        """
        old = await self._database.read(lambda connection: show_run(connection, who, run))
        check_retry(old, request)
        kept_version = await self._database.read(lambda connection: version_of_run(connection, run))
        scope = retry_scope(old, request, kept_version)

        def wish(job: JobRecord) -> _Wish:
            who.require_in(Permission.RUN, job.project_id, "run", run)
            if old.state not in TERMINAL_STATES:
                raise Conflict(f"run #{run} is not over ({old.state}): abort it first, or trigger the job anew")
            _require_active(job)
            pinned = None if scope is None else kept_version.job_as_it_was(job)
            declared = (pinned or job).specification.parameters
            known = {parameter.name for parameter in declared}
            kept = {name: value for name, value in old.parameters.items() if name in known}
            given = validate_parameters(declared, {**kept, **request.parameters}, request.secrets)
            return _Wish(
                job=job,
                parameters=given.values,
                sealed_secrets=self._sealing.seal(given.secrets) if given.secrets else None,
                priority=old.priority,
                delay_seconds=0.0,
                source=f"retry of #{run} by {who.actor}",
                retry_of=run,
                retry_scope=scope,
                pinned=pinned,
                creation_key=self._new_creation_key(),
                user=who,
                now=self._clock.now(),
                repetition=repetition,
            )

        return await self._make(who, old.project, old.job, wish, repetition)

    async def _make(
        self,
        who: Principal,
        project: str,
        name: str,
        wish: Callable[[JobRecord], _Wish],
        repetition: Repetition | None,
    ) -> Triggered:
        try:
            return await self._make_once(project, name, wish)
        except (Conflict, InvalidFields):
            # The job may have been disabled or changed after a first request with this key was answered.
            kept = None if repetition is None else await self._find_answer(who, repetition.key)
            if kept is None or repetition is None:
                raise
            return _replay(kept, repetition)

    async def _find_answer(self, who: Principal, key: str) -> KeptAnswer | None:
        now = self._clock.now()
        return await self._database.read(lambda connection: find_answer(connection, who.user_id, key, now=now))

    async def _make_once(self, project: str, name: str, wish: Callable[[JobRecord], _Wish]) -> Triggered:
        job = self._jobs.get((project, name))
        if job is not None and job.is_active:
            try:
                made = await self._write(wish(job))
                if made is not None:
                    return made
            except RunInTheWay:
                raise  # It is not the job that refuses it.
            except (Conflict, InvalidFields):
                pass  # What the job refused as it was, it may take as it is now: only the second look says no.
        # Unknown, inactive or changed since: the second look is at the database itself.
        while True:
            job = await self._database.read(lambda connection: find_job(connection, project, name))
            if len(self._jobs) >= JOB_VERSIONS_KEPT_MAX:
                self._jobs.clear()
            self._jobs[project, name] = job
            made = await self._write(wish(job))
            if made is not None:
                return made

    async def _write(self, wish: _Wish) -> Triggered | None:
        while True:
            try:
                made = await self._database.write(lambda connection: self._create(connection, wish))
            except _KeyTaken:
                continue
            # Not raised within the change: others share its transaction, and would be applied once more.
            if isinstance(made, Admission):
                raise RunInTheWay(f"{wish.job.project}/{wish.job.name}", made.run, made.words, made.remedy)
            return made

    def _create(self, connection: Connection, wish: _Wish) -> Triggered | Admission | None:
        """The transaction. With nothing changed: None if the job is not what the wish was checked against, and what was
        decided if its policies refuse the run."""
        repetition = wish.repetition
        if repetition is not None:
            kept = find_answer(connection, wish.user.user_id, repetition.key, now=wish.now)
            if kept is not None:
                return _replay(kept, repetition)
        row = _JOB_NOW.first(connection, {"job": wish.job.id})
        if row != (wish.job.version_id, wish.job.enabled, wish.job.disabled_by, wish.job.retired_at):
            return None
        admission = admit_run(connection, _new_run(wish))
        if admission.ruling is Ruling.REFUSED:
            return admission
        run, is_new = admission.run, admission.ruling is Ruling.MADE
        if is_new:
            _audit(connection, run, wish)
        body = _encoder.encode(_view(run, wish) if is_new else show_run(connection, wish.user, run))
        if repetition is not None:
            status = CREATED if is_new else FOUND
            answer = KeptAnswer(request_digest=repetition.request_digest, status=status, body=body.decode())
            if not keep_answer(connection, wish.user.user_id, repetition.key, answer, now=wish.now):
                raise _KeyTaken
        return Triggered(run=run, body=body, replayed=False, is_new=is_new)


_encoder = msgspec.json.Encoder()


class _JobNow(NamedTuple):
    version_id: int
    enabled: bool
    disabled_by: str | None
    retired_at: int | None


_JOB_NOW = PreparedQuery(
    _JobNow,
    lambda _: select(*(jobs.c[name] for name in _JobNow._fields)).where(jobs.c.id == bindparam("job")),
)


def _audit(connection: Connection, run: RunId, wish: _Wish) -> None:
    job, action = f"{wish.job.project}/{wish.job.name}", "run_triggered"
    if wish.retry_of is not None:
        job, action = f"{job}, like #{wish.retry_of}", "run_retried"
    record_change(connection, wish.user, at=wish.now, action=action, subject=f"run #{run}", detail=job)


def _require_active(job: JobRecord) -> None:
    if job.specification.wrapped:
        command = f"orchestra wrap {job.project}/{job.name} -- COMMAND"
        raise Conflict(f"job {job.project}/{job.name} is started elsewhere: only '{command}' makes runs of it")
    if job.hindrance is not None:
        raise Conflict(job.hindrance)


def _replay(kept: KeptAnswer, repetition: Repetition) -> Triggered:
    if kept.request_digest != repetition.request_digest:
        raise KeyReused(repetition.key)
    body = kept.body.encode()
    run = RunId(msgspec.json.decode(body, type=_RunNumber).id)
    return Triggered(run=run, body=body, replayed=True, is_new=kept.status == CREATED)


class _RunNumber(msgspec.Struct, frozen=True):
    """What a replay needs of a kept answer."""

    id: int


def _new_run(wish: _Wish) -> NewRun:
    try:
        new = run_of(
            wish.made_of,
            creation_key=wish.creation_key,
            source=wish.source,
            now=wish.now,
            parameters=wish.parameters,
            sealed_secrets=wish.sealed_secrets,
            priority=wish.priority,
            delay_seconds=wish.delay_seconds,
        )
    except UnknownValue as error:
        # The job may do without it, but not its policies.
        pointer = f"/{error.name.replace('.', '/')}"
        raise InvalidFields([(pointer, f"must be given, since the job's policies name it: {error}")]) from error
    except BadTemplate as error:
        raise InvalidFields([("/parameters", str(error))]) from error
    return new if wish.retry_of is None else replace(new, retry_of=wish.retry_of, retry_scope=wish.retry_scope)


def _view(run: RunId, wish: _Wish) -> RunView:
    # Built from what is known, since reading it back would double the cost of a trigger; a test compares the two.
    return RunView(
        id=run,
        url=run_address(run),
        project=wish.job.project,
        job=wish.job.name,
        job_version=wish.made_of.version,
        state=RunState.SCHEDULED if wish.delay_seconds > 0 else RunState.PENDING,
        reason="",
        source=wish.source,
        parameters=dict(wish.parameters),
        priority=wish.priority,
        attempt=0,
        attempts_counted=0,
        worker=None,
        worker_connected=False,
        worker_last_contact_at=None,
        stop_requested=None,
        created_at=moment(wish.now),
        due_at=moment(after(wish.now, wish.delay_seconds)),
        started_at=None,
        ended_at=None,
        exit_code=None,
        log_length=0,
        progress=None,
        progress_text=None,
        retry_of=wish.retry_of,
        parent=None,
        element=None,
        element_key=None,
        is_pipeline=wish.made_of.specification.pipeline is not None,
    )
