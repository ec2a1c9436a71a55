"""The plan of an attempt: which step is next, and what the end is."""

import pytest

from orchestra.lifecycle import AttemptState
from orchestra.specification import Execution, Step
from orchestra_worker.keeper_protocol import KEEPER_LOST, MACHINE_RESTARTED
from orchestra_worker.plan import (
    ABORTED,
    OUT_OF_CONTACT,
    SILENT,
    STEP_TIMED_OUT,
    TIMED_OUT,
    Finish,
    PlanFacts,
    Run,
    StepOutcome,
    next_action,
)

WHAT = Execution(
    setup=(Step(name="fetch", run="x", timeout_seconds=90),),
    steps=(Step(name="build", run="x", timeout_seconds=600), Step(name="pack", run="x")),
    teardown=(Step(name="tidy", run="x"), Step(name="report", run="x", timeout_seconds=20)),
    timeout_seconds=2700,
    silence_seconds=300,
)
OK = StepOutcome(exit_code=0)


def bad(code: int | None = 3, reason: str = "") -> StepOutcome:
    return StepOutcome(exit_code=code, reason=reason)


def end_of(facts: PlanFacts) -> Finish:
    action = next_action(facts)
    assert isinstance(action, Finish), action
    return action


def step_of(facts: PlanFacts) -> int:
    action = next_action(facts)
    assert isinstance(action, Run), action
    return action.number


def test_set_up_steps_and_teardown_come_in_order() -> None:
    assert [step_of(PlanFacts(execution=WHAT, ended=dict.fromkeys(range(count), OK))) for count in range(5)] == [
        *range(5)
    ]
    assert end_of(PlanFacts(execution=WHAT, ended=dict.fromkeys(range(5), OK))).outcome is AttemptState.SUCCEEDED


@pytest.mark.parametrize(
    "facts",
    [
        PlanFacts(execution=WHAT, ended={0: OK, 1: bad()}),
        PlanFacts(execution=WHAT, ended={0: bad()}),
        PlanFacts(execution=WHAT, ended={0: OK, 1: bad(-15, TIMED_OUT)}),
        PlanFacts(execution=WHAT, ended={0: OK, 1: bad(-15, STEP_TIMED_OUT)}),
        PlanFacts(execution=WHAT, ended={0: OK, 1: bad(-15, SILENT)}),
        PlanFacts(execution=WHAT, ended={0: OK, 1: bad(-15, ABORTED)}, stop="by Ana"),
        PlanFacts(execution=WHAT, ended={0: OK}, stop="by Ana"),
        PlanFacts(execution=WHAT, ended={0: OK}, timed_out=True),
    ],
)
def test_teardown_runs_after_failure_timeout_and_abort_alike(facts: PlanFacts) -> None:
    action = next_action(facts)

    assert action == Run(number=3, step=WHAT.teardown[0], is_teardown=True)


