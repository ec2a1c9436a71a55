"""What is looked at when all is quiet again: every run, every tick, every process."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.faults.checker import Expected, RunSeen, check, check_unchanged, see
from tests.faults.soak.breaking import Breaking
from tests.faults.soak.installation import SLOTS, Installation
from tests.faults.soak.ticking import Ticking
from tests.faults.soak.workload import Workload
from tests.faults.violations import Guarantee, Violation, Violations, together
from tests.faults.witness import Witness
from tests.support.journey import wait_until

QUIET_SECONDS_MAX = 300.0
REPEATED_MAX = 200
KEEPER_LOST = "keeper lost"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found."""

    runs: int
    executions: int
    ends: Mapping[str, int]
    """How many runs ended in each state."""
    keeper_lost: int
    violations: Violations


def judge(
    made: Installation, witness: Witness, workload: Workload, ticking: Ticking, breaking: Breaking, *, seed: int
) -> Verdict:
    """Waits until every run is over, and compares what was promised, executed, printed and told."""
    expected = {**workload.expected, **ticking.runs()}
    ends = await_ends(made, expected)
    left = list(_left(made))
    alone = list(_ended_alone(made, breaking))
    for part in made.instance.parts:
        part.kill()
        part.start()
        part.await_port()
    after = {number: see(made.instance, number) for number in expected}

    broken = [run for run in ends.values() if run.state == "exception"]
    violations = check(made.instance, witness, expected) + check_unchanged(ends.values(), after) + ticking.check()
    violations += together([*left, *_repeated(workload, seed), *_broken(broken, breaking), *alone])
    states = [run.state for run in ends.values()]
    return Verdict(
        runs=len(expected),
        executions=len(witness.executions()),
        ends={state: states.count(state) for state in sorted(set(states))},
        keeper_lost=len(broken),
        violations=violations,
    )


def await_ends(made: Installation, expected: Mapping[int, Expected]) -> Mapping[int, RunSeen]:
    """Each run when it is over, or as it is when the patience is."""
    found: dict[int, RunSeen] = {}

    def look() -> bool:
        for number in expected:
            if number not in found:
                run = made.instance.run(number)
                if not run.is_over:
                    return False
                found[number] = see(made.instance, number)
        return True

    try:
        wait_until(look, seconds=QUIET_SECONDS_MAX)
    except AssertionError:
        # The checker says which they are; giving up here would hide what else there is.
        found |= {number: see(made.instance, number) for number in expected if number not in found}
    return found


def _left(made: Installation) -> Iterator[Violation]:
    try:
        wait_until(lambda: not made.jobs_alive(), seconds=10)
    except AssertionError:
        text = f"processes {made.jobs_alive()} of jobs outlived them"
        yield Violation(guarantee=Guarantee.CANCEL, kind="extra", text=text)


def _repeated(workload: Workload, seed: int) -> Iterator[Violation]:
    chance = random.Random(seed)
    known = [(load, number) for load in workload.loads.values() for number in load.expected]
    for load, number in chance.sample(known, min(REPEATED_MAX, len(known))):
        again = load.repeat(number)
        if again != number:
            text = f"the key of #{number} has made #{again}"
            yield Violation(guarantee=Guarantee.ACCEPTANCE, kind="extra", text=text)


def _ended_alone(made: Installation, breaking: Breaking) -> Iterator[Violation]:
    now = [
        name for name, program in made.programs.items() if program.process is None or program.process.poll() is not None
    ]
    for name in [*breaking.ended_alone, *now]:
        guarantee = Guarantee.WORKER_RESTART if name in made.agents else Guarantee.MASTER_RESTART
        yield Violation(guarantee=guarantee, kind="outcome", text=f"{name} ended, and nobody had killed it")


def _broken(broken: list[RunSeen], breaking: Breaking) -> Iterator[Violation]:
    """Runs that ended by our fault: each keeper that was killed takes no more with it than its slots."""
    for run in broken:
        if KEEPER_LOST not in run.reason:
            text = f"#{run.id} ended by no fault that was made: {run.reason}"
            yield Violation(guarantee=Guarantee.WORKER_RESTART, kind="outcome", text=text)
    keepers_killed = sum(one.kind == "kill a keeper" for one in breaking.struck)
    if len(broken) > keepers_killed * SLOTS:
        text = f"{len(broken)} runs were lost with {keepers_killed} keepers of {SLOTS} slots"
        yield Violation(guarantee=Guarantee.WORKER_RESTART, kind="outcome", text=text)
