"""What roles are trusted with, and what somebody may do because of them."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from orchestra.policy import (
    GLOBAL_ROLES,
    INSTANCE_PERMISSIONS,
    ROLE_PERMISSIONS,
    Grant,
    Permission,
    Role,
    scopes_of,
)
from orchestra.storage.access import find_user, grants_of


class RolePermissionsView(msgspec.Struct, frozen=True, kw_only=True):
    """A role with what it is trusted with."""

    role: Role
    permissions: tuple[str, ...]
    is_global: bool
    """Whether it is never bound to a project."""


class PermissionView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether somebody may do this, where, and why."""

    permission: str
    meaning: str
    everywhere: bool
    projects: tuple[str, ...]
    by: tuple[str, ...]
    """The roles that give it: `operator`, `operator@ops`. Empty: not allowed."""


def word_of(permission: Permission) -> str:
    """`STEER_WORKERS` as `steer-workers`."""
    return permission.name.lower().replace("_", "-")


def list_roles() -> Sequence[RolePermissionsView]:
    """Every role, as the policy has it."""
    return [
        RolePermissionsView(
            role=role,
            permissions=tuple(word_of(permission) for permission in Permission if permission in ROLE_PERMISSIONS[role]),
            is_global=role in GLOBAL_ROLES,
        )
        for role in Role
    ]


def permissions_of(connection: Connection, name: str) -> Sequence[PermissionView]:
    """Every permission of people, with whether the user of this name has it; raises NotFound.

    A user that is disabled has none.
    """
    user = find_user(connection, name)
    grants = grants_of(connection, user.id) if user.disabled_at is None else ()
    return [_view(permission, grants) for permission in Permission if permission is not Permission.CONNECT_WORKER]


def _view(permission: Permission, grants: Sequence[Grant]) -> PermissionView:
    given = [grant for grant in grants if _gives(grant, permission)]
    scope = scopes_of(given).get(permission)
    everywhere = scope is not None and scope.everywhere
    return PermissionView(
        permission=word_of(permission),
        meaning=permission.value,
        everywhere=everywhere,
        projects=() if everywhere else tuple(sorted({grant.project for grant in given if grant.project is not None})),
        by=tuple(f"{grant.role}@{grant.project}" if grant.project else str(grant.role) for grant in given),
    )


def _gives(grant: Grant, permission: Permission) -> bool:
    if permission not in ROLE_PERMISSIONS[grant.role]:
        return False
    return grant.project_id is None or permission not in INSTANCE_PERMISSIONS