@pytest.mark.parametrize(
    ("ended", "stop", "end"),
    [
        ({1: bad(3)}, None, (AttemptState.FAILED, 3, "step 'build': exit code 3", "exit:3")),
        ({1: bad(127)}, None, (AttemptState.FAILED, 127, "step 'build': exit code 127", "exit:127")),
        ({1: bad(-9)}, None, (AttemptState.FAILED, -9, "step 'build': signal 9", "exit")),
        ({1: bad(-15, TIMED_OUT)}, None, (AttemptState.FAILED, -15, "timed out after 45 min", "timeout")),
        ({1: bad(-15, ABORTED)}, "by Ana", (AttemptState.ABORTED, -15, "aborted: by Ana", None)),
        ({0: bad(3)}, None, (AttemptState.EXCEPTION, 3, "set-up 'fetch': exit code 3", "exception:setup")),
        (
            {0: bad(None, "command not found: 'x'")},
            None,
            (AttemptState.EXCEPTION, None, "step 'fetch': command not found: 'x'", "exception:setup"),
        ),
        (
            {0: bad(-15, STEP_TIMED_OUT)},
            None,
            (AttemptState.FAILED, -15, "timed out: the step 'fetch' took longer than 1 min 30 s", "timeout"),
        ),
        (
            {1: bad(-9, STEP_TIMED_OUT)},
            None,
            (AttemptState.FAILED, -9, "timed out: the step 'build' took longer than 10 min", "timeout"),
        ),
        (
            {1: bad(-15, SILENT)},
            None,
            (AttemptState.FAILED, -15, "timed out: nothing was printed and nothing checked in for 5 min", "timeout"),
        ),
        (
            {1: bad(None, "command not found: 'x'")},
            None,
            (AttemptState.EXCEPTION, None, "step 'build': command not found: 'x'", "exception"),
        ),
        ({1: OK, 2: OK}, "too late", (AttemptState.SUCCEEDED, 0, "", None)),
    ],
)
def test_the_first_step_that_does_not_succeed_decides(
    ended: dict[int, StepOutcome], stop: str | None, end: tuple[AttemptState, int | None, str, str | None]
) -> None:
    finish = end_of(PlanFacts(execution=WHAT, ended={0: OK, 3: OK, 4: OK, **ended}, stop=stop))

    assert (finish.outcome, finish.exit_code, finish.reason, finish.cause) == end


def test_a_failing_teardown_does_not_change_success_but_is_named() -> None:
    finish = end_of(PlanFacts(execution=WHAT, ended={0: OK, 1: OK, 2: OK, 3: bad(5), 4: bad(-15, TIMED_OUT)}))

    assert finish.outcome is AttemptState.SUCCEEDED
    assert finish.reason == "teardown 'tidy': exit code 5; teardown 'report': timed out"


def test_a_teardown_step_that_takes_too_long_is_named_with_its_own_limit() -> None:
    finish = end_of(PlanFacts(execution=WHAT, ended={0: OK, 1: OK, 2: bad(3), 3: OK, 4: bad(-15, STEP_TIMED_OUT)}))

    assert (finish.outcome, finish.exit_code, finish.cause) == (AttemptState.FAILED, 3, "exit:3")
    assert finish.reason == "step 'pack': exit code 3; teardown 'report': timed out after 20 s"


def test_an_abort_before_anything_ran_has_nothing_to_tear_down() -> None:
    assert end_of(PlanFacts(execution=WHAT, stop="by Ana")).outcome is AttemptState.ABORTED


@pytest.mark.parametrize("reason", [OUT_OF_CONTACT, KEEPER_LOST, MACHINE_RESTARTED])
def test_what_is_lost_runs_nothing_more_not_even_teardown(reason: str) -> None:
    finish = end_of(PlanFacts(execution=WHAT, ended={0: OK, 1: bad(None, reason)}))

    assert (finish.outcome, finish.cause) == (AttemptState.EXCEPTION, "lost")


def test_nothing_is_executed_when_a_template_cannot_be_used() -> None:
    finish = end_of(PlanFacts(execution=WHAT, unusable="no such value"))

    assert (finish.outcome, finish.reason, finish.cause) == (AttemptState.EXCEPTION, "no such value", "exception")


@pytest.mark.parametrize(
    "facts",
    [
        PlanFacts(execution=WHAT, ended={0: OK}, begun=frozenset({1}), stop="by Ana"),
        PlanFacts(execution=WHAT, ended={0: OK}, begun=frozenset({1}), timed_out=True),
        PlanFacts(execution=WHAT, ended={0: OK}, begun=frozenset({1}), lost=OUT_OF_CONTACT),
    ],
)
def test_a_step_that_was_begun_is_taken_up_again_before_anything_is_decided(facts: PlanFacts) -> None:
    assert step_of(facts) == 1


def test_after_a_restart_of_the_machine_nothing_is_taken_up_again() -> None:
    finish = end_of(PlanFacts(execution=WHAT, ended={0: OK}, begun=frozenset({1}), lost=MACHINE_RESTARTED))

    assert (finish.outcome, finish.reason) == (AttemptState.EXCEPTION, "machine restarted")
