"""What the database itself refuses, whoever asks."""

import pytest
from sqlalchemy import Connection, insert, text, update
from sqlalchemy.exc import IntegrityError

from orchestra.storage.database import Database
from orchestra.storage.tables import audit_entries, job_versions, jobs, projects, runs


def add_run(connection: Connection, *, is_over: bool) -> None:
    connection.execute(insert(projects).values(id=1, name="p", created_at=1))
    connection.execute(insert(jobs).values(id=1, project_id=1, name="j", version_id=1))
    connection.execute(
        insert(job_versions).values(id=1, job_id=1, number=1, specification="{}", signature="s", created_at=1)
    )
    connection.execute(
        insert(runs).values(
            id=1,
            creation_key="k",
            project_id=1,
            job_id=1,
            job_version_id=1,
            signature="s",
            source="user ana",
            state="failed" if is_over else "running",
            reason="exit code 3" if is_over else "",
            exit_code=3 if is_over else None,
            log_length=7 if is_over else 0,
            log_digest="d" if is_over else None,
            created_at=1,
            ended_at=5 if is_over else None,
        )
    )


@pytest.mark.parametrize(
    "change",
    [
        {"state": "succeeded"},
        {"state": "running", "ended_at": None},
        {"ended_at": 6},
        {"ended_at": None},
        {"reason": "another"},
        {"exit_code": 0},
        {"exit_code": None},
        {"log_length": 8},
        {"log_digest": None},
    ],
    ids=str,
)
async def test_a_run_that_is_over_stays_as_it_is(database: Database, change: dict[str, str | int | None]) -> None:
    await database.write(lambda connection: add_run(connection, is_over=True))

    with pytest.raises(IntegrityError, match=r"cannot change|violates|constraint"):
        await database.write(lambda connection: connection.execute(update(runs).values(change)))


async def test_what_is_not_final_of_a_run_that_is_over_may_change(database: Database) -> None:
    await database.write(lambda connection: add_run(connection, is_over=True))

    # The same values again are no change: a late repeat may write them.
    changed = await database.write(
        lambda connection: (
            connection.execute(
                update(runs).values(sealed_secrets=None, progress=1.0, state="failed", log_digest="d")
            ).rowcount
        )
    )

    assert changed == 1


async def test_a_run_that_is_open_may_change_and_end(database: Database) -> None:
    await database.write(lambda connection: add_run(connection, is_over=False))

    changed = await database.write(
        lambda connection: (
            connection.execute(
                update(runs).values(state="failed", reason="exit code 3", exit_code=3, log_length=7, ended_at=5)
            ).rowcount
        )
    )

    assert changed == 1


@pytest.mark.parametrize("statement", ["update audit_entries set actor = 'eve'", "delete from audit_entries"])
async def test_the_audit_trail_only_grows(database: Database, statement: str) -> None:
    await database.write(
        lambda connection: connection.execute(
            insert(audit_entries).values(at=1, actor="ana", action="look", object="x")
        )
    )

    with pytest.raises(IntegrityError, match="the audit trail only grows"):
        await database.write(lambda connection: connection.execute(text(statement)))


async def test_the_audit_trail_cannot_be_truncated(postgres_database: Database) -> None:
    with pytest.raises(IntegrityError, match="the audit trail only grows"):
        await postgres_database.write(lambda connection: connection.execute(text("truncate audit_entries")))
