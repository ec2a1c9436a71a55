"""Projects and the definitions that were applied to them, newest last."""

from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, insert, select, update

from orchestra.clock import Instant
from orchestra.errors import NotFound
from orchestra.identifiers import ProjectId
from orchestra.specification import ProjectDefinition, SlotReserve
from orchestra.storage.tables import definitions, projects
from orchestra.storage.upserts import insert_into


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectRecord:
    """A project as it is stored."""

    id: ProjectId
    name: str
    description: str
    owner_file: str | None
    """The definition file that owns the project; None if it belongs to the API."""
    created_at: Instant
    share: int = 1
    reserve: SlotReserve | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DefinitionRecord:
    """A definition that was applied."""

    document: str
    digest: str
    source: str
    applied_at: Instant
    applied_by: str


def has_project(connection: Connection, name: str) -> bool:
    """Whether there is a project of this name."""
    return connection.execute(select(projects.c.id).where(projects.c.name == name)).first() is not None


def find_project(connection: Connection, name: str, *, lock: bool = False) -> ProjectRecord:
    """The project of this name; with `lock` nobody else applies to it before this transaction ends. Raises NotFound."""
    query = select(projects).where(projects.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("project", name)
    return ProjectRecord(
        id=ProjectId(row.id),
        name=row.name,
        description=row.description,
        owner_file=row.owner_file,
        created_at=Instant(row.created_at),
        share=row.share,
        reserve=None if row.reserve is None else msgspec.json.decode(row.reserve, type=SlotReserve),
    )


def claim_project(
    connection: Connection, name: str, *, description: str, owner_file: str | None, now: Instant
) -> ProjectRecord:
    """The project of this name, locked; made now if there was none. Two that make it at once get the same one."""
    connection.execute(
        insert_into(projects, connection.dialect.name).on_conflict_do_nothing(index_elements=["name"]),
        {"name": name, "description": description, "owner_file": owner_file, "created_at": now},
    )
    return find_project(connection, name, lock=True)


def describe_project(
    connection: Connection, project: ProjectId, definition: ProjectDefinition, *, owner_file: str | None
) -> None:
    """Writes down what a new definition says about the project itself."""
    reserve = definition.reserve
    connection.execute(
        update(projects)
        .where(projects.c.id == project)
        .values(
            description=definition.description,
            owner_file=owner_file,
            share=definition.share,
            reserve=None if reserve is None else msgspec.json.encode(reserve).decode(),
        )
    )


def newest_definition(connection: Connection, project: ProjectId) -> DefinitionRecord | None:
    """The definition that holds now, or None if none was ever applied."""
    row = connection.execute(
        select(definitions).where(definitions.c.project_id == project).order_by(definitions.c.id.desc()).limit(1)
    ).one_or_none()
    if row is None:
        return None
    return DefinitionRecord(
        document=row.document,
        digest=row.digest,
        source=row.source,
        applied_at=Instant(row.applied_at),
        applied_by=row.applied_by,
    )


def add_definition(connection: Connection, project: ProjectId, definition: DefinitionRecord) -> None:
    """Appends the definition that holds from now on."""
    connection.execute(
        insert(definitions).values(
            project_id=project,
            document=definition.document,
            digest=definition.digest,
            source=definition.source,
            applied_at=definition.applied_at,
            applied_by=definition.applied_by,
        )
    )
