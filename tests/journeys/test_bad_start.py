"""What keeps a program from starting: one sentence with the remedy, and a status that is not zero."""

import asyncio
import sqlite3
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from orchestra_migrations import upgrade
from tests.support.journey import PYTHON, Orchestra, started
from tests.support.ports import free_port


def typed(*words: str) -> subprocess.CompletedProcess[str]:
    """A program that should end by itself."""
    return subprocess.run([PYTHON, "-m", "orchestra", *words], capture_output=True, text=True, timeout=60, check=False)


def assert_refused(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    """One sentence on stderr, all these words in it, and no success."""
    assert ended.returncode != 0
    assert ended.stdout == ""
    said = ended.stderr.strip().splitlines()
    assert said[0].startswith("error: "), ended.stderr
    assert len(said) <= 2, ended.stderr
    for word in words:
        assert word in said[0]


def part(name: str, database: str, folder: Path) -> list[str]:
    """The command line of a part in a process of its own."""
    shared = ["--logs", str(folder / "logs"), "--key-file", str(folder / "key"), "--port", "0"]
    return [name, "--database", database, *shared]


@pytest.mark.parametrize("name", ["master", "service"])
def test_a_database_that_is_away(name: str, tmp_path: Path) -> None:
    ended = typed(*part(name, f"postgresql://orchestra:sesame@127.0.0.1:{free_port()}/orchestra", tmp_path))

    assert_refused(ended, "does not answer")
    assert "sesame" not in ended.stderr


@pytest.mark.parametrize("name", ["master", "service"])
def test_a_database_without_tables(name: str, empty_postgres_url: str, tmp_path: Path) -> None:
    assert_refused(typed(*part(name, empty_postgres_url, tmp_path)), "has no schema", "orchestra db upgrade")


@pytest.mark.parametrize("name", ["master", "service"])
def test_a_database_of_another_version(name: str, postgres_url: str, postgres_folder: Path, tmp_path: Path) -> None:
    database = urlsplit(postgres_url).path.removeprefix("/")

    async def make_foreign() -> None:
        connection = await asyncpg.connect(host=str(postgres_folder), user="postgres", database=database)
        await connection.execute("update alembic_version set version_num = 'from_the_future'")
        await connection.close()

    asyncio.run(make_foreign())

    assert_refused(typed(*part(name, postgres_url, tmp_path)), "from_the_future", "orchestra db upgrade")
    assert_refused(typed("db", "check", "--database", postgres_url), "from_the_future")


@pytest.mark.parametrize("name", ["master", "service"])
def test_a_file_is_no_database_for_several_processes(name: str, tmp_path: Path) -> None:
    upgrade(tmp_path)

    assert_refused(typed(*part(name, f"sqlite:///{tmp_path}/orchestra.db", tmp_path)), "orchestra up")


def test_a_data_folder_from_the_future_is_left_as_it_is(tmp_path: Path) -> None:
    upgrade(tmp_path)
    connection = sqlite3.connect(tmp_path / "orchestra.db")
    connection.execute("update alembic_version set version_num = 'from_the_future'")
    connection.commit()
    connection.close()
    before = (tmp_path / "orchestra.db").read_bytes()

    ended = typed("up", "--data", str(tmp_path), "--port", "0")

    assert_refused(ended, "from_the_future")
    assert (tmp_path / "orchestra.db").read_bytes() == before


def test_a_data_folder_that_is_in_use_and_a_port_that_is_taken(tmp_path: Path) -> None:
    up = Orchestra(tmp_path, slots=0)
    with started(up):
        same_folder = typed("up", "--data", str(up.data), "--port", "0")
        same_port = typed("up", "--data", str(tmp_path / "other"), "--port", str(up.port), "--slots", "0")
        still_there = up.api.get("/api/v1/health/ready").status

    assert_refused(same_folder, "in use by", str(up.program.pid))
    assert_refused(same_port, f"127.0.0.1:{up.port}", "--port")
    assert still_there == 200


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("precious")

    ended = typed("up", "--data", str(tmp_path / "data"), "--port", "0")

    assert_refused(ended, str(tmp_path / "data"))
    assert (tmp_path / "data").read_text() == "precious"
