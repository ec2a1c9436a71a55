"""What an attempt does next: a pure function of the job's steps and of what has happened so far.

Set-up, steps, teardown, counted together from 0. The first set-up or main step that does not succeed decides the
outcome; teardown then runs whatever the outcome, except when nobody may touch the machine any more in this attempt's
name (the lease has run out, the keeper or the machine was lost).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestra.durations import duration_in_words
from orchestra.lifecycle import AttemptState
from orchestra.specification import Execution, RetryCause, Step
from orchestra_worker.keeper_protocol import KEEPER_LOST, MACHINE_RESTARTED

TIMED_OUT = "timed out"
STEP_TIMED_OUT = "timed out: it took longer than its own timeout"
SILENT = "timed out: it was silent for too long"
ABORTED = "aborted"
OUT_OF_CONTACT = "out of contact"
"""The lease of `disconnect: stop` has run out: another worker may start the run now."""
SETUP_FAILED = f"{RetryCause.EXCEPTION}:{RetryCause.SETUP}"
"""A cause with a detail: a master that knows of no set-up takes it for an exception."""
_LOST = frozenset({OUT_OF_CONTACT, KEEPER_LOST, MACHINE_RESTARTED})


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOutcome:
    """How a step ended: by itself (empty reason), or for a reason."""

    exit_code: int | None
    """Negative for a signal."""
    reason: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it exited by itself with 0."""
        return self.exit_code == 0 and not self.reason


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanFacts:
    """Everything that the next action depends on."""

    execution: Execution
    ended: Mapping[int, StepOutcome] = field(default_factory=dict)
    begun: frozenset[int] = frozenset()
    """Steps that a former agent has given to the keeper and whose end is not known: first of all they are taken up
    again."""
    stop: str | None = None
    """Why a person or the master wants it ended."""
    timed_out: bool = False
    """The time for set-up and steps is over."""
    lost: str | None = None
    """Why nothing may be executed any more; one of the reasons above."""
    unusable: str | None = None
    """Why nothing can be executed at all: a template names an unknown value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Execute this step."""

    number: int
    step: Step
    is_teardown: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Finish:
    """The attempt is over."""

    outcome: AttemptState
    exit_code: int | None = None
    reason: str = ""
    cause: str | None = None


SUCCEEDED = Finish(outcome=AttemptState.SUCCEEDED, exit_code=0)


def next_action(facts: PlanFacts) -> Run | Finish:
    """The next step to execute, or the end."""
    if facts.unusable is not None:
        return _broke(facts.unusable)
    adopted = None if facts.lost == MACHINE_RESTARTED else _begun(facts)
    if adopted is not None:
        return adopted
    lost = facts.lost or next((end.reason for end in facts.ended.values() if end.reason in _LOST), None)
    if lost is not None:
        return Finish(outcome=AttemptState.EXCEPTION, reason=_lost_sentence(lost), cause=RetryCause.LOST)
    verdict = _next_main(facts)
    if isinstance(verdict, Run):
        return verdict
    return _next_teardown(facts, verdict)


def _begun(facts: PlanFacts) -> Run | None:
    """A step that may still run: stops and deadlines reach it there, and its output belongs to the log."""
    execution = facts.execution
    first_teardown = len(execution.setup) + len(execution.steps)
    for number, step in enumerate((*execution.setup, *execution.steps, *execution.teardown)):
        if number in facts.begun and number not in facts.ended:
            return Run(number=number, step=step, is_teardown=number >= first_teardown)
    return None


def _next_main(facts: PlanFacts) -> Run | Finish:
    setup = facts.execution.setup
    for number, step in enumerate((*setup, *facts.execution.steps)):
        end = facts.ended.get(number)
        if end is None:
            if facts.stop is not None:
                return _aborted(facts)
            if facts.timed_out:
                words = _timed_out(facts.execution)
                return Finish(outcome=AttemptState.FAILED, reason=words, cause=RetryCause.TIMEOUT)
            return Run(number=number, step=step)
        if not end.succeeded:
            return _failure(facts, step, end, is_setup=number < len(setup))
    return SUCCEEDED


