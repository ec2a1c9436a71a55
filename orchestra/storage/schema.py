"""Which schema this program needs, and whether a database has it."""

from sqlalchemy import Connection, inspect, text

from orchestra.errors import WrongSchemaVersion

SCHEMA_VERSION = "0001"
"""The newest revision of the migrations, which live above this package; a test compares the two."""


def found_version(connection: Connection) -> str | None:
    """The revision that the database is at; None if it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar_one_or_none()


def require_version(connection: Connection) -> None:
    """Raises WrongSchemaVersion if the database was made by another version of the product."""
    found = found_version(connection)
    if found != SCHEMA_VERSION:
        raise WrongSchemaVersion(found, SCHEMA_VERSION)
