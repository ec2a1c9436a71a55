"""Every message between master and worker, as frozen types.

Text frames carry a JSON list of them, binary frames one log chunk each. Numbers are bounded to what both databases can
store: a number that none of them takes must end its own connection, not the transaction that it shares with others.
"""

from typing import Annotated

import msgspec

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, Epoch, RunId
from orchestra.lifecycle import AttemptState
from orchestra.limits import EXIT_CODE_MAX, INSTANT_MAX, NUMBER_MAX, SLOTS_MAX, SMALL_NUMBER_MAX
from orchestra.specification import Execution, PropertyValue

Count = Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]
"""Bytes, offsets and what else may be large."""
SmallCount = Annotated[int, msgspec.Meta(ge=0, le=SMALL_NUMBER_MAX)]
RunNumber = Annotated[RunId, msgspec.Meta(ge=1, le=NUMBER_MAX)]
AttemptCount = Annotated[AttemptNumber, msgspec.Meta(ge=1, le=SMALL_NUMBER_MAX)]
Moment = Annotated[Instant, msgspec.Meta(ge=0, le=INSTANT_MAX)]
ExitCode = Annotated[int, msgspec.Meta(ge=-EXIT_CODE_MAX, le=EXIT_CODE_MAX)]
Slots = Annotated[int, msgspec.Meta(ge=1, le=SLOTS_MAX)]
Property = str | Annotated[int, msgspec.Meta(ge=-NUMBER_MAX, le=NUMBER_MAX)] | float | bool
"""A number beyond a float's range could not be compared with what a job asks for."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=False):
    """The root of all messages in text frames; unknown fields are ignored, so that a newer peer may add some."""


class AttemptMessage(Message, frozen=True, kw_only=True, tag_field="type"):
    """A message about one attempt of one run."""

    run: RunNumber
    attempt: AttemptCount


# --- what happened to an attempt: the bodies of `event` ---


class Happening(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """The root of what an event can tell."""


class Started(Happening, frozen=True, kw_only=True, tag="started"):
    """The worker has journalled the start; from here on the run is running."""


class StepStarted(Happening, frozen=True, kw_only=True, tag="step-started"):
    """A step's process was spawned, its output begins at `log_offset`."""

    step: SmallCount
    """Counts set-up, steps and teardown together from 0."""
    name: str
    log_offset: Count


class StepEnded(Happening, frozen=True, kw_only=True, tag="step-ended"):
    """A step's process has ended and its output is drained."""

    step: SmallCount
    exit_code: ExitCode | None
    """Negative for a signal, as Python has it; None if it never ran."""
    reason: str
    """Empty if it exited by itself; else "timed out", "aborted", "keeper lost", "command not found: …" and so on."""
    log_length: Count


class Results(Happening, frozen=True, kw_only=True, tag="results"):
    """What the run has found out so far: these names get these values (any JSON)."""

    values: dict[str, msgspec.Raw]


class CheckIn(Happening, frozen=True, kw_only=True, tag="check-in"):
    """The job says how far it is."""

    progress: float | None
    """From 0 to 1."""
    text: str


