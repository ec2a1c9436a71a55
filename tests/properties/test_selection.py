"""Which of several workers gets a run, against a model of all that is wished; the choice is pure, and never fails."""

from itertools import islice, permutations

from hypothesis import given
from hypothesis import strategies as st

from orchestra.identifiers import WorkerId, WorkerName
from orchestra.matching import RunHistory
from orchestra.specification import Matching, Placement
from orchestra_master.selection import Candidate, SpreadingSelector, able, able_soon
from tests.properties.effort import effort
from tests.properties.fleets import candidate_lists, histories, meets, modest_matchings


@effort(300)
@given(modest_matchings, candidate_lists, histories)
def test_the_choice_is_the_best_of_those_that_can(
    matching: Matching, candidates: list[Candidate], history: RunHistory
) -> None:
    can = able(matching, candidates)

    assert can == [
        each
        for each in candidates
        if all(meets(one, each.properties) for one in matching.requirements)
        and each.slots >= matching.slots
        and each.free_slots >= matching.slots
    ]
    if can:
        chosen = SpreadingSelector().select(matching, can, history)
        assert any(each is chosen for each in can)
        assert all(rank(matching, history, chosen) <= rank(matching, history, other) for other in can)
        assert all(
            SpreadingSelector().select(matching, order, history) is chosen for order in islice(permutations(can), 24)
        )


def rank(matching: Matching, history: RunHistory, each: Candidate) -> tuple[bool, bool, int, int, str]:
    """Smaller is better: not where it failed, then the warm one, then the heavier wishes, then room, then names."""
    is_cold = not matching.sticky or history.warm is None or each.worker != history.warm
    for_it = sum(wish.weight for wish in matching.prefer if meets(wish, each.properties))
    against_it = sum(wish.weight for wish in matching.avoid if meets(wish, each.properties))
    room = each.free_slots if matching.placement is Placement.PACK else -each.free_slots
    return each.worker in history.failed, is_cold, against_it - for_it, room, each.name


@effort(300)
@given(modest_matchings, candidate_lists, histories)
def test_a_worker_where_it_failed_is_taken_only_if_there_is_no_other(
    matching: Matching, candidates: list[Candidate], history: RunHistory
) -> None:
    can = able(matching, candidates)

    if can:
        chosen = SpreadingSelector().select(matching, can, history)
        assert chosen.worker not in history.failed or all(each.worker in history.failed for each in can)


@effort(100)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.lists(st.integers(1, 2), max_size=8))
def test_what_is_packed_fills_a_worker_before_it_begins_the_next_and_what_is_spread_keeps_the_most_room(
    sizes: list[int], runs: list[int]
) -> None:
    for placement in Placement:
        free = dict(enumerate(sizes))
        for slots in runs:
            matching = Matching(placement=placement, slots=slots)
            fleet = [
                Candidate(
                    worker=WorkerId(number), name=WorkerName(str(number)), properties={}, slots=size,
                    free_slots=free[number],
                )
                for number, size in enumerate(sizes)
            ]  # fmt: skip
            fitting = [free[each.worker] for each in able(matching, fleet)]
            if fitting:
                chosen = SpreadingSelector().select(matching, able(matching, fleet))
                assert free[chosen.worker] == (min if placement is Placement.PACK else max)(fitting)
                free[chosen.worker] -= slots


@effort(200)
@given(modest_matchings, candidate_lists)
def test_a_run_waits_only_at_workers_that_match_have_room_for_it_and_end_such_runs(
    matching: Matching, candidates: list[Candidate]
) -> None:
    soon = able_soon(matching, candidates)

    assert soon == [
        each
        for each in candidates
        if matching.slots == 1
        and each.prefetch_room > 0
        and all(meets(one, each.properties) for one in matching.requirements)
    ]
