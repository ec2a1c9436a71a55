"""Plan and apply: all of a definition or nothing, history kept, files and the API apart."""

from functools import partial

import pytest
from sqlalchemy import func, select

from orchestra.clock import after
from orchestra.commands.definitions import Action, Kind, Plan, apply_definition, plan
from orchestra.definition.reader import read_definition
from orchestra.errors import ChangedSincePlan, Conflict
from orchestra.storage.database import Database
from orchestra.storage.jobs import find_job, switch_job
from orchestra.storage.projects import find_project
from orchestra.storage.schedules import schedule_of_job
from orchestra.storage.tables import definitions, job_versions, projects
from tests.support.clocks import START

FILE = "/etc/orchestra/ops.yaml"
TWO_JOBS = """orchestra: 1
project: ops
jobs:
  backup: { run: ./backup.sh, timeout: 45m, schedule: { cron: "30 2 * * *", zone: Europe/Paris } }
  tidy: { run: ./tidy.sh, schedule: every 1h }
"""


async def applied(
    database: Database, text: str, *, owner: str | None = FILE, if_match: str | None = None, seconds: float = 0
) -> Plan:
    """Applies the text."""
    return await database.write(
        partial(
            apply_definition,
            definition=read_definition(text, "ops.yaml"),
            owner_file=owner,
            source=owner or "api",
            by="ana",
            now=after(START, seconds),
            if_match=if_match,
        )
    )


def changes(made: Plan) -> set[tuple[Action, Kind, str]]:
    """What a plan does, without what it keeps."""
    return {(each.action, each.kind, each.name) for each in made.changes if each.action is not Action.KEEP}


async def count(database: Database, table: str) -> int:
    """How many rows a table has."""
    tables = {"definitions": definitions, "job_versions": job_versions, "projects": projects}
    return await database.read(lambda c: c.execute(select(func.count()).select_from(tables[table])).scalar_one())


async def test_a_first_plan_adds_everything_and_changes_nothing(database: Database) -> None:
    definition = read_definition(TWO_JOBS, "ops.yaml")

    made = await database.read(partial(plan, definition=definition, now=START))

    assert changes(made) == {
        (Action.ADD, Kind.PROJECT, "ops"),
        (Action.ADD, Kind.JOB, "backup"),
        (Action.ADD, Kind.JOB, "tidy"),
        (Action.ADD, Kind.SCHEDULE, "backup"),
        (Action.ADD, Kind.SCHEDULE, "tidy"),
    }
    assert [fire.job for fire in made.next] == ["tidy", "backup"]
    assert made.planned_on is None
    assert await count(database, "projects") == 0


async def test_applying_does_what_the_plan_said(database: Database) -> None:
    definition = read_definition(TWO_JOBS, "ops.yaml")
    planned = await database.read(partial(plan, definition=definition, now=START))

    made = await applied(database, TWO_JOBS)

    assert made == planned
    job = await database.read(lambda c: find_job(c, "ops", "backup"))
    assert (job.version, job.specification) == (1, definition.jobs[0].specification)
    assert (await database.read(lambda c: find_project(c, "ops"))).owner_file == FILE


async def test_the_same_definition_again_makes_no_row(database: Database) -> None:
    await applied(database, TWO_JOBS)

    made = await applied(database, "# a remark\n" + TWO_JOBS, seconds=100)

    assert made.is_empty
    assert (await count(database, "definitions"), await count(database, "job_versions")) == (1, 2)


async def test_only_a_job_that_changed_gets_a_version_and_says_what_changed(database: Database) -> None:
    await applied(database, TWO_JOBS)

    made = await applied(database, TWO_JOBS.replace("45m", "1h"))

    [change] = [each for each in made.changes if each.action is not Action.KEEP]
    assert (change.kind, change.name, change.detail) == (Kind.JOB, "backup", "timeout: 45m → 1h")
    assert (await database.read(lambda c: find_job(c, "ops", "backup"))).version == 2
    assert (await database.read(lambda c: find_job(c, "ops", "tidy"))).version == 1


