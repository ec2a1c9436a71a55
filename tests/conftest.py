"""Fixtures that every test may ask for by name."""

from tests.support.databases import (
    database,
    database_url,
    empty_postgres_url,
    postgres_database,
    postgres_folder,
    postgres_url,
    sqlite_database,
    sqlite_template,
    sqlite_url,
)

__all__ = [
    "database",
    "database_url",
    "empty_postgres_url",
    "postgres_database",
    "postgres_folder",
    "postgres_url",
    "sqlite_database",
    "sqlite_template",
    "sqlite_url",
]
