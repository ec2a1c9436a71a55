"""Fixtures that every test may ask for by name."""

import signal

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


def pytest_configure() -> None:
    """A shell ignores Ctrl-C for what it starts in the background, and so would every program that a test starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
