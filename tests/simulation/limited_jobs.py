"""Jobs whose runs stand in each other's way, by every policy, and what each of their runs takes of what there is."""

import random
from collections.abc import Mapping, Sequence

from orchestra.policies import Concurrency, LockDemand, PoisonGuard, Policies, Rate
from orchestra.specification import (
    Execution,
    JobDefinition,
    JobSpecification,
    Matching,
    Parameter,
    ProjectDefinition,
    RetryPolicy,
    SlotReserve,
    Step,
)

NEIGHBOUR = "neighbour"
"""The other project."""
ENVIRONMENTS = ("north", "south")
MOST = {"lock gate": 1, "lock license": 3, "group north": 2, "group south": 2}
"""How much there is of each thing, as the definitions below say it."""
STARTS, WINDOW_SECONDS = 2, 10.0
"""The rate of `rated`."""
LOST_MAX = 2
"""So many lost attempts put `poison` into quarantine."""
NEVER_AGAIN = {"picky": 75}
"""After this exit code these jobs are not tried again."""
GREEDY = "greedy"
"""Needs two things at once."""
SINGLE = "single"
"""Needs one piece of what `greedy` needs two of."""
POISON = "poison"
_TAKES: Mapping[str, Mapping[str, int]] = {
    "gated": {"lock gate": 1},
    "next-door": {"lock gate": 1},
    GREEDY: {"lock gate": 1, "lock license": 2},
    "licensed": {"lock license": 2},
    SINGLE: {"lock license": 1},
    "broad": {"lock license": 1},
}


def limited_projects(chance: random.Random) -> tuple[Sequence[JobDefinition], Mapping[str, int], ProjectDefinition]:
    """The jobs of the first project with the locks that it declares, and the whole second project."""
    patient = RetryPolicy(max_attempts=3, wait_seconds=40.0, on=("exit", "lost", "exception"))
    picky = RetryPolicy(
        max_attempts=3, wait_seconds=1.0, on=("exit", "lost"), never=("exit:75",), avoid_worker=chance.random() < 0.5
    )
    mine = (
        _job("gated", Policies(locks=(LockDemand(name="gate"),)), retry=patient),
        _job(GREEDY, Policies(locks=(LockDemand(name="gate"), LockDemand(name="license", count=2))), priority=-5),
        _job("licensed", Policies(locks=(LockDemand(name="license", count=2),))),
        _job(SINGLE, Policies(locks=(LockDemand(name="license"),))),
        _job("broad", Policies(locks=(LockDemand(name="license"),)), slots=2, priority=2),
        _job(
            "grouped",
            Policies(concurrency=Concurrency(group="deploy-{parameters.to}", limit=2)),
            parameters=(Parameter(name="to", required=True),),
        ),
        _job("rated", Policies(rate=Rate(starts=STARTS, per_seconds=WINDOW_SECONDS))),
        _job("picky", Policies(), retry=picky),
        _job(
            POISON,
            Policies(poison=PoisonGuard(lost=LOST_MAX, within_seconds=600.0)),
            retry=RetryPolicy(max_attempts=2, wait_seconds=1.0, on=("lost",)),
            parameters=(Parameter(name="poison", default="yes"),),
        ),
    )
    neighbour = ProjectDefinition(
        name=NEIGHBOUR,
        share=3,
        reserve=SlotReserve(count=1) if chance.random() < 0.4 else None,
        jobs=(_job("next-door", Policies(locks=(LockDemand(name="gate"),))), _job("guest", Policies())),
    )
    return mine, {"license": MOST["lock license"]}, neighbour


def taken_by(job: str, parameters: Mapping[str, object]) -> Mapping[str, int]:
    """What a run of this job with these parameters takes while a worker has it: nothing of the product's is asked."""
    if job == "grouped":
        return {f"group {parameters['to']}": 1}
    return _TAKES.get(job, {})


def needs_much(job: str, slots: int) -> bool:
    """Whether such a run could be passed by for ever by those that need less."""
    taken = _TAKES.get(job, {})
    return slots > 1 or len(taken) > 1 or any(amount > 1 for amount in taken.values())


def _job(
    name: str,
    policies: Policies,
    *,
    retry: RetryPolicy | None = None,
    slots: int = 1,
    priority: int = 0,
    parameters: tuple[Parameter, ...] = (),
) -> JobDefinition:
    return JobDefinition(
        name=name,
        specification=JobSpecification(
            execution=Execution(steps=(Step(name="step-0", run="true"),), grace_seconds=2.0),
            matching=Matching(slots=slots),
            policies=policies,
            retry=retry or RetryPolicy(),
            priority=priority,
            parameters=parameters,
            # Or what waits for a run on a machine that is gone for good would wait for a week.
            lost_after_seconds=60.0,
        ),
    )
