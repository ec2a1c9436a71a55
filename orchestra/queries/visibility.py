"""The one place where lists are filtered by what somebody may see."""

from sqlalchemy import ColumnElement, Connection, select

from orchestra.errors import NotFound
from orchestra.identifiers import ProjectId
from orchestra.policy import Permission, Principal, Scope
from orchestra.storage.tables import projects


def within(scope: Scope, column: ColumnElement[int]) -> list[ColumnElement[bool]]:
    """The condition that leaves out what this scope does not cover; empty if it covers all."""
    return [] if scope.everywhere else [column.in_(scope.projects)]


def may_in(connection: Connection, who: Principal, permission: Permission, project: str) -> bool:
    """Whether this is allowed in the project of this name: for what a page offers. The command asks for itself."""
    scope = who.scope(permission)
    if scope.everywhere or scope.is_empty:
        return scope.everywhere
    found = connection.execute(select(projects.c.id).where(projects.c.name == project)).scalar_one_or_none()
    return found is not None and scope.covers(ProjectId(found))


def project_of_name(connection: Connection, who: Principal, name: str) -> ProjectId:
    """The project that this person means; raises NotFound for one that is not there or may not be seen."""
    found = connection.execute(select(projects.c.id).where(projects.c.name == name)).scalar_one_or_none()
    if found is None or not who.scope(Permission.READ).covers(ProjectId(found)):
        raise NotFound("project", name)
    return ProjectId(found)
