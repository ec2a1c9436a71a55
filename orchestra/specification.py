"""What a job is, as plain data: what definitions are read into, what versions are stored as, and what offers carry."""

from enum import StrEnum

import msgspec

from orchestra.elements import Pipeline
from orchestra.limits import DELAY_SECONDS_MAX, REPLACE_MARGIN_SECONDS
from orchestra.policies import NO_POLICIES, Policies
from orchestra.timetable import Timetable

PropertyValue = str | int | float | bool
"""A property of a worker, or a typed parameter's value, as JSON has it."""


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One command of a job: exactly one of `run` (text for /bin/sh -e) and `command` (arguments, templates in them)."""

    name: str
    run: str | None = None
    command: tuple[str, ...] | None = None
    timeout_seconds: float | None = None
    """Of this step alone, from its start."""


class Execution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker executes, and within which bounds."""

    steps: tuple[Step, ...]
    setup: tuple[Step, ...] = ()
    """Before the steps; a failure here is an exception, not a failed run."""
    teardown: tuple[Step, ...] = ()
    """After success, failure and abort alike."""
    environment: dict[str, str] = {}
    directory: str | None = None
    """Absolute, or relative to the workspace that is kept per project and worker."""
    timeout_seconds: float | None = None
    """Of set-up and steps together; none by default."""
    silence_seconds: float | None = None
    """Nothing printed and nothing checked in for so long ends the run: set-up and steps, not the teardown."""
    grace_seconds: float = 10.0
    """Between SIGTERM and SIGKILL."""
    disconnect_stop_seconds: float | None = None
    """`disconnect: stop 5m`: the worker ends the run after so long without an answered heartbeat. None is `keep`."""


class Operator(StrEnum):
    """How a requirement compares a property."""

    IN = "in"
    NOT_IN = "not in"
    AT_LEAST = ">="
    AT_MOST = "<="
    ABOVE = ">"
    BELOW = "<"


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a job asks of a worker's property.

    The ordering operators take exactly one number (or a size such as "32GB").
    """

    name: str
    operator: Operator
    values: tuple[PropertyValue, ...]


class Wish(Requirement, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a job would like of a worker, or would rather do without."""

    weight: int = 1


class Placement(StrEnum):
    """Which of several workers that are equally welcome gets a run."""

    SPREAD = "spread"
    """The one with the most free slots."""
    PACK = "pack"
    """The one with the fewest free slots that still fit, so that whole machines stay empty."""


