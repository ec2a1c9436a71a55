"""Which schema this program needs, and whether a database has it."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from orchestra.errors import WrongSchemaVersion

SCHEMA_VERSION = "0007"
"""The newest revision of the migrations, which live above this package; a test compares the two."""


def found_version(connection: Connection) -> str | None:
    """The revision that the database is at; None if it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar_one_or_none()


def require_file(path: Path) -> None:
    """Raises WrongSchemaVersion if there is no SQLite file, which opening it would make, in a folder that is there."""
    if path.parent.is_dir() and not path.exists():
        raise WrongSchemaVersion(None, SCHEMA_VERSION)


def require_version(connection: Connection) -> None:
    """Raises WrongSchemaVersion if the database was made by another version of the product."""
    found = found_version(connection)
    if found != SCHEMA_VERSION:
        raise WrongSchemaVersion(found, SCHEMA_VERSION)
