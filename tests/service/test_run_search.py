"""Lists of runs answer in bounded time: whatever two filters are asked for, an index leads and a bound ends it."""

import itertools
import re
from functools import partial

import pytest
from sqlalchemy import Connection

from orchestra.identifiers import ProjectId
from orchestra.policy import EVERYWHERE, Scope
from orchestra.queries.run_filters import read_run_filter
from orchestra.queries.run_search import find_runs
from orchestra.queries.runs import list_runs
from orchestra.storage.database import Database
from tests.service.test_query_plans import WHO
from tests.support.history import fill_history
from tests.support.plans import plans_of

FILTERS = [
    ("status", "failed"),
    ("status", "failed,aborted"),
    ("project", "p"),
    ("job", "job-7"),
    ("worker", "worker-7"),
    ("source", "schedule"),
    ("param.env", "prod"),
    ("result.version", "7"),
    ("took_min", "5m"),
    ("created_after", "1970-01-01T00:00:00.02Z"),
]
PAIRS = [pair for pair in itertools.combinations(FILTERS, 2) if pair[0][0] != pair[1][0]]
# What a search may do with the table of runs: go along an index or the numbers, or look one number up.
# Without a leading filter it reads from the end of the table to the bound; "SEARCH runs" alone is the largest number.
ALLOWED = re.compile(
    r"SCAN runs|SEARCH runs|(SEARCH|SCAN) runs USING (COVERING )?(INDEX ix_runs_\w+|INTEGER PRIMARY KEY).*"
)


def plans_of_list(connection: Connection, asked: list[tuple[str, str]]) -> list[str]:
    return plans_of(connection, lambda c: list_runs(c, WHO, read_run_filter(asked)))


async def test_every_pair_of_filters_is_led_by_an_index(sqlite_database: Database) -> None:
    await sqlite_database.write(fill_history)
    faults = []

    for pair in PAIRS:
        plans = await sqlite_database.write(partial(plans_of_list, asked=list(pair)))
        for line in "\n".join(plans).splitlines():
            if re.search(r"(SEARCH|SCAN) runs\b", line) and not ALLOWED.fullmatch(line.strip()):
                faults.append(f"{pair}: {line}")
            # Several states are merged from an index each, which sorts as many rows as were merged.
            if "TEMP B-TREE" in line and ("status", "failed,aborted") not in pair:
                faults.append(f"{pair}: {line}")

    assert not faults, "\n".join(faults)


async def test_no_filter_makes_a_search_look_at_more_than_its_bound(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sqlite_database.write(fill_history)
    monkeypatch.setattr("orchestra.queries.run_search.SCAN_ROWS_MAX", 30)

    for first in FILTERS:
        nothing = read_run_filter([first, ("param.nothing", "at all")])
        found = await sqlite_database.read(partial(find_runs, scope=EVERYWHERE, asked=nothing))

        assert (found.runs, found.total.value) == ((), 0)
        assert found.searched_to is not None, first


async def test_pages_of_a_bounded_search_leave_nothing_out(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await database.write(fill_history)
    monkeypatch.setattr("orchestra.queries.run_search.SCAN_ROWS_MAX", 700)
    asked = [("job", "job-9"), ("status", "failed,pending"), ("limit", "40")]

    def everything(connection: Connection) -> tuple[list[int], list[int]]:
        seen: list[int] = []
        cursor: str | None = None
        while True:
            page = list_runs(
                connection, WHO, read_run_filter([*asked, *([("cursor", cursor)] if cursor is not None else [])])
            )
            seen += [run.id for run in page.items]
            cursor = page.next
            if cursor is None:
                break
        rows = connection.exec_driver_sql(
            "select id from runs where job_id = 9 and state in ('failed', 'pending') order by id desc"
        )
        return seen, [row.id for row in rows]

    seen, expected = await database.read(everything)

    assert seen == expected
    assert len(expected) > 100


async def test_a_reader_of_many_projects_sees_just_theirs(database: Database) -> None:
    await database.write(fill_history)
    few = Scope(everywhere=False, projects=frozenset({ProjectId(2)}))
    many = Scope(everywhere=False, projects=frozenset(ProjectId(number) for number in range(2, 40)))
    none = Scope(everywhere=False)
    asked = read_run_filter([("limit", "20")])

    found = [await database.read(partial(find_runs, scope=scope, asked=asked)) for scope in (few, many, none)]

    assert found[0].runs == found[1].runs
    assert len(found[0].runs) == 20
    assert found[2].runs == ()
