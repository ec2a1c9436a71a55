"""Locks and groups are never held beyond their limits, and never leak, whatever happens; shares come true over time."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine

from orchestra.clock import Instant
from orchestra.demands import signature_for
from orchestra.identifiers import JobId, JobVersionId, ProjectId, RunId, WorkerId, WorkerName
from orchestra.specification import Matching
from orchestra.storage.pending import PendingRun
from orchestra.storage.resources import SlotUse
from orchestra.storage.tables import metadata
from orchestra.storage.terms import Terms
from orchestra_master.planning import Situation, plan
from orchestra_master.selection import Candidate, SpreadingSelector
from orchestra_master.shares import Shares
from tests.properties.effort import times
from tests.properties.limited_side import LimitedSide

HISTORIES = 40
STEPS = 40


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        metadata.create_all(connection)
        yield connection
    engine.dispose()


def test_no_history_holds_more_than_there_is_or_anything_for_ever(connection: Connection, tmp_path: Path) -> None:
    side = LimitedSide(connection, tmp_path)
    connection.commit()
    for seed in range(times(HISTORIES)):
        side.begin(seed)
        for _ in range(STEPS):
            side.step()
            side.assert_within_limits()
        side.settle()
        connection.rollback()


@pytest.mark.parametrize("seed", range(times(4)))
def test_over_a_thousand_runs_projects_get_their_shares_within_a_tenth(seed: int) -> None:
    chance = random.Random(seed)
    shares = {ProjectId(number): chance.choice((1, 1, 2, 3, 5)) for number in range(1, chance.randint(2, 4) + 1)}

    given = given_out(shares, chance, runs=1000)

    for project, share in shares.items():
        assert given[project] == pytest.approx(1000 * share / sum(shares.values()), rel=0.1)


def given_out(shares: dict[ProjectId, int], chance: random.Random, *, runs: int) -> Counter[ProjectId]:
    """How many of so many runs each project got, all of which have more waiting than there is room for."""
    had, now, slots = Shares(), 0.0, chance.randint(2, 12)
    matching = Matching()
    signatures = {project: signature_for(project, matching) for project in shares}
    terms = {each: Terms(matching=matching) for each in signatures.values()}
    going: list[tuple[float, ProjectId]] = []
    given: Counter[ProjectId] = Counter()
    while given.total() < runs:
        heads = [
            PendingRun(
                run=RunId(given.total() * 100 + number),
                signature=signatures[project],
                rank=chance.randrange(1000),
                pending_at=Instant(0),
                job=JobId(1),
                job_version=JobVersionId(1),
                attempts_counted=0,
            )
            for project in shares
            for number in range(project * slots, (project + 1) * slots)
        ]
        room = Candidate(
            worker=WorkerId(1), name=WorkerName("w"), properties={}, slots=slots, free_slots=slots - len(going)
        )
        situation = Situation(heads=heads, terms=terms, candidates=[room], had=had.had(), shares=shares)
        projects = [
            ProjectId(int(head.signature.partition(".")[0])) for head, _ in plan(situation, SpreadingSelector()).given
        ]
        in_use = Counter(project for _, project in going)
        had.observe([SlotUse(project=each, worker=WorkerId(1), slots=count) for each, count in in_use.items()], now)
        had.charge(Counter(projects))
        given.update(projects)
        going += [(now + chance.choice((0.5, 2.0, 3.5)), project) for project in projects]
        now = min(going)[0]
        going = [each for each in going if each[0] > now]
    return given
