"""Who may do what: roles, permissions, and the one table between them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestra.errors import NotAllowed, NotFound
from orchestra.identifiers import ProjectId, TokenId, UserId


class Role(StrEnum):
    """What a person or program is trusted with."""

    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"
    """Reads everything, changes nothing."""
    OPERATOR = "operator"
    VIEWER = "viewer"
    WORKER = "worker"
    """Opens the worker channel; has no right in the API."""


class Permission(StrEnum):
    """What can be allowed, in the words of the refusal."""

    READ = "read projects, jobs, runs and logs"
    RUN = "trigger and stop runs"
    SWITCH_JOBS = "enable and disable jobs"
    STEER_WORKERS = "enable, drain and disable workers"
    DEFINE = "change definitions"
    READ_USERS = "read users and tokens"
    MANAGE_USERS = "manage users and tokens"
    READ_AUDIT = "read the audit"
    READ_METRICS = "read metrics"
    OWN_ACCOUNT = "use the own account"
    CONNECT_WORKER = "connect as a worker"


ROLE_PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.ADMINISTRATOR: frozenset(Permission) - {Permission.CONNECT_WORKER},
    Role.AUDITOR: frozenset(
        {
            Permission.READ,
            Permission.READ_USERS,
            Permission.READ_AUDIT,
            Permission.READ_METRICS,
            Permission.OWN_ACCOUNT,
        }
    ),
    Role.OPERATOR: frozenset(
        {
            Permission.READ,
            Permission.RUN,
            Permission.SWITCH_JOBS,
            Permission.STEER_WORKERS,
            Permission.READ_METRICS,
            Permission.OWN_ACCOUNT,
        }
    ),
    Role.VIEWER: frozenset({Permission.READ, Permission.READ_METRICS, Permission.OWN_ACCOUNT}),
    Role.WORKER: frozenset({Permission.CONNECT_WORKER}),
}

GLOBAL_ROLES = frozenset({Role.ADMINISTRATOR, Role.AUDITOR, Role.WORKER})
"""These are never bound to a project."""

INSTANCE_PERMISSIONS = frozenset(
    {
        Permission.STEER_WORKERS,
        Permission.READ_USERS,
        Permission.MANAGE_USERS,
        Permission.READ_AUDIT,
        Permission.READ_METRICS,
    }
)
"""These concern the whole instance: a role that is bound to projects does not give them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """A role that somebody has, in one project or (None) in all."""

    role: Role
    project_id: ProjectId | None = None
    project: str | None = None
    """The project's name, for people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """The projects in which something is allowed."""

    everywhere: bool
    projects: frozenset[ProjectId] = frozenset()

    def covers(self, project: ProjectId) -> bool:
        """Whether the project is one of them."""
        return self.everywhere or project in self.projects

    @property
    def is_empty(self) -> bool:
        """Nowhere at all."""
        return not self.everywhere and not self.projects


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who asks, with everything that decides what is allowed."""

    user_id: UserId
    name: str
    scopes: Mapping[Permission, Scope]
    grants: tuple[Grant, ...] = ()
    via: str = "token"
    """"token", "session" or "system"."""
    token_id: TokenId | None = None
    session_id: int | None = None
    session_digest: str | None = None
    zone: str = "UTC"
    """In which this person reads instants: an IANA name."""
    address: str = ""
    """From where the request came."""
    request: str = ""
    """The id of the request, as in X-Request-Id."""

    @property
    def actor(self) -> str:
        """As it stands in histories and audit entries."""
        return f"user {self.name}"

    def scope(self, permission: Permission) -> Scope:
        """Where this is allowed."""
        return self.scopes.get(permission, NOWHERE)

    def may(self, permission: Permission) -> bool:
        """Whether this is allowed anywhere."""
        return permission in self.scopes

    def require(self, permission: Permission) -> None:
        """Raises NotAllowed unless this is allowed somewhere."""
        if permission not in self.scopes:
            raise NotAllowed(permission.value)

    def require_in(self, permission: Permission, project: ProjectId, kind: str, name: str | int) -> None:
        """Raises NotAllowed, or NotFound for an object that this person may not even see."""
        if not self.scope(Permission.READ).covers(project):
            raise NotFound(kind, name)
        if not self.scope(permission).covers(project):
            raise NotAllowed(permission.value)


NOWHERE = Scope(everywhere=False)
EVERYWHERE = Scope(everywhere=True)


def scopes_of(grants: Iterable[Grant]) -> Mapping[Permission, Scope]:
    """What the grants allow, and where; a permission that is not there is not given."""
    scopes: dict[Permission, Scope] = {}
    for grant in grants:
        for permission in ROLE_PERMISSIONS[grant.role]:
            if grant.project_id is None:
                scopes[permission] = EVERYWHERE
            elif permission is Permission.OWN_ACCOUNT:
                scopes.setdefault(permission, EVERYWHERE)
            elif permission not in INSTANCE_PERMISSIONS:
                known = scopes.get(permission, NOWHERE)
                scopes[permission] = Scope(everywhere=known.everywhere, projects=known.projects | {grant.project_id})
    return scopes


TOKEN_SCOPES: Mapping[str, Permission] = {
    permission.name.lower().replace("_", "-"): permission
    for permission in Permission
    if permission not in (Permission.OWN_ACCOUNT, Permission.CONNECT_WORKER)
}
"""What a token can be limited to, by the words of the API. Not the own account: it makes tokens without limits."""


def limited(
    scopes: Mapping[Permission, Scope], permissions: frozenset[Permission] | None
) -> Mapping[Permission, Scope]:
    """What is left of the scopes for these permissions; None: everything."""
    if permissions is None:
        return scopes
    return {permission: scope for permission, scope in scopes.items() if permission in permissions}
