"""What the page of policies says of keys and full groups is what the code does."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestra.definition.reader import read_definition
from orchestra.lifecycle import RunEvent
from orchestra.policies import Conflict, Policies, UniqueScope
from orchestra.storage.admission import Ruling
from orchestra.storage.database import Database
from tests.support.admissions import Wishes, unique

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
SECTION = PAGE[PAGE.index("## Beside others of its kind") :]
HELD = (RunEvent.OFFERED, RunEvent.STARTED)
STEPS = {
    "pending": (),
    "running": HELD,
    "waits for its next attempt": (*HELD, RunEvent.RETRY_PLANNED),
    "succeeded": (*HELD, RunEvent.SUCCEEDED),
    "failed": (*HELD, RunEvent.FAILED),
    "cancelled": (RunEvent.CANCELLED,),
    "skipped": (RunEvent.SKIPPED,),
    "an hour old": (*HELD, RunEvent.SUCCEEDED),
}


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the table that begins with this."""
    for line in SECTION[SECTION.index(heading) :].split("\n\n")[0].split("\n")[2:]:
        yield [cell.strip().strip("`") for cell in line.split("|")[1:-1]]


def test_the_example_is_a_definition() -> None:
    block = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)[0]

    jobs = read_definition(block, "docs/policies.md").jobs

    assert {each.name for each in jobs if each.specification.policies != Policies()} == {"scan", "deploy"}


@pytest.mark.parametrize(("state", "pending", "active", "window"), list(rows("| the first run is | `pending`")))
async def test_a_run_counts_for_the_scopes_of_the_table(
    sqlite_database: Database, state: str, pending: str, active: str, window: str
) -> None:
    wishes = Wishes(sqlite_database)
    found = []

    for scope in UniqueScope:
        job = await wishes.job(str(scope), unique(scope, window_seconds=3600.0))
        first = await wishes.ask(job)
        await wishes.move(first.run, *STEPS[state])
        wishes.later(3600.0 if state == "an hour old" else 60.0)
        found.append((await wishes.ask(job)).ruling is Ruling.REFUSED)

    assert ["yes" if each else "no" for each in found] == [pending, active, window]


@pytest.mark.parametrize(("conflict", "state", "becomes", "second"), list(rows("| `conflict` | the first run is")))
async def test_a_conflict_ends_as_the_table_says(
    sqlite_database: Database, conflict: str, state: str, becomes: str, second: str
) -> None:
    wishes = Wishes(sqlite_database)
    job = await wishes.job("scan", unique(UniqueScope.ACTIVE, Conflict(conflict)))
    await wishes.ask(job)
    await wishes.move(1, *STEPS[state])

    found = await wishes.ask(job)

    words = {Ruling.MADE: "is made", Ruling.EXISTING: f"is #{found.run}", Ruling.REFUSED: "is not made"}[found.ruling]
    assert (f"{words}: {found.words}" if found.ruling is Ruling.REFUSED else words) == second
    stored = (await wishes.states())[1].removeprefix("cancelled: ")
    assert stored.replace("running: ", "asked to stop by ") == becomes


@pytest.mark.parametrize(("text", "before", "afterwards"), list(rows("| `concurrency:` | there are")))
async def test_a_full_group_ends_as_the_table_says(
    sqlite_database: Database, text: str, before: str, afterwards: str
) -> None:
    definition = f"orchestra: 1\nproject: ops\njobs:\n  deploy: {{ run: x, timeout: 1h, concurrency: {text} }}\n"
    policies = read_definition(definition, "page").jobs[0].specification.policies
    wishes = Wishes(sqlite_database)
    job = await wishes.job("deploy", policies)
    for state in before.split(", "):
        await wishes.move((await wishes.ask(job)).run, *STEPS[state])

    found = await wishes.ask(job)

    states = [_in_short(each) for each in (await wishes.states()).values()]
    assert ", ".join([*states, *(["refused"] if found.ruling is Ruling.REFUSED else [])]) == afterwards


def _in_short(state: str) -> str:
    if state.startswith("cancelled: cancelled by policy: superseded by #"):
        return "superseded"
    return "stopping" if state.startswith("running: policy: superseded by #") else state
