"""Jobs that are pipelines, of every shape: chains, joins, matrices, lists, approvals, closing elements, nested."""

import random
from collections.abc import Sequence

from orchestra.elements import Approval, Element, Matrix, Pipeline, Rule, Verdict
from orchestra.specification import (
    Execution,
    JobDefinition,
    JobSpecification,
    Parameter,
    ParameterType,
    Step,
)

PART, FINDER, INNER = "part", "finder", "inner"
"""What elements run: a step, a step that finds a list out, and a pipeline."""
FOUND = "found"
"""The name of the list."""
_MANY_MAX = 3
_RULES: tuple[tuple[Rule, ...], ...] = (
    *6 * ((Rule.SUCCEEDED,),),
    *2 * ((Rule.FINISHED,),),
    (Rule.SUCCEEDED, Rule.SKIPPED),
    (Rule.FAILED,),
    (Rule.SKIPPED, Rule.CANCELLED, Rule.ABORTED),
)


def pipelined_jobs(chance: random.Random) -> tuple[JobDefinition, ...]:
    """What elements run, and one or two pipelines of them; the names of those begin with `pipeline`."""
    inner = Pipeline(elements=(Element(name="first", job=PART), Element(name="then", job=PART, after=_after("first"))))
    pipelines = [
        _job(f"pipeline-{number}", pipeline=_pipeline(chance), timeout_seconds=chance.choice((None, None, None, 45.0)))
        for number in range(1, chance.randint(1, 2) + 1)
    ]
    size = Parameter(name="size", type=ParameterType.STRING, default=str(chance.randint(0, _MANY_MAX)))
    return (_job(PART), _job(FINDER, parameters=(size,)), _job(INNER, pipeline=inner), *pipelines)


def members_found(size: str) -> list[str]:
    """What a step that finds a list out finds."""
    return [f"member-{number}" for number in range(int(size))]


def _pipeline(chance: random.Random) -> Pipeline:
    elements = [Element(name="e0", job=FINDER)]
    for number in range(1, chance.randint(2, 6)):
        elements.append(_element(chance, f"e{number}", elements))
    closing: list[Element] = []
    for number in range(chance.choice((0, 1, 1, 2))):
        closing.append(_element(chance, f"c{number}", closing))
    return Pipeline(
        elements=tuple(elements),
        closing=tuple(closing),
        max_parallel=chance.choice((None, None, None, 1, 2)),
        fail_fast=chance.random() < 0.2,
    )


def _element(chance: random.Random, name: str, before: Sequence[Element]) -> Element:
    after = {
        each.name: chance.choice(_RULES)
        for each in chance.sample(list(before), min(len(before), chance.choice((0, 1, 1, 1, 2))))
    }
    condition = f"states.{next(iter(after))} != 'failed'" if after and chance.random() < 0.15 else ""
    kind = chance.choice(("job", "job", "job", "matrix", "matrix", "list", "approval", "inner"))
    if kind == "approval":
        asked = Approval(
            message=f"May {name} go on?",
            timeout_seconds=chance.choice((None, 3.0, 20.0)),
            on_timeout=chance.choice(list(Verdict)),
        )
        return Element(name=name, after=after, condition=condition, approval=asked)
    is_list = kind == "list" and name.startswith("e")
    if is_list:
        after["e0"] = (Rule.SUCCEEDED,)
    is_many = kind == "matrix" or is_list
    if kind == "matrix" and chance.random() < 0.3:
        condition = "matrix.n != 2"
    matrix = Matrix(axes={"n": tuple(range(1, chance.randint(1, _MANY_MAX) + 1))}) if kind == "matrix" else None
    return Element(
        name=name,
        job=INNER if kind == "inner" else PART,
        after=after,
        condition=condition,
        matrix=matrix,
        for_each=f"results.e0.{FOUND}" if is_list else "",
        max_parallel=chance.choice((None, None, 1, 2)) if is_many else None,
        fail_fast=is_many and chance.random() < 0.2,
        allow_failure=chance.random() < 0.15,
        allowed_exit_codes=(75,) if chance.random() < 0.2 else (),
    )


def _after(*names: str) -> dict[str, tuple[Rule, ...]]:
    return dict.fromkeys(names, (Rule.SUCCEEDED,))


def _job(
    name: str,
    *,
    pipeline: Pipeline | None = None,
    parameters: tuple[Parameter, ...] = (),
    timeout_seconds: float | None = None,
) -> JobDefinition:
    steps = () if pipeline is not None else (Step(name="step-0", run="true"),)
    return JobDefinition(
        name=name,
        specification=JobSpecification(
            execution=Execution(steps=steps, grace_seconds=2.0, timeout_seconds=timeout_seconds),
            parameters=parameters,
            pipeline=pipeline,
            # Or what comes after a run on a machine that is gone for good would wait for a week.
            lost_after_seconds=60.0,
        ),
    )
