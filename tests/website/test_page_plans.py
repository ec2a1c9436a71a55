"""What the pages of home, projects and jobs ask is answered from indexes, however long the history is."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, text, update

from orchestra.clock import Instant
from orchestra.identifiers import ProjectId
from orchestra.policy import Permission, Principal, Scope
from orchestra.queries.attention import show_attention
from orchestra.queries.job_history import newest_marks
from orchestra.queries.job_page import show_job_page
from orchestra.queries.overview import first_steps, show_overview
from orchestra.queries.projects import list_project_lines, show_project_page
from orchestra.queries.search import find_by_name
from orchestra.storage.database import Database
from orchestra.storage.paging import PageAsked
from orchestra.storage.tables import schedules
from tests.service.test_query_plans import WHO, faults_of
from tests.support.history import ENDED, PENDING, fill_history
from tests.support.plans import plans_of

NOW = Instant(10_000_000_000)
BOUND = Principal(
    user_id=WHO.user_id,
    name="ana",
    scopes={Permission.READ: Scope(everywhere=False, projects=frozenset({ProjectId(1), ProjectId(2)}))},
)
READINGS: dict[str, Callable[[Connection, Principal], object]] = {
    "attention": lambda connection, who: show_attention(connection, who, now=NOW),
    "home": lambda connection, who: show_overview(connection, who, now=NOW),
    "first steps": lambda connection, who: first_steps(connection),
    "projects": lambda connection, who: list_project_lines(connection, who, PageAsked()),
    "failing projects": lambda connection, who: list_project_lines(connection, who, PageAsked(), failing_only=True),
    "one project": lambda connection, who: show_project_page(connection, who, "p", now=NOW),
    "one job": lambda connection, who: show_job_page(connection, who, "q", "job-7", now=NOW),
}


def fill(connection: Connection) -> None:
    """A long history of jobs that can be read."""
    fill_history(connection)
    connection.execute(text("""update job_versions set specification = '{"execution":{"steps":[]}}'"""))
    timetable = '{"timetable":{"triggers":[{"cron":"* * * * *"}]}}'
    connection.execute(update(schedules).values(specification=timetable))


@pytest.mark.parametrize("who", [WHO, BOUND], ids=lambda who: who.name)
@pytest.mark.parametrize("name", READINGS)
async def test_a_page_is_read_from_indexes(sqlite_database: Database, name: str, who: Principal) -> None:
    await sqlite_database.write(fill)

    plans = await sqlite_database.write(lambda connection: plans_of(connection, lambda c: READINGS[name](c, who)))

    # The newest runs of all are the last rows of the table; jobs and projects are few and may be sorted.
    found = [plan for plan in faults_of(plans) if "runs" in plan and not ("SCAN runs" in plan and "TEMP" not in plan)]
    assert plans
    assert not found, "\n\n".join(found)


# Whether there is any run at all is known from the first row.
@pytest.mark.parametrize("name", [name for name in READINGS if name != "first steps"])
async def test_on_postgres_no_page_reads_all_runs(postgres_database: Database, name: str) -> None:
    await postgres_database.write(fill)

    plans = await postgres_database.write(lambda connection: plans_of(connection, lambda c: READINGS[name](c, WHO)))

    assert plans
    assert not [plan for plan in plans if "Seq Scan on runs" in plan], "\n\n".join(plans)


async def test_the_newest_marks_of_a_job_are_its_newest_runs(database: Database) -> None:
    await database.write(fill)

    open_too = await database.read(lambda connection: newest_marks(connection, [1, 2, 99], 3))
    settled = await database.read(lambda connection: newest_marks(connection, [1, 2, 99], 3, settled=True))

    newest = ENDED + PENDING + 2000 + 40
    assert [mark.id for mark in open_too[1]] == [newest - 40, newest - 90, newest - 140]
    assert [mark.id for mark in settled[2]] == [ENDED - 49, ENDED - 99, ENDED - 149]
    assert 99 not in open_too


async def test_names_are_found_as_text(database: Database) -> None:
    await database.write(fill)

    found = await database.read(lambda connection: find_by_name(connection, WHO, "JOB-4"))
    none = await database.read(lambda connection: find_by_name(connection, WHO, "job_4"))

    assert [job.name for job in found.jobs][:2] == ["job-4", "job-40"]
    assert none.count == 0
