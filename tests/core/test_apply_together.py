"""Two that apply at once, from two processes' connections to one PostgreSQL database."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from orchestra.commands.definitions import Plan, apply_definition
from orchestra.commands.shared_resources import LocksRefused
from orchestra.definition.reader import read_definition
from orchestra.errors import Conflict
from orchestra.storage.database import Database
from orchestra.storage.jobs import find_job
from orchestra.storage.open import open_database
from orchestra.storage.projects import find_project, newest_definition
from tests.support.clocks import START


@pytest.fixture
async def other_database(postgres_url: str) -> AsyncIterator[Database]:
    """A second one on the same tables."""
    opened = await open_database(postgres_url)
    yield opened
    await opened.close()


async def applied(database: Database, script: str, owner: str | None) -> Plan:
    """Applies a project of one job."""
    text = f"orchestra: 1\nproject: ops\njobs:\n  tidy: {{ run: {script}, schedule: every 1h }}\n"
    definition = read_definition(text, "ops.yaml")
    return await database.write(
        partial(apply_definition, definition=definition, owner_file=owner, source="test", by="ana", now=START)
    )


async def test_two_first_applies_at_once_leave_one_project_whose_newest_definition_holds(
    postgres_database: Database, other_database: Database
) -> None:
    databases = [postgres_database, other_database] * 4

    await asyncio.gather(*(applied(database, f"./{number}.sh", None) for number, database in enumerate(databases)))

    project = await postgres_database.read(lambda c: find_project(c, "ops"))
    newest = await postgres_database.read(lambda c: newest_definition(c, project.id))
    job = await postgres_database.read(lambda c: find_job(c, "ops", "tidy"))
    assert newest is not None
    assert job.version == len(databases)
    assert f'"run":"{job.specification.execution.steps[0].run}"' in newest.document


async def test_of_two_files_that_claim_a_project_at_once_exactly_one_gets_it(
    postgres_database: Database, other_database: Database
) -> None:
    outcomes = await asyncio.gather(
        applied(postgres_database, "./a.sh", "/a.yaml"),
        applied(other_database, "./b.sh", "/b.yaml"),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes].count(Plan) == 1
    [refused] = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert isinstance(refused, Conflict)
    project = await postgres_database.read(lambda c: find_project(c, "ops"))
    assert str(project.owner_file) in str(refused)


async def test_of_two_projects_that_declare_a_lock_at_once_exactly_one_gets_it(
    postgres_database: Database, other_database: Database
) -> None:
    texts = [f"orchestra: 1\nproject: {name}\nlocks: {{ license: 5 }}\n" for name in ("shop", "tools")]

    outcomes = await asyncio.gather(
        *(
            database.write(
                partial(
                    apply_definition,
                    definition=read_definition(text, "a.yaml"),
                    owner_file=None,
                    source="test",
                    by="ana",
                    now=START,
                )
            )
            for database, text in zip((postgres_database, other_database), texts, strict=True)
        ),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes].count(Plan) == 1
    [refused] = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert isinstance(refused, LocksRefused)
    assert "already" in str(refused)