async def test_a_schedule_that_did_not_change_keeps_its_cursor(database: Database) -> None:
    await applied(database, TWO_JOBS)
    job = await database.read(lambda c: find_job(c, "ops", "tidy"))
    cursor = await database.read(lambda c: schedule_of_job(c, job.id))

    # Much later, with an overdue instant that the ticker has not decided about yet.
    await applied(database, TWO_JOBS.replace("./tidy.sh", "./tidy.sh --all"), seconds=10_000)

    assert await database.read(lambda c: schedule_of_job(c, job.id)) == cursor


async def test_a_schedule_that_changed_begins_from_now(database: Database) -> None:
    await applied(database, TWO_JOBS)
    job = await database.read(lambda c: find_job(c, "ops", "tidy"))

    await applied(database, TWO_JOBS.replace("every 1h", "every 10s"), seconds=10_000)

    schedule = await database.read(lambda c: schedule_of_job(c, job.id))
    assert schedule is not None
    assert schedule.next_fire_at is not None
    assert 0 < schedule.next_fire_at - after(START, 10_000) <= 10_000_000


async def test_a_job_that_is_gone_is_retired_with_its_schedule_and_can_come_back(database: Database) -> None:
    await applied(database, TWO_JOBS)
    without = TWO_JOBS.replace("  tidy:", "  other:")

    made = await applied(database, without)
    gone = await database.read(lambda c: find_job(c, "ops", "tidy"))
    schedule = await database.read(lambda c: schedule_of_job(c, gone.id))
    await applied(database, TWO_JOBS)
    back = await database.read(lambda c: find_job(c, "ops", "tidy"))

    assert (Action.REMOVE, Kind.JOB, "tidy") in changes(made)
    assert (Action.REMOVE, Kind.SCHEDULE, "tidy") in changes(made)
    assert gone.retired_at == START
    assert schedule is not None
    assert (schedule.next_fire_at, schedule.retired_at) == (None, START)
    assert (back.id, back.retired_at, back.version) == (gone.id, None, 1)
    revived = await database.read(lambda c: schedule_of_job(c, back.id))
    assert revived is not None
    assert revived.next_fire_at is not None


async def test_a_pause_by_a_person_outlives_a_new_definition(database: Database) -> None:
    await applied(database, TWO_JOBS)
    job = await database.read(lambda c: find_job(c, "ops", "tidy"))
    await database.write(lambda c: switch_job(c, job.id, disabled_by="ana: disk is full"))

    await applied(database, TWO_JOBS.replace("./tidy.sh", "./other.sh"))

    disabled = await database.read(lambda c: find_job(c, "ops", "tidy"))
    assert (disabled.disabled_by, disabled.is_active) == ("ana: disk is full", False)


@pytest.mark.parametrize("owner", [None, "/etc/orchestra/other.yaml"])
async def test_a_project_of_a_file_is_refused_to_the_api_and_to_other_files(
    database: Database, owner: str | None
) -> None:
    await applied(database, TWO_JOBS)

    with pytest.raises(Conflict, match="belongs to the file"):
        await applied(database, TWO_JOBS.replace("45m", "1m"), owner=owner)

    job = await database.read(lambda c: find_job(c, "ops", "backup"))
    assert job.version == 1


async def test_a_plan_that_is_stale_is_refused(database: Database) -> None:
    await applied(database, TWO_JOBS, owner=None)
    changed = TWO_JOBS.replace("45m", "1h")
    planned = await database.read(partial(plan, definition=read_definition(changed, "ops.yaml"), now=START))
    await applied(database, TWO_JOBS.replace("45m", "2h"), owner=None)

    with pytest.raises(ChangedSincePlan):
        await applied(database, changed, owner=None, if_match=planned.planned_on)

    again = await database.read(partial(plan, definition=read_definition(changed, "ops.yaml"), now=START))
    await applied(database, changed, owner=None, if_match=again.planned_on)
    job = await database.read(lambda c: find_job(c, "ops", "backup"))
    assert job.specification.execution.timeout_seconds == 3600


async def test_a_refused_first_apply_leaves_no_project(database: Database) -> None:
    with pytest.raises(ChangedSincePlan):
        await applied(database, TWO_JOBS, if_match="0" * 64)

    assert await count(database, "projects") == 0
