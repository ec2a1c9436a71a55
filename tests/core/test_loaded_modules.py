"""What a process that lives for long has loaded while it rests: counted in modules, because bytes differ by machine."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from orchestra.storage.schema import SCHEMA_VERSION
from orchestra_migrations import check, upgrade


def loaded_by(script: str, *arguments: str, folder: Path) -> set[str]:
    """The modules that a process of its own has loaded at the end of the script."""
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys\n{script}\nprint('MODULES', *sys.modules)", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.rpartition("MODULES")[2].split())


def test_a_server_that_rests_has_nothing_of_what_it_may_never_need(tmp_path: Path) -> None:
    """Migrations, secrets, passwords, definition texts, the other database."""
    loaded = loaded_by("import orchestra.up.command", folder=tmp_path)

    assert "sqlalchemy" in loaded
    assert not loaded & {"alembic", "mako", "cryptography", "passlib", "yaml", "sqlalchemy.dialects.postgresql"}


def test_a_worker_that_rests_has_only_what_its_link_and_journal_need(tmp_path: Path) -> None:
    """And ctypes, which takes 0.2 MB: by it the C library is told to give back what each run would add."""
    loaded = loaded_by("import orchestra_worker.__main__", folder=tmp_path)

    assert "sqlite3" in loaded
    assert not loaded & {"yaml", "sqlalchemy", "starlette", "cryptography"}


def test_a_keeper_has_only_small_parts_of_the_standard_library(tmp_path: Path) -> None:
    loaded = loaded_by("import orchestra_worker.keeper", folder=tmp_path)

    assert "socket" in loaded
    assert not loaded & {"asyncio", "ctypes", "dataclasses", "inspect", "logging", "msgspec", "pathlib", "subprocess"}


@pytest.mark.parametrize("times", [1, 2])
def test_an_upgrade_apart_makes_the_schema_and_leaves_no_migrations_loaded(times: int, tmp_path: Path) -> None:
    script = f"from orchestra_migrations import upgrade_apart\nfor _ in range({times}): upgrade_apart(sys.argv[1])"

    loaded = loaded_by(script, str(tmp_path), folder=tmp_path)

    assert "alembic" not in loaded
    assert check(tmp_path) == SCHEMA_VERSION


def test_what_a_child_could_not_upgrade_is_told_by_its_parent(tmp_path: Path) -> None:
    upgrade(tmp_path)
    with closing(sqlite3.connect(tmp_path / "orchestra.db")) as connection, connection:
        connection.execute("update alembic_version set version_num = '9999'")
    script = (
        "from orchestra.errors import WrongSchemaVersion\n"
        "from orchestra_migrations import upgrade_apart\n"
        "try: upgrade_apart(sys.argv[1])\n"
        "except WrongSchemaVersion as refused: assert '9999' in str(refused), refused\n"
        "else: raise SystemExit('it was upgraded')"
    )

    loaded_by(script, str(tmp_path), folder=tmp_path)