class LostRange(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of output that the worker had to drop, counted in the process's own output."""

    offset: Count
    length: Count


class Final(Happening, frozen=True, kw_only=True, tag="final"):
    """The attempt is over; always its last event."""

    outcome: AttemptState
    """One of succeeded, failed, aborted, exception; anything else is a protocol error."""
    exit_code: ExitCode | None
    reason: str
    """In words, empty for success: "exit code 3", "timed out after 45 min", "keeper lost"."""
    cause: str | None
    """What a retry policy looks at: "exit", "exit:75", "timeout", "lost", "exception", "exception:setup"; None for
    success and abort."""
    log_length: Count
    log_digest: str
    """SHA-256 over the SHA-256s of the log's 1 MiB segments, hexadecimal."""
    lost: tuple[LostRange, ...] = ()


# --- worker to master ---


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that the worker has in its journal."""

    run: RunNumber
    attempt: AttemptCount
    state: AttemptState
    sequence: SmallCount
    """The last event that exists on the worker, 0 for none."""
    log_length: Count
    """Bytes of log that exist on the worker."""


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """The first message of a session."""

    protocol_minimum: SmallCount
    protocol_maximum: SmallCount
    worker: str
    instance: str
    """Made when the worker folder was made: tells two machines of one name apart."""
    boot_id: str
    version: str
    properties: dict[str, Property]
    slots: Slots
    free_disk_bytes: Count
    held: tuple[Held, ...] = ()
    connection: Count = 0
    """Grows with every connection of the instance, over restarts too, so that a hello that was on its way for long is
    told from the newest one. 0 from workers that do not count."""
    prefetch: SmallCount = 0
    """How many slots' worth of accepted attempts the worker keeps beyond its slots, while they wait for `go`."""


class Accept(AttemptMessage, frozen=True, kw_only=True, tag="accept"):
    """The offer is in the worker's journal."""


class Refuse(AttemptMessage, frozen=True, kw_only=True, tag="refuse"):
    """The worker does not take the offer; it has no trace of it."""

    reason: str


class Event(AttemptMessage, frozen=True, kw_only=True, tag="event"):
    """Something that happened to an attempt; sequences count from 1 without a gap."""

    sequence: SmallCount
    at: Moment
    """By the worker's clock."""
    happening: Started | StepStarted | StepEnded | Results | CheckIn | Final


class Heartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    """Sent by the worker at a steady beat; the master answers each with `heartbeat-answer` of the same counter."""

    counter: Count
    load: float
    free_disk_bytes: Count


# --- master to worker ---


class Resume(AttemptMessage, frozen=True, kw_only=True, tag="resume"):
    """Go on with a held attempt: send events after `sequence` and log bytes from `log_length`."""

    sequence: SmallCount
    log_length: Count


class Stop(AttemptMessage, frozen=True, kw_only=True, tag="stop"):
    """End the attempt: teardown runs, then `final` with outcome aborted."""

    reason: str
    grace_seconds: float | None = None
    """None is the job's own grace."""


class Forget(AttemptMessage, frozen=True, kw_only=True, tag="forget"):
    """All is stored, or nobody wants it: delete every trace of the attempt (end it first if it should still run)."""


class Welcome(Message, frozen=True, kw_only=True, tag="welcome"):
    """The master's answer to `hello`.

    One `resume` or `forget` for each held attempt follows in the same frame, with `go` or `stop` where that is due.
    """

    protocol: int
    epoch: Epoch
    heartbeat_seconds: float
    silence_seconds_max: float
    run_window_bytes: int
    """Unacknowledged log per run."""
    worker_window_bytes: int
    """Unacknowledged log per worker."""
    accepts_runs: bool
    """False while the worker is draining, disabled or quarantined."""


class Outdated(Message, frozen=True, kw_only=True, tag="outdated"):
    """Instead of `welcome`: a hello of this instance has come that was as new or newer.

    Whoever still listens begins anew with a number above this one.
    """

    connection: Count


class Offer(AttemptMessage, frozen=True, kw_only=True, tag="offer"):
    """Will you execute this? The worker journals it, then accepts; nothing runs before `go`."""

    project: str
    job: str
    slots: int
    execution: Execution
    parameters: dict[str, PropertyValue]
    """Without the secret ones."""
    secrets: dict[str, str]
    """Secret parameters: passed to the steps like the others, masked in log, results and texts."""


class Go(AttemptMessage, frozen=True, kw_only=True, tag="go"):
    """The acceptance is committed and a slot is free: execute. May come twice; the second changes nothing."""


class Acknowledge(AttemptMessage, frozen=True, kw_only=True, tag="acknowledge"):
    """Committed up to here: events to `sequence`, log bytes below `log_length`. Cumulative."""

    sequence: SmallCount
    log_length: Count


class HeartbeatAnswer(Message, frozen=True, kw_only=True, tag="heartbeat-answer"):
    """The master is there."""

    counter: Count


class Drain(Message, frozen=True, kw_only=True, tag="drain"):
    """Refuse new offers, finish what runs."""


class Undrain(Message, frozen=True, kw_only=True, tag="undrain"):
    """Take offers again."""


class Bye(Message, frozen=True, kw_only=True, tag="bye"):
    """The master goes away on purpose: come back at a random moment within this time."""

    retry_after_seconds: float
    reason: str


WorkerMessage = Hello | Accept | Refuse | Event | Heartbeat
MasterMessage = (
    Welcome | Outdated | Resume | Stop | Forget | Offer | Go | Acknowledge | HeartbeatAnswer | Drain | Undrain | Bye
)


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """A piece of an attempt's log, as a MessagePack array in a binary frame of its own."""

    run: RunNumber
    attempt: AttemptCount
    offset: Count
    content: bytes
