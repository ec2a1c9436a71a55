"""Who goes next, to which worker, and what the others lack: decided from values alone."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestra.clock import Instant
from orchestra.demands import Demand, signature_for
from orchestra.identifiers import JobId, JobVersionId, ProjectId, RunId, Signature, WorkerId, WorkerName
from orchestra.specification import Matching, Operator, Requirement
from orchestra.storage.pending import PendingRun
from orchestra.storage.resources import Stock
from orchestra.storage.terms import Terms
from orchestra_master.planning import Plan, Reserve, Situation, plan
from orchestra_master.selection import Candidate, SpreadingSelector

OPS, SCAN = ProjectId(1), ProjectId(2)
LICENSE = Demand(resource="lock license", amount=1)
GATE = Demand(resource="lock gate", amount=1)


def signature(terms: Terms, project: ProjectId = OPS) -> Signature:
    return signature_for(project, terms.matching, terms.demands)


def head(run: int, terms: Terms, *, project: ProjectId = OPS, rank: int | None = None) -> PendingRun:
    return PendingRun(
        run=RunId(run),
        signature=signature(terms, project),
        rank=run if rank is None else rank,
        pending_at=Instant(0),
        job=JobId(1),
        job_version=JobVersionId(1),
        attempts_counted=0,
    )


def worker(number: int, *, free: int = 1, slots: int = 4, os: str = "linux", prefetch: int = 0) -> Candidate:
    return Candidate(
        worker=WorkerId(number),
        name=WorkerName(f"w{number}"),
        properties={"os": os},
        slots=slots,
        free_slots=free,
        prefetch_room=prefetch,
    )


def terms(*demands: Demand, slots: int = 1, os: str | None = None) -> Terms:
    asked = () if os is None else (Requirement(name="os", operator=Operator.IN, values=(os,)),)
    return Terms(matching=Matching(requirements=asked, slots=slots), demands=demands)


def planned(
    heads: Sequence[tuple[PendingRun, Terms]],
    workers: Sequence[Candidate],
    *,
    held: dict[str, int] | None = None,
    most: dict[str, int] | None = None,
    elder: tuple[PendingRun, Terms] | None = None,
    **more: object,
) -> Plan:
    known = [*heads, *([elder] if elder else [])]
    resources = {demand.resource for _, each in known for demand in each.demands}
    stocks = {each: Stock(most=(most or {}).get(each), held=(held or {}).get(each, 0)) for each in resources}
    situation = Situation(
        heads=[each for each, _ in heads],
        terms={each.signature: its for each, its in known},
        candidates=workers,
        stocks=stocks,
        elder=elder[0] if elder else None,
        **more,  # type: ignore[arg-type]  # a test names the fields
    )
    return plan(situation, SpreadingSelector())


def runs_of(made: Plan) -> list[int]:
    return [each.run for each, _ in made.given]


def test_the_turn_decides_within_a_project() -> None:
    any_worker = terms()
    made = planned([(head(2, any_worker, rank=5), any_worker), (head(1, any_worker, rank=9), any_worker)], [worker(1)])

    assert runs_of(made) == [2]
    assert made.crowded == {signature(any_worker)}


def test_what_is_held_leaves_that_much_less() -> None:
    once = terms(LICENSE)
    heads = [(head(number, once), once) for number in (1, 2, 3)]

    made = planned(heads, [worker(1, free=4)], held={LICENSE.resource: 3}, most={LICENSE.resource: 5})

    assert runs_of(made) == [1, 2]
    assert made.lacking == {signature(once)}
    assert made.crowded == frozenset()


def test_all_that_is_demanded_is_got_or_nothing_of_it() -> None:
    both, gate = terms(GATE, LICENSE), terms(GATE)
    heads = [(head(1, both), both), (head(2, gate), gate)]

    made = planned(heads, [worker(1, free=4)], held={LICENSE.resource: 1})

    assert runs_of(made) == [2]
    assert made.lacking == {signature(both)}


def test_runs_of_other_signatures_share_what_there_is_of_a_lock() -> None:
    here, there = terms(LICENSE, os="linux"), terms(LICENSE)

    made = planned([(head(1, here), here), (head(2, there), there)], [worker(1, free=4)])

    assert runs_of(made) == [1]
    assert made.lacking == {signature(there)}


def test_a_run_without_a_worker_takes_no_lock_from_those_behind_it() -> None:
    nowhere, here = terms(LICENSE, os="plan9"), terms(LICENSE)

    made = planned([(head(1, nowhere), nowhere), (head(2, here), here)], [worker(1)])

    assert runs_of(made) == [2]
    assert made.crowded == {signature(nowhere)}


def test_the_project_that_had_least_by_its_share_goes_first() -> None:
    any_worker = terms()
    heads = [(head(1, any_worker, project=SCAN), any_worker), (head(2, any_worker), any_worker)]

    equal = planned(heads, [worker(1)], had={SCAN: 10.0, OPS: 9.0})
    weighed = planned(heads, [worker(1)], had={SCAN: 10.0, OPS: 9.0}, shares={SCAN: 3})

    assert runs_of(equal) == [2]
    assert runs_of(weighed) == [1]


def test_slots_given_in_one_pass_are_divided_by_share() -> None:
    any_worker = terms()
    heads = [(head(n, any_worker, project=SCAN), any_worker) for n in range(1, 40)]
    heads += [(head(n, any_worker), any_worker) for n in range(40, 80)]

    made = planned(heads, [worker(1, free=40, slots=40)], shares={OPS: 3})

    given_to = Counter(run >= 40 for run in runs_of(made))
    assert given_to == {True: 30, False: 10}


def test_a_reserve_is_kept_for_its_project() -> None:
    any_worker = terms()
    reserve = Reserve(project=OPS, slots=1, workers=frozenset({WorkerId(1), WorkerId(2)}))
    scans = [(head(n, any_worker, project=SCAN), any_worker) for n in (1, 2, 3)]
    workers = [worker(1), worker(2), worker(3)]

    alone = planned(scans, workers, reserves=[reserve])
    beside = planned([*scans, (head(9, any_worker), any_worker)], workers, reserves=[reserve])

    # One of the two, and the one that is in no reserve.
    assert len(alone.given) == 2
    assert alone.lacking == {signature(any_worker, SCAN)}
    assert 9 in runs_of(beside)


def test_nothing_waits_at_a_worker_whose_next_slot_is_to_be_kept() -> None:
    any_worker = terms()
    reserve = Reserve(project=OPS, slots=1, workers=frozenset({WorkerId(1)}))
    scan, deploy = (head(1, any_worker, project=SCAN), any_worker), (head(2, any_worker), any_worker)

    made = planned([scan, deploy], [worker(1, free=0, prefetch=2)], reserves=[reserve])

    assert runs_of(made) == [2]


def test_what_demands_something_waits_at_no_busy_worker() -> None:
    gate, free = terms(GATE), terms()

    made = planned([(head(1, gate), gate), (head(2, free), free)], [worker(1, free=0, prefetch=2)])

    assert runs_of(made) == [2]
    assert made.crowded == {signature(gate)}


def test_room_is_kept_free_for_an_elder() -> None:
    large, small = terms(slots=4), terms()
    workers = [worker(1, free=1), worker(2, free=3), worker(3, free=1, slots=2)]

    made = planned([(head(n, small), small) for n in (2, 3, 4)], workers, elder=(head(1, large), large))

    # The second has most room of those that are large enough: nobody else goes there.
    assert {each for _, each in made.given} == {WorkerId(1), WorkerId(3)}
    assert made.lacking == {signature(small), signature(large)}


def test_what_an_elder_demands_is_kept_free_for_it() -> None:
    both, gate, other = terms(GATE, LICENSE), terms(GATE), terms()
    heads = [(head(2, gate), gate), (head(3, other), other)]

    made = planned(heads, [worker(1, free=4)], held={LICENSE.resource: 1}, elder=(head(1, both), both))

    assert runs_of(made) == [3]
    assert made.lacking == {signature(gate), signature(both)}


def test_no_slots_are_kept_for_an_elder_that_others_hold_up() -> None:
    large, small = terms(GATE, slots=2), terms()

    made = planned(
        [(head(2, small), small)], [worker(1, free=1)], held={GATE.resource: 1}, elder=(head(1, large), large)
    )

    assert runs_of(made) == [2]


def test_an_elder_that_can_go_goes_before_all_others() -> None:
    large, small = terms(slots=2), terms()

    made = planned([(head(2, small), small)], [worker(1, free=2)], elder=(head(9, large), large), had={OPS: 99.0})

    assert runs_of(made) == [9]


DEMANDS = (LICENSE, GATE, Demand(resource="lock license", amount=2), Demand(resource="group 1/a", most=2))
some_terms = st.builds(
    lambda demands, slots, os: terms(*{each.resource: each for each in demands}.values(), slots=slots, os=os),
    st.lists(st.sampled_from(DEMANDS), max_size=3),
    st.integers(1, 3),
    st.sampled_from([None, "linux", "windows"]),
)
some_workers = st.lists(
    st.builds(
        lambda free, slots, os: (min(free, slots), slots, os),
        st.integers(0, 4),
        st.integers(1, 4),
        st.sampled_from(["linux", "windows"]),
    ),
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(some_terms, st.sampled_from([OPS, SCAN]), st.integers(0, 9)), max_size=12),
    some_workers,
    st.dictionaries(st.sampled_from(["lock license", "lock gate", "group 1/a"]), st.integers(0, 3)),
    st.integers(0, 3),
    st.booleans(),
)
def test_nothing_is_ever_given_that_is_not_there(
    wanted: list[tuple[Terms, ProjectId, int]],
    places: list[tuple[int, int, str]],
    held: dict[str, int],
    reserved: int,
    has_elder: bool,
) -> None:
    heads = [
        (head(number, its, project=project, rank=rank), its) for number, (its, project, rank) in enumerate(wanted, 1)
    ]
    workers = [worker(n, free=free, slots=slots, os=os) for n, (free, slots, os) in enumerate(places, 1)]
    reserves = [Reserve(project=OPS, slots=reserved, workers=frozenset(each.worker for each in workers))]
    elder = heads.pop() if has_elder and heads else None

    made = planned(heads, workers, held=held, most={"lock license": 3}, reserves=reserves, elder=elder)

    known = {each.signature: its for each, its in [*heads, *([elder] if elder else [])]}
    used: Counter[WorkerId] = Counter()
    taken: Counter[str] = Counter(held)
    for each, place in made.given:
        used[place] += known[each.signature].matching.slots
        for demand in known[each.signature].demands:
            taken[demand.resource] += demand.amount
    assert all(used[each.worker] <= each.free_slots for each in workers)
    assert len(set(runs_of(made))) == len(made.given)
    most = {"lock license": 3, "lock gate": 1, "group 1/a": 2}
    assert all(count <= max(most[name], held.get(name, 0)) for name, count in taken.items())
    free_after = sum(each.free_slots for each in workers) - sum(used.values())
    if any(known[each.signature].matching.slots and each.signature.startswith(f"{SCAN}.") for each, _ in made.given):
        by_ops = sum(known[e.signature].matching.slots for e, _ in made.given if e.signature.startswith(f"{OPS}."))
        assert free_after + by_ops >= min(reserved, sum(each.free_slots for each in workers))
    # Whoever got nothing is told why, once for its signature.
    left = {each.signature for each, _ in [*heads, *([elder] if elder else [])] if each.run not in runs_of(made)}
    assert left == made.crowded | made.lacking
