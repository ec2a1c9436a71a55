"""What the page of policies says of turns and of reasons is what the code does."""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from orchestra.clock import Instant
from orchestra.demands import Demand, rank_of
from orchestra.queries.shortages import Holder, Shortage, shortage_words

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
AT = Instant(1_795_280_400_000_000)
"""2026-11-21T17:00:00Z."""


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the table that begins with this."""
    table = PAGE[PAGE.index(heading) :].split("\n\n")[0]
    for line in table.split("\n")[2:]:
        yield [cell.strip() for cell in line.split("|")[1:-1]]


def ready(clock: str) -> Instant:
    at = datetime.combine(datetime(2026, 11, 21), time.fromisoformat(clock), UTC)
    return Instant(int(at.timestamp()) * 1_000_000)


@pytest.mark.parametrize(("first", "later", "second", "winner"), list(rows("| ready at 10:00 with priority |")))
def test_the_turns_are_those_of_the_table(first: str, later: str, second: str, winner: str) -> None:
    begins = min(
        ("the first", rank_of(ready("10:00"), int(first))),
        ("the second", rank_of(ready(later), int(second))),
        key=lambda each: each[1],
    )

    assert begins[0] == winner


def holder(run: int, *, amount: int = 1, since: Instant | None = None) -> Holder:
    return Holder(run=run, job_id=1, amount=amount, since=since, is_visible=True)


def short(demand: Demand, held: int, *holders: Holder, most: int | None = None) -> Shortage:
    most = demand.most if most is None else most
    frees_at = None if demand.window_seconds is None else AT
    return Shortage(demand=demand, most=most, held=held, holders=holders, frees_at=frees_at)


SHORTAGES = {
    "a lock": short(Demand(resource="lock production"), 1, holder(6, since=AT)),
    "more of a lock than is free": short(
        Demand(resource="lock license", amount=2), 4, holder(4, amount=2), holder(5, amount=2), most=5
    ),
    "its group": short(Demand(resource="group ops/deploy-production"), 1, holder(6)),
    "its rate": short(Demand(resource="rate ops/scan", most=10, window_seconds=60.0), 10),
}


@pytest.mark.parametrize("wait", SHORTAGES)
def test_the_reasons_are_those_of_the_table(wait: str) -> None:
    said = dict(rows("| it waits for | it says |"))

    assert shortage_words(SHORTAGES[wait]) == said[wait]
