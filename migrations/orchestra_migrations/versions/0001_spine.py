"""The first schema: all tables and triggers."""

from alembic import op

from orchestra.storage.tables import metadata
from orchestra_migrations.triggers import create_triggers

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes everything."""
    # Until the first release there is no database to keep, and this revision follows the tables; from then on it is
    # frozen into explicit operations, and every change of the tables is a revision of its own.
    connection = op.get_bind()
    metadata.create_all(connection)
    create_triggers(connection)
