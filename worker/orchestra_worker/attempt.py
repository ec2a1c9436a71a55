"""An attempt as the worker holds it: in memory while the agent lives, in the journal for the next one."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

import msgspec

from orchestra.clock import Instant
from orchestra.lifecycle import AttemptState
from orchestra.protocol.messages import Event, Final, Happening, Held, LostRange, Offer
from orchestra.protocol.window import AttemptKey
from orchestra.specification import Step
from orchestra_worker.plan import StepOutcome

ENDED_STATES = frozenset({AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.ABORTED, AttemptState.EXCEPTION})


@dataclass(kw_only=True, slots=True)
class StepProgress:
    """What is known of one step that was begun."""

    log_start: int
    outcome: StepOutcome | None = None
    """None while it runs."""
    log_length: int | None = None
    is_written: bool = False
    """Whether the journal has it as it is here, or will have it with a write that is under way."""


@dataclass(kw_only=True, slots=True)
class KeptEvent:
    """An event that the master has not acknowledged; it may be sent once it is in the journal."""

    event: Event
    is_written: bool = False
    was_sent: bool = False
    """A check-in that was never sent may give its number to a newer one."""


@dataclass(kw_only=True, eq=False)
class HeldAttempt:
    """One attempt and everything that it still owes to the master.

    What is below the line is in the journal; `writing` keeps the writes of one attempt in order.
    """

    offer: Offer
    boot_id: str
    state: AttemptState = AttemptState.ACCEPTED
    started_boottime: float | None = None
    contact_boottime: float | None = None
    """When the newest heartbeat that was answered had been sent, as far as the journal knows."""
    stop_reason: str | None = None
    stop_grace: float | None = None
    sequence: int = 0
    """Of the newest event."""
    check_in_offset: int = 0
    results: dict[str, msgspec.Raw] = field(default_factory=dict)
    steps: dict[int, StepProgress] = field(default_factory=dict)
    events: deque[KeptEvent] = field(default_factory=deque)
    # --- not in the journal ---
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    acknowledged: int = 0
    """Events up to here may go from the journal with a next write."""
    dropped: int = 0
    """Events up to here have gone from the journal."""
    is_forgotten: bool = False
    is_journalled: bool = True
    """False until the offer is committed: before that a crash leaves no trace of it, so that nobody may be told."""

    @property
    def key(self) -> AttemptKey:
        """Run and attempt number: the fencing token."""
        return self.offer.run, self.offer.attempt

    @property
    def name(self) -> str:
        """`482-1`: the folder's name and the stem of its steps' names."""
        return f"{self.offer.run}-{self.offer.attempt}"

    @property
    def is_over(self) -> bool:
        """Whether its final event exists."""
        return self.state in ENDED_STATES

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """Set-up, steps and teardown, as they are counted."""
        execution = self.offer.execution
        return (*execution.setup, *execution.steps, *execution.teardown)

    @property
    def ended_steps(self) -> dict[int, StepOutcome]:
        """How each step that is over has ended."""
        return {number: step.outcome for number, step in self.steps.items() if step.outcome is not None}

    def add_event(self, happening: Happening, at: Instant) -> KeptEvent:
        """Gives the happening the next sequence number."""
        self.sequence += 1
        kept = KeptEvent(
            event=Event(
                run=self.offer.run,
                attempt=self.offer.attempt,
                sequence=self.sequence,
                at=at,
                happening=happening,  # type: ignore[arg-type]  # every subclass of Happening is in the union
            )
        )
        self.events.append(kept)
        return kept

    def acknowledge(self, sequence: int) -> None:
        """Drops the events that the master has."""
        while self.events and self.events[0].event.sequence <= sequence:
            self.events.popleft()
        self.acknowledged = max(self.acknowledged, min(sequence, self.sequence))

    def final(self) -> Final | None:
        """The last event, if it exists and is not yet acknowledged."""
        last = self.events[-1].event.happening if self.events else None
        return last if isinstance(last, Final) else None

    def admit_loss(self, log_length: int) -> None:
        """After a power failure the log may be shorter than the final event says: then that says what is missing."""
        final = self.final()
        if final is None or log_length >= final.log_length:
            return
        lost = LostRange(offset=log_length, length=final.log_length - log_length)
        kept = self.events[-1]
        kept.event = msgspec.structs.replace(
            kept.event,
            happening=msgspec.structs.replace(final, log_length=log_length, lost=(*final.lost, lost)),
        )

    def held(self, log_length: int) -> Held:
        """What `hello` says about it."""
        return Held(
            run=self.offer.run,
            attempt=self.offer.attempt,
            state=self.state,
            sequence=self.sequence,
            log_length=log_length,
        )