def _next_teardown(facts: PlanFacts, verdict: Finish) -> Run | Finish:
    first = len(facts.execution.setup) + len(facts.execution.steps)
    if not facts.ended and facts.stop is not None:
        return verdict  # Aborted before anything ran: there is nothing to tear down.
    troubles = []
    for number, step in enumerate(facts.execution.teardown, start=first):
        end = facts.ended.get(number)
        if end is None:
            return Run(number=number, step=step, is_teardown=True)
        if not end.succeeded:
            troubles.append(f"teardown {step.name!r}: {_teardown_sentence(step, end)}")
    if not troubles:
        return verdict
    return Finish(
        outcome=verdict.outcome,
        exit_code=verdict.exit_code,
        reason="; ".join(filter(None, (verdict.reason, *troubles))),
        cause=verdict.cause,
    )


def _failure(facts: PlanFacts, step: Step, end: StepOutcome, *, is_setup: bool) -> Finish:
    if end.reason == ABORTED:
        return _aborted(facts, end.exit_code)
    late = _late_sentence(facts.execution, step, end)
    if late is not None:
        return Finish(outcome=AttemptState.FAILED, exit_code=end.exit_code, reason=late, cause=RetryCause.TIMEOUT)
    where = f"step {step.name!r}: " if len(facts.execution.steps) + len(facts.execution.setup) > 1 else ""
    if is_setup:
        reason = where + end.reason if end.reason else f"set-up {step.name!r}: {_sentence(end)}"
        return _broke(reason, end.exit_code, cause=SETUP_FAILED)
    if end.reason:
        return _broke(where + end.reason, end.exit_code)
    cause = f"exit:{end.exit_code}" if end.exit_code is not None and end.exit_code > 0 else str(RetryCause.EXIT)
    return Finish(outcome=AttemptState.FAILED, exit_code=end.exit_code, reason=where + _sentence(end), cause=cause)


def _aborted(facts: PlanFacts, exit_code: int | None = None) -> Finish:
    reason = f"aborted: {facts.stop}" if facts.stop else ABORTED
    return Finish(outcome=AttemptState.ABORTED, exit_code=exit_code, reason=reason)


def _timed_out(execution: Execution) -> str:
    limit = execution.timeout_seconds
    return TIMED_OUT if limit is None else f"{TIMED_OUT} after {duration_in_words(limit)}"


def _late_sentence(execution: Execution, step: Step, end: StepOutcome) -> str | None:
    """Which of the limits has ended the step; None if none has."""
    if end.reason == TIMED_OUT:
        return _timed_out(execution)
    if end.reason == STEP_TIMED_OUT and step.timeout_seconds is not None:
        return f"{TIMED_OUT}: the step {step.name!r} took longer than {duration_in_words(step.timeout_seconds)}"
    if end.reason == SILENT and execution.silence_seconds is not None:
        silence = duration_in_words(execution.silence_seconds)
        return f"{TIMED_OUT}: nothing was printed and nothing checked in for {silence}"
    return None


def _broke(reason: str, exit_code: int | None = None, *, cause: str = RetryCause.EXCEPTION) -> Finish:
    return Finish(outcome=AttemptState.EXCEPTION, exit_code=exit_code, reason=reason, cause=cause)


def _sentence(end: StepOutcome) -> str:
    if end.reason:
        return end.reason
    if end.exit_code is None:
        return "its end is unknown"
    return f"signal {-end.exit_code}" if end.exit_code < 0 else f"exit code {end.exit_code}"


def _teardown_sentence(step: Step, end: StepOutcome) -> str:
    if end.reason == STEP_TIMED_OUT and step.timeout_seconds is not None:
        return f"{TIMED_OUT} after {duration_in_words(step.timeout_seconds)}"
    return _sentence(end)


def _lost_sentence(lost: str) -> str:
    return "ended because the master was out of contact for too long" if lost == OUT_OF_CONTACT else lost
