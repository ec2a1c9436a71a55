"""INSERTs that may meet a row that is there: one clause, which SQLAlchemy has in the dialect of each database."""

from typing import TYPE_CHECKING

from sqlalchemy import Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

DIALECTS = ("sqlite", "postgresql")


def insert_into(table: Table, dialect: str) -> "sqlite.Insert | postgresql.Insert":
    """An INSERT that has `on_conflict_do_nothing` and `on_conflict_do_update`, for the dialect of this name."""
    # Only the one in use is loaded: PostgreSQL's takes more than 2 MiB of memory.
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)
