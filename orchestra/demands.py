"""What a run must get before it may start, by its job's policies and its own parameters; its signature and turn."""

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from orchestra.clock import Instant, after
from orchestra.formatter import format_argument
from orchestra.identifiers import ProjectId, Signature
from orchestra.limits import POINT_OF_PRIORITY_SECONDS, RESOURCE_CHARACTERS_MAX
from orchestra.matching import PIPELINE, signature_of
from orchestra.policies import Policies
from orchestra.specification import JobSpecification, Matching, PropertyValue


class ResourceKind(StrEnum):
    """What limits how many runs there are of something."""

    GROUP = "group"
    LOCK = "lock"
    RATE = "rate"


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """So many of a resource, of which there are so many at most."""

    resource: str
    """A ResourceKind, a space, and the name: "group ops/deploy-production", "lock license", "rate ops/scan"."""
    amount: int = 1
    most: int = 1
    """Of a lock that a definition declares, its capacity counts instead."""
    window_seconds: float | None = None
    """Of a rate: so many starts in any period of this length."""

    @property
    def kind(self) -> ResourceKind:
        """What limits it."""
        return ResourceKind(self.resource.partition(" ")[0])

    @property
    def name(self) -> str:
        """Of the resource, among those of its kind."""
        return self.resource.partition(" ")[2]

    @property
    def stock(self) -> str:
        """What is counted for it: for a rate that was changed while runs waited both lengths have starts of their
        own."""
        return self.resource if self.window_seconds is None else f"{self.resource} {self.most}/{self.window_seconds}"


def demands_of(
    policies: Policies, *, project: str, job: str, parameters: Mapping[str, PropertyValue]
) -> tuple[Demand, ...]:
    """What a run of the job with these parameters demands, in the order of the resources' names.

    Raises UnknownValue and BadTemplate for a template that these parameters do not fill in.
    """
    found: dict[str, Demand] = {}
    group = policies.concurrency
    if group is not None:
        name = job if group.group is None else filled_in(group.group, parameters)
        found[""] = Demand(resource=_resource(ResourceKind.GROUP, f"{project}/{name}"), most=group.limit)
    for lock in policies.locks:
        resource = _resource(ResourceKind.LOCK, filled_in(lock.name, parameters))
        # Two templates may come to the same lock: it is taken once, as often as both say.
        count = lock.count + (found[resource].amount if resource in found else 0)
        found[resource] = Demand(resource=resource, amount=count)
    if policies.rate is not None:
        found["rate"] = Demand(
            resource=_resource(ResourceKind.RATE, f"{project}/{job}"),
            most=policies.rate.starts,
            window_seconds=policies.rate.per_seconds,
        )
    return tuple(sorted(found.values(), key=lambda each: each.resource))


def filled_in(template: str, parameters: Mapping[str, PropertyValue]) -> str:
    """A name that policies make of parameters: one line of bounded length, different for different texts."""
    text = format_argument(template, {"parameters": parameters})
    if len(text) <= RESOURCE_CHARACTERS_MAX and text.isprintable():
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    shown = "".join(each if each.isprintable() else "?" for each in text[: RESOURCE_CHARACTERS_MAX - 20])
    return f"{shown}… {digest}"


def signature_for(project: ProjectId, matching: Matching, demands: Sequence[Demand] = ()) -> Signature:
    """The same for two runs of a project that ask the same of a worker and demand the same besides."""
    asked = signature_of(matching)
    if not demands:
        return Signature(f"{project}.{asked}")
    digest = hashlib.sha256(asked.encode() + msgspec.json.encode(demands)).hexdigest()[:32]
    return Signature(f"{project}.{digest}{_DEMANDING}")


def signature_of_job(project: ProjectId, specification: JobSpecification) -> Signature:
    """Of its runs, as far as they demand nothing; of a pipeline one that no worker is to have."""
    return PIPELINE if specification.pipeline else signature_for(project, specification.matching)


def is_demanding(signature: str) -> bool:
    """Whether runs with this signature demand anything."""
    return signature.endswith(_DEMANDING)


def project_of(signature: str) -> ProjectId:
    """Whose runs have this signature."""
    return ProjectId(int(signature.partition(".")[0]))


def rank_of(ready_at: Instant, priority: int) -> int:
    """The turn of a run among those that wait, the smallest first: the moment at which it is ready, earlier by a
    constant for each point of priority. As all grow older alike, their order never changes."""
    return after(ready_at, -priority * POINT_OF_PRIORITY_SECONDS)


def _resource(kind: ResourceKind, name: str) -> str:
    return f"{kind} {name}"


_DEMANDING = "+"
DEMANDING_SIGNATURES = "%" + _DEMANDING
"""As SQL's `like` has it."""
