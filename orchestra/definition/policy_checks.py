"""What the policies of a job must hold to be usable, and what of them is only unwise."""

from collections.abc import Iterator, Mapping, Sequence

from orchestra.definition import bounds
from orchestra.definition.faults import Fault, bound_fault
from orchestra.definition.policy_names import Taken, locks_taken, name_faults
from orchestra.definition.problems import Path
from orchestra.durations import format_duration
from orchestra.policies import LockDemand, Uniqueness, UniqueScope
from orchestra.specification import JobDefinition, JobSpecification, Parameter, ProjectDefinition

_MOMENT_SECONDS = 1.0


def policy_faults(specification: JobSpecification, locks: Mapping[str, int], path: Path) -> Iterator[Fault]:
    """Everything that forbids to use the policies of the job at this path; `locks` are those that its file declares."""
    policies, parameters = specification.policies, specification.parameters
    yield from _stranger_faults(specification, path)
    group = policies.concurrency
    if group is not None:
        place = (*path, "concurrency")
        yield from bound_fault(group.limit, bounds.CONCURRENCY_LIMIT, (*place, "limit"))
        if group.group is not None:
            yield from name_faults(group.group, parameters, (*place, "group"))
    yield from _lock_faults(policies.locks, parameters, locks, (*path, "locks"))
    if policies.rate is not None:
        yield from bound_fault(policies.rate.starts, bounds.RATE_STARTS, (*path, "rate", "starts"))
        yield from bound_fault(policies.rate.per_seconds, bounds.RATE_PER, (*path, "rate", "per"))
    if policies.unique is not None:
        yield from _unique_faults(policies.unique, parameters, (*path, "unique"))
    if policies.poison is not None:
        yield from bound_fault(policies.poison.lost, bounds.POISON_LOST, (*path, "poison", "lost"))
        yield from bound_fault(policies.poison.within_seconds, bounds.POISON_WITHIN, (*path, "poison", "within"))


def policy_hints(specification: JobSpecification, locks: Mapping[str, int], path: Path) -> Iterator[Fault]:
    """What is allowed, but does not do what it seems to, or cannot be checked here."""
    rate, unique = specification.policies.rate, specification.policies.unique
    if rate is not None and rate.per_seconds > specification.expire_after_seconds:
        expiry = format_duration(specification.expire_after_seconds)
        sentence = f"is longer than `expire-after` of {expiry}: what waits for it is cancelled before"
        yield Fault((*path, "rate"), sentence, f"add `expire-after: {format_duration(2 * rate.per_seconds)}`")
    if unique is not None and unique.window_seconds is not None and unique.window_seconds < _MOMENT_SECONDS:
        shown = format_duration(unique.window_seconds)
        yield Fault((*path, "unique", "scope"), f"looks back for {shown} only", "did you mean `window 1m`?")
    for name, taken in locks_taken(specification.policies.locks, specification.parameters).items():
        if taken.count > 1 and name not in locks:
            sentence = f"takes {taken.count} of the lock `{name}`, of which there is 1 unless a project declares it"
            remedy = f"add `locks: {{ {name}: {taken.count} }}` to this file, or apply the one that has it first"
            yield Fault((*path, "locks", str(taken.places[-1])), sentence, remedy)


def group_hints(definition: ProjectDefinition) -> Iterator[Fault]:
    """Groups whose jobs do not agree how many of them may run: each holds itself to its own limit."""
    first: dict[str, JobDefinition] = {}
    for job in definition.jobs:
        group = job.specification.policies.concurrency
        if group is None:
            continue
        other = first.setdefault(group.group or job.name, job)
        limit = other.specification.policies.concurrency
        if limit is not None and limit.limit != group.limit:
            sentence = f"is {group.limit}, but {limit.limit} in `{other.name}`, which is of the same group"
            path = ("jobs", job.name, "concurrency", "limit")
            yield Fault(path, sentence, "each job holds itself to its own limit; write the same, or rename one group")


def _stranger_faults(specification: JobSpecification, path: Path) -> Iterator[Fault]:
    """A file is told of each key of a pipeline when it is read; this is for what comes from a program as well."""
    policies = specification.policies
    given = {
        "concurrency": policies.concurrency is not None,
        "locks": bool(policies.locks),
        "rate": policies.rate is not None,
        "unique": policies.unique is not None,
        "poison": policies.poison is not None,
    }
    for key in [key for key, is_given in given.items() if is_given]:
        if specification.wrapped:
            yield Fault((*path, key), "means nothing for a job that is `wrapped`", f"remove `{key}`, or `wrapped`")
        elif specification.pipeline is not None and key != "unique":
            sentence = "means nothing here: a pipeline runs nothing by itself"
            yield Fault((*path, key), sentence, "give it to the jobs of its elements")


def _lock_faults(
    demands: Sequence[LockDemand], parameters: Sequence[Parameter], declared: Mapping[str, int], path: Path
) -> Iterator[Fault]:
    if len(demands) > bounds.LOCKS_MAX:
        yield Fault(path, f"names more than {bounds.LOCKS_MAX} locks", "take one for all of them")
    seen: set[str] = set()
    for index, lock in enumerate(demands):
        place = (*path, str(index))
        yield from name_faults(lock.name, parameters, (*place, "name"))
        yield from bound_fault(lock.count, bounds.LOCK_COUNT, (*place, "count"))
        if lock.name in seen:
            yield Fault(place, f"names the lock `{lock.name}` again", "name it once, with a `count`")
            return
        seen.add(lock.name)
    if all(lock.count in bounds.LOCK_COUNT for lock in demands):
        for name, taken in locks_taken(demands, parameters).items():
            if taken.count > declared.get(name, taken.count):
                yield too_many(name, taken, declared[name], path)


def too_many(name: str, taken: Taken, capacity: int, path: Path) -> Fault:
    """That a run takes more of a lock than there is; the path is that of the job's `locks`."""
    repair = f"write `count: {capacity}`" if len(taken.places) == 1 else "name it once"
    sentence = f"takes {taken.count} of the lock `{name}`, of which there is {capacity}: it would wait for ever"
    return Fault((*path, str(taken.places[-1]), "count"), sentence, f"{repair}, or raise the capacity of the lock")


def _unique_faults(unique: Uniqueness, parameters: Sequence[Parameter], path: Path) -> Iterator[Fault]:
    yield from name_faults(unique.key, parameters, (*path, "key"))
    window = unique.window_seconds
    if window is not None and window not in bounds.UNIQUE_WINDOW:
        sentence = f"must look back {bounds.UNIQUE_WINDOW}, got {format_duration(window)}"
        yield Fault((*path, "scope"), sentence, "write `scope: window 1h`")
    if (unique.scope is UniqueScope.WINDOW) != (unique.window_seconds is not None):
        yield Fault((*path, "scope"), "needs a duration with `window`, and nowhere else", "write `scope: window 1h`")
