"""What Alembic runs to reach the database: it takes the open connection that `upgrade` gives it, and no ini file."""

from alembic import context
from sqlalchemy import Connection

from orchestra.storage.indexes import metadata


def migrate() -> None:
    """Runs the revisions on the given connection, in the transaction that its owner has begun."""
    connection = context.config.attributes["connection"]
    assert isinstance(connection, Connection), "call orchestra_migrations.upgrade: there is no ini file to connect with"
    # SQLite cannot alter a table in place; batch mode copies it and drops its triggers: a revision makes them again.
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


migrate()
