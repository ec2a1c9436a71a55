"""The table of roles and permissions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.errors import NotAllowed, NotFound
from orchestra.identifiers import ProjectId, UserId
from orchestra.policy import (
    INSTANCE_PERMISSIONS,
    ROLE_PERMISSIONS,
    Grant,
    Permission,
    Principal,
    Role,
    scopes_of,
)

OPS, SHOP = ProjectId(1), ProjectId(2)


def principal(*grants: Grant) -> Principal:
    return Principal(user_id=UserId(1), name="ana", scopes=scopes_of(grants), grants=grants)


def test_every_role_has_a_row_and_the_worker_has_no_right_in_the_api() -> None:
    assert ROLE_PERMISSIONS.keys() == set(Role)
    assert ROLE_PERMISSIONS[Role.WORKER] == {Permission.CONNECT_WORKER}


def test_an_administrator_has_every_right_of_people() -> None:
    assert ROLE_PERMISSIONS[Role.ADMINISTRATOR] == set(Permission) - {Permission.CONNECT_WORKER}


def test_an_auditor_changes_nothing() -> None:
    changing = {
        Permission.RUN,
        Permission.SWITCH_JOBS,
        Permission.STEER_WORKERS,
        Permission.DEFINE,
        Permission.MANAGE_USERS,
    }
    assert not ROLE_PERMISSIONS[Role.AUDITOR] & changing


def test_somebody_without_a_role_has_nothing() -> None:
    assert all(principal().scope(permission).is_empty for permission in Permission)


@given(st.lists(st.tuples(st.sampled_from(Role), st.sampled_from([None, OPS, SHOP])), max_size=5))
def test_another_grant_never_takes_a_right_away(pairs: list[tuple[Role, ProjectId | None]]) -> None:
    grants = [Grant(role=role, project_id=project) for role, project in pairs]

    for count in range(len(grants)):
        fewer, more = principal(*grants[:count]), principal(*grants[: count + 1])
        for permission in Permission:
            for project in (OPS, SHOP):
                assert more.scope(permission).covers(project) >= fewer.scope(permission).covers(project)


@given(st.sampled_from(Role), st.sampled_from(sorted(INSTANCE_PERMISSIONS)))
def test_a_role_in_one_project_gives_no_right_over_the_instance(role: Role, permission: Permission) -> None:
    assert not principal(Grant(role=role, project_id=OPS)).may(permission)


def test_what_may_not_be_seen_is_not_found_and_what_may_be_seen_is_not_allowed() -> None:
    viewer = principal(Grant(role=Role.VIEWER, project_id=OPS))

    with pytest.raises(NotAllowed, match="you lack the permission 'trigger and stop runs'"):
        viewer.require_in(Permission.RUN, OPS, "run", 7)
    with pytest.raises(NotFound, match="there is no run #7"):
        viewer.require_in(Permission.RUN, SHOP, "run", 7)
