"""The life of one attempt after `go`: step by step until its final event, also when it is taken up again by a new
agent."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestra.clock import Clock
from orchestra.errors import OrchestraError
from orchestra.limits import TEARDOWN_SECONDS_MAX
from orchestra.protocol.messages import CheckIn, Final, Happening, LostRange, Results, Started, StepEnded, StepStarted
from orchestra.specification import PropertyValue
from orchestra_worker.attempt import HeldAttempt, StepProgress
from orchestra_worker.back_pressure import BackPressure
from orchestra_worker.check_in import read_check_ins
from orchestra_worker.environment import (
    check_templates,
    step_arguments,
    step_environment,
    template_values,
    working_directory,
)
from orchestra_worker.folders import WorkerFolder
from orchestra_worker.keeper_client import StepOrder, StepReport
from orchestra_worker.keeper_files import CHECK_INS_NAME
from orchestra_worker.keeper_protocol import MACHINE_RESTARTED
from orchestra_worker.log_source import LogSource
from orchestra_worker.masking import Masker
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
from orchestra_worker.recorder import AttemptRecorder
from orchestra_worker.results import BadResults, changed_results, read_results
from orchestra_worker.step_runner import StepRunner

log = logging.getLogger(__name__)

_FORGOTTEN = "forgotten"


@dataclass(frozen=True, kw_only=True)
class LifeParts:
    """What all attempts of a worker share."""

    worker: str
    boot_id: str
    folder: WorkerFolder
    base_environment: Mapping[str, str]
    runner: StepRunner
    recorder: AttemptRecorder
    clock: Clock


class AttemptLife:
    """Executes one started attempt. Its owner runs `live` in a task; the other calls may come at any time."""

    def __init__(self, *, attempt: HeldAttempt, masker: Masker, source: LogSource, parts: LifeParts) -> None:
        self.attempt = attempt
        self._masker = masker
        self._source = source
        self.log_path = source.path
        self._parts = parts
        self._folder = source.folder
        self._environment = step_environment(
            parts.base_environment,
            attempt.offer,
            worker=parts.worker,
            folder=self._folder,
            socket=parts.folder.socket,
        )
        self._current: Run | None = None
        self._order: StepOrder | None = None
        self._begun: frozenset[int] = frozenset()
        self._lost_output: dict[int, tuple[tuple[int, int], ...]] = {}
        """Of steps that this agent has seen end; of others only their files know."""
        self._teardown_started: float | None = None

    def begin(self) -> list[Happening]:
        """The attempt starts now: what is to be told, with the step that comes first, so that both share a commit."""
        action = next_action(self._facts())
        return [Started(), *(self._begin(action, self._source.length) if isinstance(action, Run) else ())]

    async def live(self) -> None:
        """Goes on from what the journal knows, until the final event is written or the attempt is forgotten."""
        attempt = self.attempt
        self._begun = self._claimed_steps()
        while not attempt.is_over and not attempt.is_forgotten:
            action = next_action(self._facts())
            if isinstance(action, Finish):
                await self.finish(action)
            else:
                await self._execute(action)
        for number in attempt.steps:
            await self._parts.runner.forget(self._step_name(number))

    async def finish_broken(self, error: Exception) -> None:
        """Ends the attempt after a fault of our own, so that it never hangs."""
        end = next_action(PlanFacts(execution=self.attempt.offer.execution, unusable=f"the worker failed: {error}"))
        assert isinstance(end, Finish)
        if self._order is not None:
            await self._parts.runner.stop(self._order.step, reason=ABORTED, grace_seconds=0)
        if not self.attempt.is_over:
            await self.finish(end)

    async def finish(self, end: Finish) -> None:
        """Writes the final event."""
        await self._parts.recorder.record(self.attempt, lambda: self._finish(end))

    def close(self) -> None:
        """Closes the log's files; nothing of the attempt is wanted any more."""
        self._source.close()

    async def stop(self) -> None:
        """Ends the running step, because `attempt.stop_reason` is set; a teardown step has a limit of its own."""
        if self._order is not None and self._current is not None and not self._current.is_teardown:
            await self._parts.runner.stop(self._order.step, reason=ABORTED, grace_seconds=self._grace())

    async def forget(self) -> None:
        """Ends whatever runs, because `attempt.is_forgotten` is set."""
        if self._order is not None:
            await self._parts.runner.stop(self._order.step, reason=_FORGOTTEN, grace_seconds=self._grace())

    def look_at_backlog(self, pressure: BackPressure) -> None:
        """Lets the running step wait, or go on, by what the master has not stored of its log."""
        if self._order is not None:
            length, stored = self._source.length, self._source.acknowledged
            pressure.look(self.attempt.key, self._order.step, length=length, stored=stored)

    async def extend_lease(self) -> None:
        """Pushes the running step's deadline forward, after `attempt.contact_boottime` did."""
        if self._order is not None and self._current is not None:
            deadline, reason = self._deadline(self._current)
            await self._parts.runner.set_deadline(self._order.step, deadline, reason)

    async def take_check_ins(self) -> None:
        """Tells the newest check-in, if there is a new one."""
        read = read_check_ins(f"{self._folder}/{CHECK_INS_NAME}", self.attempt.check_in_offset)
        if read.offset == self.attempt.check_in_offset or self.attempt.is_over:
            return

        def take() -> list[Happening]:
            self.attempt.check_in_offset = read.offset
            if read.newest is None or self.attempt.is_over:
                return []
            return [CheckIn(progress=read.newest.progress, text=self._masker.mask_text(read.newest.text))]

        await self._parts.recorder.record(self.attempt, take)

    # --- deciding ---

    def _facts(self) -> PlanFacts:
        attempt = self.attempt
        return PlanFacts(
            execution=attempt.offer.execution,
            ended=attempt.ended_steps,
            begun=self._begun,
            stop=attempt.stop_reason,
            timed_out=self._is_past(self._timeout_at()),
            lost=self._lost(),
            unusable=None if attempt.steps or self._begun else self._unusable(),
        )

    def _claimed_steps(self) -> frozenset[int]:
        """By the files, because a claim comes before the journal hears of the step."""
        numbers = range(len(self.attempt.all_steps)) if self._folder.is_dir() else range(0)
        claimed = (number for number in numbers if self._parts.runner.read_step(self._folder, number) is not None)
        return frozenset(claimed)

    def _lost(self) -> str | None:
        if self.attempt.boot_id != self._parts.boot_id:
            return MACHINE_RESTARTED
        return OUT_OF_CONTACT if self._is_past(self._lease_ends_at()) else None

    def _unusable(self) -> str | None:
        try:
            check_templates(self.attempt.all_steps, self._values())
        except OrchestraError as error:
            return self._masker.mask_text(str(error))
        return None

    def _timeout_at(self) -> float | None:
        limit, started = self.attempt.offer.execution.timeout_seconds, self.attempt.started_boottime
        return None if limit is None or started is None else started + limit

    def _lease_ends_at(self) -> float | None:
        limit, contact = self.attempt.offer.execution.disconnect_stop_seconds, self.attempt.contact_boottime
        return None if limit is None or contact is None else contact + limit

    def _is_past(self, moment: float | None) -> bool:
        return moment is not None and self._parts.clock.monotonic() >= moment

    def _deadline(self, action: Run) -> tuple[float | None, str]:
        """When the keeper itself ends the step, and what it says then."""
        if action.is_teardown:
            if self._teardown_started is None:
                self._teardown_started = self._parts.clock.monotonic()
            limit: float | None = self._teardown_started + TEARDOWN_SECONDS_MAX
        else:
            limit = self._timeout_at()
        lease = self._lease_ends_at()
        if lease is not None and (limit is None or lease < limit):
            return lease, OUT_OF_CONTACT
        return limit, TIMED_OUT

    def _grace(self) -> float:
        asked = self.attempt.stop_grace
        return self.attempt.offer.execution.grace_seconds if asked is None else asked

    def _values(self) -> dict[str, Mapping[str, PropertyValue]]:
        attempt = self.attempt
        return template_values(attempt.offer, self._environment, attempt.results, worker=self._parts.worker)

    def _step_name(self, number: int) -> str:
        return f"{self.attempt.name}-{number}"

    # --- executing ---

    async def _execute(self, action: Run) -> None:
        try:
            order = self._make_order(action)
        except OSError as error:
            await self._record_end(action, _not_run(f"cannot be prepared: {error.strerror}"), self._source.length)
            return
        except OrchestraError as error:
            await self._record_end(action, _not_run(self._masker.mask_text(str(error))), self._source.length)
            return
        self._current, self._order = action, order
        try:
            report = await self._parts.runner.execute(order, on_started=self._started)
        finally:
            self._current = self._order = None
        self._lost_output[action.number] = report.lost
        await self.take_check_ins()
        if self.attempt.is_forgotten:
            return
        reason = self._masker.mask_text(report.reason)
        await self._record_end(
            action, StepOutcome(exit_code=report.exit_code, reason=reason or _unknown_end(report)), report.log_length
        )

    def _make_order(self, action: Run) -> StepOrder:
        if action.number in self._begun:
            # It was claimed, so the keeper only looks at its name; the job may have removed its own directory by now.
            return self._order_of(action, ("/bin/false",), self._folder)
        folder = self._parts.folder.make_attempt(self.attempt.key)
        directory = working_directory(self._parts.folder, self.attempt.offer)
        argv = step_arguments(
            action.step,
            script=folder / f"{action.number}.sh",
            directory=directory,
            environment=self._environment,
            values=self._values(),
        )
        return self._order_of(action, argv, directory)

    def _order_of(self, action: Run, argv: tuple[str, ...], directory: Path) -> StepOrder:
        deadline, deadline_reason = self._deadline(action)
        execution = self.attempt.offer.execution
        return StepOrder(
            step=self._step_name(action.number),
            folder=self._folder,
            number=action.number,
            argv=argv,
            directory=directory,
            environment=self._environment,
            deadline=deadline,
            deadline_reason=deadline_reason,
            grace_seconds=execution.grace_seconds,
            timeout_seconds=action.step.timeout_seconds,
            timeout_reason=STEP_TIMED_OUT,
            silence_seconds=None if action.is_teardown else execution.silence_seconds,
            silence_reason=SILENT,
        )

    async def _started(self, report: StepReport) -> None:
        """The keeper has the step. Words that came while it was being started have not reached it yet."""
        action = self._current
        assert action is not None
        if action.number not in self.attempt.steps:
            await self._parts.recorder.record(self.attempt, lambda: self._begin(action, report.log_start))
        if self.attempt.is_forgotten:
            await self.forget()
        elif self.attempt.stop_reason is not None:
            await self.stop()

    def _begin(self, action: Run, log_start: int) -> list[Happening]:
        self.attempt.steps[action.number] = StepProgress(log_start=log_start)
        return [StepStarted(step=action.number, name=action.step.name, log_offset=log_start)]

    async def _record_end(self, action: Run, outcome: StepOutcome, log_length: int) -> None:
        """The step's end, what it found out, and the attempt's end if this was it: in one commit."""
        found: Mapping[str, object] = {}
        try:
            read = read_results(f"{self._folder}/results.json", mask_text=self._masker.mask_text)
            found = changed_results(self.attempt.results, read)
        except BadResults as error:
            read = {}
            if outcome.succeeded:
                outcome = StepOutcome(exit_code=outcome.exit_code, reason=str(error))

        def end() -> list[Happening]:
            happenings: list[Happening] = []
            if action.number not in self.attempt.steps:
                happenings += self._begin(action, log_length)
            happenings.append(self._end(action.number, outcome, log_length))
            if found:
                self.attempt.results.update(read)
                happenings.append(Results(values={name: read[name] for name in found}))
            after = next_action(self._facts())
            return happenings + self._finish(after) if isinstance(after, Finish) else happenings

        await self._parts.recorder.record(self.attempt, end)

    def _end(self, number: int, outcome: StepOutcome, log_length: int) -> StepEnded:
        step = self.attempt.steps[number]
        step.outcome, step.log_length, step.is_written = outcome, log_length, False
        return StepEnded(step=number, exit_code=outcome.exit_code, reason=outcome.reason, log_length=log_length)

    def _finish(self, end: Finish) -> list[Happening]:
        self.attempt.state = end.outcome
        length, reason = self._source.length, self._masker.mask_text(end.reason)
        # Told as begun, and then stopped before it was spawned, or lost: nobody will tell its end later.
        left = [number for number, step in self.attempt.steps.items() if step.outcome is None]
        final = Final(
            outcome=end.outcome,
            exit_code=end.exit_code,
            reason=reason,
            cause=end.cause,
            log_length=length,
            log_digest="",  # Filled in when it is sent: only then were all masked bytes read.
            lost=self._lost_ranges(),
        )
        return [*(self._end(number, StepOutcome(exit_code=None, reason=reason), length) for number in left), final]

    def _lost_ranges(self) -> tuple[LostRange, ...]:
        ranges = [lost for number in sorted(self.attempt.steps) for lost in self._lost_by(number)]
        return tuple(LostRange(offset=offset, length=length) for offset, length in ranges)

    def _lost_by(self, number: int) -> tuple[tuple[int, int], ...]:
        if number in self._lost_output:
            return self._lost_output[number]
        report = self._parts.runner.read_step(self._folder, number)
        return () if report is None else report.lost


def _not_run(reason: str) -> StepOutcome:
    return StepOutcome(exit_code=None, reason=reason)


def _unknown_end(report: StepReport) -> str:
    return "" if report.exit_code is not None else "its end is unknown"
