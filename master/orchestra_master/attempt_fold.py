"""One batch of a worker's words about one attempt, folded into one change of its row, however many events came."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, update

from orchestra.clock import Instant
from orchestra.errors import ImpossibleTransition, ProtocolError
from orchestra.identifiers import JobVersionId
from orchestra.lifecycle import NEXT_ATTEMPT_STATE, AttemptEvent, AttemptState, RunEvent, RunState, next_state
from orchestra.protocol.codec import CloseCode
from orchestra.protocol.messages import (
    Acknowledge,
    CheckIn,
    Event,
    Final,
    Forget,
    Go,
    MasterMessage,
    Results,
    Started,
    StepEnded,
    StepStarted,
)
from orchestra.protocol.window import AttemptKey
from orchestra.specification import RetryCause
from orchestra.storage.attempts import withdraw_offer
from orchestra.storage.database import Signal, Topic
from orchestra.storage.job_versions import JobVersions
from orchestra.storage.quarantine import Quarantine
from orchestra.storage.results import set_results
from orchestra.storage.run_moves import RunMove
from orchestra.storage.steps import StepNews
from orchestra.storage.tables import runs
from orchestra_master.ending import Ending, end_run
from orchestra_master.gathered import Gathered
from orchestra_master.retrying import known_cause


@dataclass(kw_only=True, slots=True)
class AttemptReport:
    """What one batch of frames says of one attempt, in the order in which it was said."""

    accepted: bool = False
    refused: str | None = None
    events: list[Event] = field(default_factory=list)
    log_length: int | None = None
    """What is synced of the log now; None if the batch brought no log."""
    log_digest: str | None = None
    """Of the log as it is synced now; only worked out when the batch holds `final`."""


Report = Mapping[AttemptKey, AttemptReport]


@dataclass(kw_only=True, slots=True)
class Applied:
    """What follows from a report once it is committed."""

    answers: list[MasterMessage] = field(default_factory=list)
    released: list[AttemptKey] = field(default_factory=list)
    """Attempts that hold no slot any more."""
    started: list[AttemptKey] = field(default_factory=list)
    starts: list[Instant | None] = field(default_factory=list)
    """Since when those had been pending that have started."""
    ends: list[tuple[AttemptState, Instant | None]] = field(default_factory=list)
    """How attempts ended, and when they had started."""
    accepted: list[AttemptKey] = field(default_factory=list)
    refused: bool = False
    quarantined: list[Quarantine] = field(default_factory=list)
    signals: set[Signal] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenRow:
    """What the database knows of an attempt that is not over, and of its run."""

    state: AttemptState
    run_state: RunState
    sequence: int
    log_length: int
    attempts_counted: int
    pending_at: Instant | None
    started_at: Instant | None
    first_started_at: Instant | None
    stop_words: str | None
    job_version: JobVersionId
    signature: str


class AttemptFold:
    """Folds what was told into one attempt's row: one change that is gathered, however many events came."""

    def __init__(
        self,
        connection: Connection,
        versions: JobVersions,
        key: AttemptKey,
        row: OpenRow,
        actor: str,
        now: Instant,
        applied: Applied,
        gathered: Gathered,
    ) -> None:
        self._connection = connection
        self._versions = versions
        self._key = key
        self._run, self._number = key
        self._row = row
        self._actor = actor
        self._now = now
        self._applied = applied
        self._gathered = gathered
        self._state = row.state
        self._sequence = row.sequence
        self._counted = row.attempts_counted
        self._started_at = row.started_at
        self._move = RunMove(self._run, row.run_state)
        self._changes: dict[str, object] = {}
        self._steps: dict[int, StepNews] = {}

    def apply(self, told: AttemptReport) -> None:
        """Takes everything in order; raises ProtocolError if something is missing in between."""
        if told.refused is not None:
            self._refused(told.refused)
            return
        if told.accepted and not self._accepted():
            return
        length = max(self._row.log_length, told.log_length or 0)
        for event in told.events:
            self._take(event, length, told.log_digest)
        self._gathered.steps += self._steps.values()
        self._gathered.moves.append(self._move)
        if told.events or length != self._row.log_length:
            self._changes |= {"sequence": self._sequence, "log_length": length}
            self._applied.answers.append(
                Acknowledge(run=self._run, attempt=self._number, sequence=self._sequence, log_length=length)
            )
        if self._changes:
            self._gathered.change_attempt(self._key, {**self._changes, "state": self._state})
        if self._state not in (AttemptState.ACCEPTED, AttemptState.STARTED):
            self._applied.answers.append(Forget(run=self._run, attempt=self._number))
            self._applied.released.append(self._key)

    def _refused(self, reason: str) -> None:
        words = f"{self._actor} refused it: {reason}"
        withdrawn = withdraw_offer(
            self._connection, self._run, self._number, actor=self._actor, reason=words, now=self._now
        )
        if withdrawn:
            self._applied.released.append(self._key)
            self._applied.signals.add(Signal(Topic.PENDING, self._row.signature))
            self._applied.refused = True

    def _accepted(self) -> bool:
        """True if the worker may go; a stop that was asked for meanwhile withdraws the offer instead."""
        if self._row.state is AttemptState.OFFERED:
            if self._row.stop_words is not None:
                words = self._row.stop_words
                withdraw_offer(
                    self._connection, self._run, self._number, actor=self._actor, reason=words, now=self._now
                )
                self._applied.answers.append(Forget(run=self._run, attempt=self._number))
                self._applied.released.append(self._key)
                return False
            self._step(AttemptEvent.ACCEPTED)
            self._changes["accepted_at"] = self._now
        self._applied.accepted.append(self._key)
        self._applied.answers.append(Go(run=self._run, attempt=self._number))
        return True

    def _step(self, event: AttemptEvent) -> None:
        try:
            self._state = next_state(NEXT_ATTEMPT_STATE, self._state, event)
        except ImpossibleTransition as error:
            raise ProtocolError(CloseCode.OUT_OF_TURN, f"#{self._run}: {error}") from None

    def _take(self, event: Event, log_length: int, log_digest: str | None) -> None:
        if event.sequence <= self._sequence:
            return
        if event.sequence != self._sequence + 1 or self._state not in (AttemptState.ACCEPTED, AttemptState.STARTED):
            sentence = f"event {event.sequence} of #{self._run} came after event {self._sequence} ({self._state})"
            raise ProtocolError(CloseCode.OUT_OF_TURN, sentence)
        self._sequence = event.sequence
        match event.happening:
            case Started():
                self._started()
            case StepStarted() as begun:
                self._steps[begun.step] = self._step_news(begun.step, started=begun, started_at=event.at)
            case StepEnded() as ended:
                self._step_ended(ended, event.at)
            case Results(values=values):
                set_results(self._connection, self._run, values)
            case CheckIn() as check_in:
                self._connection.execute(
                    update(runs)
                    .where(runs.c.id == self._run)
                    .values(progress=check_in.progress, progress_text=check_in.text)
                )
            case Final() as final:
                self._over(final, log_length, log_digest)

    def _started(self) -> None:
        self._step(AttemptEvent.STARTED)
        self._changes["started_at"] = self._now
        self._counted += 1
        changes: dict[str, object] = {"attempts_counted": self._counted}
        if self._row.first_started_at is None:
            changes["started_at"] = self._now
        self._move.take(RunEvent.STARTED, actor=self._actor, now=self._now, attempt=self._number, changes=changes)
        self._applied.started.append(self._key)
        self._applied.starts.append(self._row.pending_at)
        self._started_at = self._now

    def _step_ended(self, ended: StepEnded, at: Instant) -> None:
        begun = self._steps.get(ended.step)
        self._steps[ended.step] = self._step_news(
            ended.step,
            started=begun.started if begun else None,
            started_at=begun.started_at if begun else None,
            ended=ended,
            ended_at=at,
        )

    def _step_news(
        self,
        number: int,
        *,
        started: StepStarted | None = None,
        started_at: Instant | None = None,
        ended: StepEnded | None = None,
        ended_at: Instant | None = None,
    ) -> StepNews:
        return StepNews(
            run=self._run,
            attempt=self._number,
            number=number,
            started=started,
            started_at=started_at,
            ended=ended,
            ended_at=ended_at,
        )

    def _over(self, final: Final, log_length: int, log_digest: str | None) -> None:
        if log_length < final.log_length:
            sentence = f"#{self._run} is final with {final.log_length} bytes of log, but {log_length} have come"
            raise ProtocolError(CloseCode.OUT_OF_TURN, sentence)
        if final.outcome not in _EVENT_OF_OUTCOME:
            raise ProtocolError(CloseCode.MALFORMED, f"an attempt cannot end as {final.outcome}")
        outcome, reason = final.outcome, final.reason
        cause = known_cause(final.cause) if outcome in _TRIED_AGAIN else None
        if log_length != final.log_length or log_digest != final.log_digest:
            outcome, cause = AttemptState.EXCEPTION, RetryCause.EXCEPTION
            reason = (
                f"the log is damaged: {log_length} bytes with digest {log_digest} were stored, the worker has "
                f"{final.log_length} with {final.log_digest}; the job itself: {final.outcome} {final.reason}"
            ).rstrip()
        self._step(_EVENT_OF_OUTCOME[outcome])
        self._applied.ends.append((outcome, self._started_at))
        self._changes |= {
            "ended_at": self._now,
            "reason": reason,
            "cause": cause,
            "exit_code": final.exit_code,
            "log_digest": log_digest,
            "lost_bytes": sum(lost.length for lost in final.lost),
        }
        ending = Ending(
            attempt=self._number,
            outcome=outcome,
            reason=reason,
            cause=None if self._row.stop_words else cause,
            exit_code=final.exit_code,
            log_length=log_length,
            log_digest=log_digest,
            attempts_counted=self._counted,
            specification=self._versions.get(self._connection, self._row.job_version).specification,
        )
        self._applied.signals |= end_run(self._move, ending, actor=self._actor, now=self._now)
        if cause == RetryCause.LOST and (guard := ending.specification.policies.poison) is not None:
            self._gathered.lost[self._run] = guard


_EVENT_OF_OUTCOME = {
    AttemptState.SUCCEEDED: AttemptEvent.SUCCEEDED,
    AttemptState.FAILED: AttemptEvent.FAILED,
    AttemptState.ABORTED: AttemptEvent.ABORTED,
    AttemptState.EXCEPTION: AttemptEvent.BROKE,
}
_TRIED_AGAIN = frozenset({AttemptState.FAILED, AttemptState.EXCEPTION})
"""Whatever else a worker says: after a success and an abort there is nothing to try again."""
