"""What a definition says for all projects: whether its locks agree with theirs, and who may change its slots."""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection

from orchestra.commands.refusals import RefusedByOthers
from orchestra.definition.checks import fields_of
from orchestra.definition.faults import Fault
from orchestra.definition.policy_checks import too_many
from orchestra.definition.policy_names import locks_taken
from orchestra.errors import NotAllowed
from orchestra.identifiers import ProjectId
from orchestra.policy import Permission, Principal
from orchestra.specification import JobSpecification, ProjectDefinition
from orchestra.storage.declared_locks import DeclaredLock, LockUser, declared_locks, lock_users
from orchestra.storage.projects import ProjectRecord

_USERS_NAMED_MAX = 3


class LocksRefused(RefusedByOthers):
    """Locks are declared, or taken, as other projects do not allow; a later try may succeed."""


class SlotsNotAllowed(NotAllowed):
    """Somebody may change a project, but not what it is to have of the workers' slots."""

    def __init__(self, project: str, action: str) -> None:
        super().__init__(action)
        self.project = project

    def __str__(self) -> str:
        return (
            f"the share and the reserve of {self.project!r} take slots from all projects, and you lack the permission "
            f"{self.action!r}: ask an administrator for a role that has it, or leave `slots` as it is"
        )


def require_slots(before: ProjectRecord | None, definition: ProjectDefinition, who: Principal | None) -> None:
    """Raises NotAllowed for somebody who changes what a project is to have of the slots, which all projects share.

    `who` is None for a file that was given to the master, which may say everything.
    """
    share, reserve = (before.share, before.reserve) if before else (1, None)
    if (share, reserve) == (definition.share, definition.reserve):
        return
    if who is not None and not who.may(Permission.STEER_WORKERS):
        raise SlotsNotAllowed(definition.name, Permission.STEER_WORKERS.value)


def require_locks(connection: Connection, definition: ProjectDefinition, who: Principal | None) -> None:
    """Raises LocksRefused; `who` decides which projects it may name, None is a file that was given to the master."""
    declared = declared_locks(connection)
    foreign = {name: lock for name, lock in declared.items() if lock.project != definition.name}
    own = {name: lock.capacity for name, lock in declared.items() if lock.project == definition.name}
    problems = fields_of(
        [
            *_taken_names(definition, foreign, who),
            *_lowered(connection, definition, own, who),
            *_never_met(definition, foreign),
        ]
    )
    if problems:
        raise LocksRefused(problems)


def _taken_names(
    definition: ProjectDefinition, foreign: Mapping[str, DeclaredLock], who: Principal | None
) -> Iterator[Fault]:
    for name in definition.locks:
        if name in foreign:
            lock = foreign[name]
            owner = f"the project `{lock.project}`" if _may_read(who, lock.project_id) else "another project"
            yield Fault(("locks", name), f"is declared by {owner} already", "remove it here, or there first")


def _lowered(
    connection: Connection, definition: ProjectDefinition, before: Mapping[str, int], who: Principal | None
) -> Iterator[Fault]:
    """Locks of which there would be fewer than jobs of other projects take at a time."""
    after = {name: definition.locks.get(name, 1) for name in before}
    lowered = {name: count for name, count in after.items() if count < before[name]}
    users = lock_users(connection, other_than=definition.name) if lowered else []
    for name, count in lowered.items():
        taken = {user.name: _taken_at_a_time(user.specification, name) for user in users}
        takers = [user for user in users if taken[user.name] > count]
        if takers:
            most = max(taken.values())
            sentence = f"would be {count}, but {_named(takers, who)} up to {most} at a time"
            yield Fault(("locks", name), sentence, f"keep `{name}: {most}`, or change them first")


def _taken_at_a_time(specification: JobSpecification, name: str) -> int:
    """How much of the lock one run may take, as far as that is known."""
    taken = locks_taken(specification.policies.locks, specification.parameters)
    return taken[name].count if name in taken else 0


def _named(takers: Sequence[LockUser], who: Principal | None) -> str:
    seen = [f"`{user.name}`" for user in takers if _may_read(who, user.project_id)][:_USERS_NAMED_MAX]
    others = len(takers) - len(seen)
    if others:
        seen.append(f"{others} more" if seen else "jobs of other projects")
    return f"{' and '.join(seen)} take{'s' if len(takers) == 1 and not others else ''}"


def _never_met(definition: ProjectDefinition, foreign: Mapping[str, DeclaredLock]) -> Iterator[Fault]:
    """Jobs that take more than there is of a lock that this file does not declare."""
    for job in definition.jobs:
        path = ("jobs", job.name, "locks")
        for name, taken in locks_taken(job.specification.policies.locks, job.specification.parameters).items():
            if name in definition.locks:
                continue
            if name in foreign and taken.count > foreign[name].capacity:
                yield too_many(name, taken, foreign[name].capacity, path)
            elif name not in foreign and taken.count > 1:
                sentence = f"takes {taken.count} of the lock `{name}`, of which there is 1: no project declares it"
                remedy = f"add `locks: {{ {name}: {taken.count} }}`, or apply the definition that has it first"
                yield Fault((*path, str(taken.places[-1])), sentence, remedy)


def _may_read(who: Principal | None, project: ProjectId) -> bool:
    return who is None or who.scope(Permission.READ).covers(project)