class Matching(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything a job asks of a worker; its canonical JSON makes the requirement signature."""

    requirements: tuple[Requirement, ...] = ()
    prefer: tuple[Wish, ...] = ()
    """Of the workers that match, the one is taken whose fulfilled wishes weigh most."""
    avoid: tuple[Wish, ...] = ()
    """Wishes against: one that is fulfilled counts against the worker."""
    placement: Placement = Placement.SPREAD
    sticky: bool = False
    """Rather than anything else that is wished: the worker where the job last succeeded."""
    slots: int = 1


class ParameterType(StrEnum):
    """The kinds of parameters."""

    STRING = "string"
    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    DURATION = "duration"
    SECRET = "secret"  # noqa: S105 - a kind of parameter, not a password


class Parameter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One typed parameter of a job.

    A duration's value is text such as "10m"; the minimum and maximum of a duration are seconds.
    """

    name: str
    type: ParameterType = ParameterType.STRING
    pattern: str | None = None
    """A regular expression that the whole text must match."""
    options: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    required: bool = False
    default: PropertyValue | None = None
    example: str | None = None
    help: str = ""


class RetryCause(StrEnum):
    """Why an attempt may be followed by another; `exit:75` names one exit code and is kept as text."""

    EXIT = "exit"
    TIMEOUT = "timeout"
    LOST = "lost"
    EXCEPTION = "exception"
    """Our side or the worker failed; a failed set-up is one of these."""
    SETUP = "setup"


def names_of_cause(cause: str) -> tuple[str, ...]:
    """By which names a policy may mean such an end: `exit:75` is `exit` too, `setup` is `exception` too."""
    if cause == RetryCause.SETUP:
        return RetryCause.SETUP, RetryCause.EXCEPTION
    kind = cause.partition(":")[0]
    return (cause,) if kind == cause else (cause, kind)


class Jitter(StrEnum):
    """How the waits before attempts are spread, so that what failed together does not come back together."""

    NONE = "none"
    FULL = "full"
    """From nothing to the whole wait."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When and how often a run gets another attempt by itself."""

    max_attempts: int = 1
    wait_seconds: float = 60.0
    factor: float = 1.0
    """Each wait is so many times the one before."""
    max_wait_seconds: float = DELAY_SECONDS_MAX
    """No wait is longer, however often it has grown."""
    jitter: Jitter = Jitter.NONE
    on: tuple[str, ...] = (RetryCause.EXIT, RetryCause.TIMEOUT, RetryCause.LOST)
    never: tuple[str, ...] = ()
    """After one of these there is no other attempt, whatever `on` says."""
    avoid_worker: bool = False
    """The next attempt goes to another worker than the last, if another one matches."""


class JobSpecification(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job as defined; stored as one version, to which its runs point."""

    execution: Execution
    """Without steps if it is a pipeline."""
    pipeline: Pipeline | None = None
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    matching: Matching = Matching()
    retry: RetryPolicy = RetryPolicy()
    policies: Policies = NO_POLICIES
    priority: int = 0
    """From -100 to 100; higher goes first."""
    lost_after_seconds: float = 7 * 86_400.0
    expire_after_seconds: float = 86_400.0
    """A run that has waited so long for a worker is cancelled."""
    wrapped: bool = False
    """It has no steps of its own: something else starts it, and `orchestra wrap` records its runs."""

    @property
    def given_up_after_seconds(self) -> float:
        """For how long a worker must be out of contact before its attempt counts as lost.

        With `disconnect: stop` never before the worker has surely ended it, whatever `lost-after` says: the next
        attempt would run beside it.
        """
        lease = self.execution.disconnect_stop_seconds
        if lease is None:
            return self.lost_after_seconds
        # Steps and teardown are each given their grace.
        kills = self.execution.grace_seconds * (2 if self.execution.teardown else 1)
        return max(self.lost_after_seconds, lease + kills + REPLACE_MARGIN_SECONDS)


class Overlap(StrEnum):
    """What a due instant does while a run of the same job is not over."""

    SKIP = "skip"
    """No run: one at a time."""
    QUEUE = "queue"
    """A run that waits until those before it are over."""
    ALLOW = "allow"
    """A run beside them."""
    CANCEL_PREVIOUS = "cancel-previous"
    """They are stopped; the new one waits until they are over."""


class CatchUp(StrEnum):
    """What becomes of instants that nobody decided about in time, because no master was there or it was paused."""

    NONE = "none"
    LATEST = "latest"
    """The newest of them makes a run, unless a newer instant does."""
    ALL = "all"
    """Each makes a run, the newest `catch_up_limit` of them at most, the oldest first."""


class ScheduleSpecification(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a job runs by itself, and what becomes of an instant that comes at a bad time."""

    timetable: Timetable
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.LATEST
    catch_up_limit: int = 100
    grace_seconds: float = 60.0
    """An instant that is decided later than this is late: what becomes of it is for `catch_up` to say."""
    jitter_seconds: float = 0.0
    """The run begins up to so much later than its instant; how much depends on nothing but job and instant."""
    parameters: dict[str, PropertyValue] = {}


class ExpectationSpecification(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That runs of a job are expected to start, whoever starts them: exactly one of `every_seconds` and `timetable`."""

    every_seconds: float | None = None
    """So long after the start of the one before."""
    timetable: Timetable | None = None
    """At its instants."""
    grace_seconds: float = 3600.0
    """A run that has not started so long after it was expected is missed."""


class JobDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named job with its schedule."""

    name: str
    specification: JobSpecification
    schedule: ScheduleSpecification | None = None
    expect: ExpectationSpecification | None = None
    enabled: bool = True


class SlotReserve(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Slots that are kept free for a project's own runs, among the workers that have what is asked."""

    count: int
    requirements: tuple[Requirement, ...] = ()


class ProjectDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A project with its jobs: what one definition file says."""

    name: str
    description: str = ""
    locks: dict[str, int] = {}
    """Those that it declares for all projects, and how many of each there are."""
    share: int = 1
    """What its runs get of the workers' slots, beside those of other projects."""
    reserve: SlotReserve | None = None
    jobs: tuple[JobDefinition, ...] = ()
