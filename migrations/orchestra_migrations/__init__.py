"""Alembic revisions, usable from the installed wheel: brings a database to the schema that this program needs."""

from orchestra_migrations.upgrade import check, upgrade, upgrade_apart

__all__ = ["check", "upgrade", "upgrade_apart"]
