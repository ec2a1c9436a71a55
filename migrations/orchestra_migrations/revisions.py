"""What Alembic knows of the revisions; loaded only where a database must be changed, for it takes 8 MiB of memory."""

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from orchestra.errors import WrongSchemaVersion


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's settings, without an ini file."""
    config = Config()
    config.set_main_option("script_location", "orchestra_migrations:")
    if connection is not None:
        config.attributes["connection"] = connection
    return config


def newest_version() -> str:
    """The newest revision among the migrations."""
    head = ScriptDirectory.from_config(configuration()).get_current_head()
    assert head is not None, "the wheel lacks its migrations"
    return head


def run_revisions(connection: Connection, *, found: str | None) -> None:
    """Brings a database that was found at this version to the newest one; raises WrongSchemaVersion if it is newer."""
    try:
        command.upgrade(configuration(connection), "head")
    except CommandError:
        # Alembic does not know the revision: a newer program made it.
        raise WrongSchemaVersion(found, newest_version()) from None
