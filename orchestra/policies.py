"""When a run may start, as its job says it: groups, locks, rates, uniqueness, quarantine, as plain data."""

from enum import StrEnum

import msgspec


class WhenFull(StrEnum):
    """What becomes of a new run whose group is full."""

    QUEUE = "queue"
    """It waits."""
    CANCEL_PENDING = "cancel-pending"
    """It waits, in place of those that waited."""
    CANCEL_RUNNING = "cancel-running"
    """Those that run are stopped, and those that waited cancelled; it begins when they are over."""
    REJECT = "reject"
    """It is not made."""


class Concurrency(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many runs of a group may be under way at once."""

    group: str | None = None
    """A template such as `deploy-{parameters.env}`, a name within the project; None is the job alone."""
    limit: int = 1
    when_full: WhenFull = WhenFull.QUEUE


class LockDemand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run takes of a lock that jobs and projects share."""

    name: str
    """A template; locks have one namespace for all projects."""
    count: int = 1


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """How many attempts of a job may start in any period of this length."""

    starts: int
    per_seconds: float


class UniqueScope(StrEnum):
    """Among which runs a key is unique."""

    PENDING = "pending"
    """Those that wait: no worker has them yet."""
    ACTIVE = "active"
    """Those that are not over."""
    WINDOW = "window"
    """Those, and those that were made in the last so many seconds."""


class Conflict(StrEnum):
    """What becomes of a new run whose key another one has."""

    REJECT = "reject"
    RETURN_EXISTING = "return-existing"
    """The other one is the answer."""
    REPLACE = "replace"
    """The other one is stopped."""


class Uniqueness(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That no two runs of a job are about the same."""

    key: str
    """A template such as `{parameters.repo}`."""
    scope: UniqueScope = UniqueScope.ACTIVE
    window_seconds: float | None = None
    """Only with the scope `window`."""
    conflict: Conflict = Conflict.REJECT


class PoisonGuard(msgspec.Struct, frozen=True, kw_only=True):
    """When a job is taken for one that destroys what executes it."""

    lost: int
    """So many attempts that were lost …"""
    within_seconds: float
    """… in so short a time."""


class Policies(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a job says of when its runs may start, beyond which workers may have them."""

    concurrency: Concurrency | None = None
    locks: tuple[LockDemand, ...] = ()
    rate: Rate | None = None
    unique: Uniqueness | None = None
    poison: PoisonGuard | None = None

    @property
    def are_demanding(self) -> bool:
        """Whether a run must get something before it may start, beside a worker."""
        return self.concurrency is not None or bool(self.locks) or self.rate is not None


NO_POLICIES = Policies()
"""Of a job that says nothing. It is the default itself, and so is left out of what is stored; an equal one is not."""
