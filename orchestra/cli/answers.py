"""The answers of the API in the shapes that commands read; fields that a command does not show are left out."""

from typing import Generic, TypeVar

import msgspec

from orchestra.elements import Pipeline
from orchestra.policies import Policies
from orchestra.specification import Matching, RetryPolicy

Item = TypeVar("Item")


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """How many there are; counted only up to a bound."""

    value: int = 0
    exact: bool = True


class Page(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """A page of anything."""

    items: list[Item]
    next: str | None = None
    """The cursor of the page behind this one."""
    total: Total = Total()


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try of a run."""

    number: int
    worker: str | None = None
    state: str = ""
    reason: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    exit_code: int | None = None
    log_length: int | None = None
    lost_bytes: int | None = None


class StepShown(msgspec.Struct, frozen=True, kw_only=True):
    """One step of an attempt."""

    attempt: int
    name: str = ""
    started_at: str | None = None
    ended_at: str | None = None
    exit_code: int | None = None
    reason: str | None = None


class WorkerMatch(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a worker may take a run, and why not."""

    name: str
    matches: bool = False
    reason: str | None = None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run is not running."""

    state: str = ""
    reasons: list[str] = []
    workers: list[WorkerMatch] = []


class StopAsked(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for; it is not done before the state says so."""

    by: str = ""
    reason: str | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run; the lists come only with one run."""

    id: int
    state: str
    url: str = ""
    project: str = ""
    job: str = ""
    reason: str | None = None
    source: str | None = None
    parameters: dict[str, str | int | float | bool | None] = {}
    attempt: int | None = None
    attempts_counted: int | None = None
    worker: str | None = None
    worker_last_contact_at: str | None = None
    stop_requested: StopAsked | None = None
    created_at: str | None = None
    due_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    exit_code: int | None = None
    log_length: int | None = None
    progress: float | None = None
    progress_text: str | None = None
    retry_of: int | None = None
    parent: int | None = None
    element: str | None = None
    element_key: str | None = None
    is_pipeline: bool = False
    attempts: list[Attempt] = []
    steps: list[StepShown] = []
    results: dict[str, object] = {}
    waiting: Waiting | None = None


class ElementRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of an element."""

    key: str
    state: str
    run: int | None = None
    is_reused: bool = False


class ApprovalShown(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is asked."""

    message: str = ""
    by: list[str] = []


class ElementShown(msgspec.Struct, frozen=True, kw_only=True):
    """One element of a pipeline."""

    name: str
    state: str
    reason: str = ""
    instances: list[ElementRun] = []
    approval: ApprovalShown | None = None


class Elements(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline's elements."""

    state: str
    elements: list[ElementShown] = []


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """What a schedule last did."""

    due_at: str | None = None
    decision: str | None = None
    run: int | None = None
    lateness_seconds: float | None = None


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """That nothing is decided about a schedule for a while."""

    by: str
    reason: str = ""
    until: str | None = None


class NextInstants(msgspec.Struct, frozen=True, kw_only=True):
    """When a schedule is due next."""

    next: list[str] = []


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule."""

    project: str
    job: str
    expression: str = ""
    zone: str = ""
    sentence: str = ""
    enabled: bool = True
    paused: Pause | None = None
    next_fire_at: str | None = None
    last_tick: Tick | None = None


class ParameterShown(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a job."""

    name: str
    type: str = "string"
    options: list[str] = []
    minimum: float | None = None
    maximum: float | None = None
    required: bool = False
    default: object = None
    help: str = ""


class LastRun(msgspec.Struct, frozen=True, kw_only=True):
    """The newest run of a job."""

    id: int
    state: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job."""

    project: str
    name: str
    description: str = ""
    enabled: bool = True
    disabled_by: str | None = None
    quarantined_at: str | None = None
    quarantine_reason: str | None = None
    retired: bool = False
    parameters: list[ParameterShown] = []
    version: int | None = None
    schedule: Schedule | None = None
    last_run: LastRun | None = None


class StepDefined(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a job, as far as its place among the others goes."""

    name: str = ""
    timeout_seconds: float | None = None


class ExecutionShown(msgspec.Struct, frozen=True, kw_only=True):
    """What a job executes, in short."""

    setup: list[StepDefined] = []
    steps: list[StepDefined] = []
    teardown: list[StepDefined] = []
    timeout_seconds: float | None = None
    silence_seconds: float | None = None


class SpecificationShown(msgspec.Struct, frozen=True, kw_only=True):
    """What the definition of a job says, in short."""

    execution: ExecutionShown = ExecutionShown()
    pipeline: Pipeline | None = None
    matching: Matching = Matching()
    retry: RetryPolicy = RetryPolicy()
    policies: Policies = Policies()
    wrapped: bool = False


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of a job."""

    sentence: str = ""
    last_start: str | None = None
    next_at: str | None = None
    is_missed: bool = False


class JobDetail(Job, frozen=True, kw_only=True):
    """A job with its definition, and which workers can do it."""

    specification: SpecificationShown = SpecificationShown()
    workers: list[WorkerMatch] = []
    expect: Expectation | None = None


class ScheduleDetail(Schedule, frozen=True, kw_only=True):
    """A schedule with what it does on difficult days."""

    disabled_because: str | None = None
    policies: list[str] = []
    warnings: list[str] = []
    next: list[str] = []


class WorkerJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job beside one worker."""

    project: str
    job: str
    matches: bool = False
    reason: str = ""
    is_only: bool = False


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker."""

    name: str
    state: str
    reason: str | None = None
    connected: bool = False
    last_contact_at: str | None = None
    version: str | None = None
    properties: dict[str, str | int | float | bool] = {}
    slots: int = 0
    slots_used: int = 0
    runs: list[int] = []
    load: float | None = None
    free_disk_bytes: int | None = None


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """A role, everywhere or in one project."""

    role: str
    project: str | None = None

    def __str__(self) -> str:
        return f"{self.role}@{self.project}" if self.project else self.role


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person or a program that may sign in."""

    name: str
    enabled: bool = True
    roles: list[Role] = []
    has_password: bool = False
    created_at: str | None = None


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who the token belongs to."""

    name: str
    roles: list[Role] = []
    via: str = ""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token; its secret comes once, when it is made."""

    id: int
    name: str = ""
    user: str | None = None
    kind: str = ""
    prefix: str = ""
    created_at: str | None = None
    expires_at: str | None = None
    last_used_at: str | None = None
    revoked_at: str | None = None
    secret: str | None = None


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project, as far as a plan needs it."""

    name: str
    version: str | None = None
    """The digest of the definition that holds."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that applying a definition does."""

    action: str
    kind: str = ""
    name: str = ""
    detail: str | None = None


class NextFire(msgspec.Struct, frozen=True, kw_only=True):
    """When a job runs next by its schedule."""

    job: str
    at: str | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What applying a definition does."""

    project: str = ""
    changes: list[Change] = []
    next: list[NextFire] = []
    warnings: list[str] = []


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """A plan, and whether it was carried out."""

    plan: Plan
    applied: bool = False
    version: str | None = None
    """The digest of the definition."""
