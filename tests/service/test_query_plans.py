"""What the service asks often is answered from an index, however long the history is."""

import pytest
from sqlalchemy import Connection

from orchestra.identifiers import RunId, UserId
from orchestra.policy import EVERYWHERE, Permission, Principal
from orchestra.queries.counts import ended_runs, open_runs
from orchestra.queries.events import EventFilter, events_behind
from orchestra.queries.run_filters import read_run_filter
from orchestra.queries.run_logs import logs_of_run
from orchestra.queries.runs import history_of_run, list_runs, show_run_detail
from orchestra.queries.worker_facts import all_workers
from orchestra.storage.bearers import find_session, find_token
from orchestra.storage.database import Database
from orchestra.storage.history import look_at_history
from orchestra.storage.idempotency import find_answer
from tests.service.given import START
from tests.support.history import fill_history
from tests.support.plans import plans_of

WHO = Principal(user_id=UserId(1), name="root", scopes=dict.fromkeys(Permission, EVERYWHERE), grants=(), via="token")
UNFILTERED: list[list[tuple[str, str]]] = [[], [("cursor", "azkwMA")]]
LISTS = [
    *UNFILTERED,
    [("status", "failed")],
    [("status", "running")],
    [("job", "job-7")],
    [("worker", "worker-7")],
    [("result.version", "7")],
]


def faults_of(plans: list[str]) -> list[str]:
    """A table that is read whole although it grows, or rows that are sorted although an index has their order."""
    growing = ("SCAN runs", "SCAN attempts", "SCAN run_events", "SCAN run_steps", "SCAN tokens", "SCAN web_sessions")
    return [
        plan
        for plan in plans
        if any(table in line and "USING" not in line for line in plan.splitlines() for table in growing)
        or "TEMP B-TREE FOR ORDER BY" in plan
    ]


@pytest.mark.parametrize("asked", LISTS, ids=str)
async def test_a_page_of_runs_is_read_in_order_from_an_index(
    sqlite_database: Database, asked: list[tuple[str, str]]
) -> None:
    await sqlite_database.write(fill_history)
    wanted = read_run_filter(asked)

    plans = await sqlite_database.write(lambda connection: plans_of(connection, lambda c: list_runs(c, WHO, wanted)))

    # Without a filter the newest rows are simply the last ones of the table.
    found = [plan for plan in faults_of(plans) if asked not in UNFILTERED or "TEMP" in plan]
    assert plans
    assert not found, "\n\n".join(found)


async def test_single_things_are_looked_up_not_searched(sqlite_database: Database) -> None:
    await sqlite_database.write(fill_history)

    def everything(connection: Connection) -> None:
        show_run_detail(connection, WHO, RunId(7), now=START)
        history_of_run(connection, WHO, RunId(7))
        logs_of_run(connection, WHO, RunId(7))
        find_token(connection, "0" * 64, now=START)
        find_session(connection, "0" * 64, now=START)
        find_answer(connection, UserId(1), "k1", now=START)
        all_workers(connection, WHO)
        open_runs(connection)
        ended_runs(connection, 7, 50_000)
        look_at_history(connection, 7)
        events_behind(connection, WHO, EventFilter(), 7, 50_000)

    plans = await sqlite_database.write(lambda connection: plans_of(connection, everything))

    assert not faults_of(plans), "\n\n".join(plans)
