"""The rows of an attempt in the journal: how it is written and how the next agent finds it."""

import sqlite3
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from orchestra.lifecycle import AttemptState
from orchestra.protocol.messages import Event, Offer
from orchestra.protocol.window import AttemptKey
from orchestra_worker.attempt import HeldAttempt, KeptEvent, StepProgress
from orchestra_worker.plan import StepOutcome

_encode = msgspec.json.Encoder().encode
_decode_offer = msgspec.json.Decoder(Offer).decode
_decode_event = msgspec.json.Decoder(Event).decode
_decode_results = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

DROP_EVENTS_MIN = 16
"""So many acknowledged events of an attempt stay in the journal before they are deleted."""

_SEAL = b"\x01"
_SEALED_FROM = len(_SEAL) + 4

Write = Callable[[sqlite3.Connection], None]

T = TypeVar("T")


class _AttemptRow(NamedTuple):
    run: int
    attempt: int
    offer: bytes
    state: str
    boot_id: str
    started_boottime: float | None
    contact_boottime: float | None
    stop_reason: str | None
    stop_grace: float | None
    sequence: int
    check_in_offset: int
    results: bytes | None


class _StepRow(NamedTuple):
    run: int
    attempt: int
    number: int
    exit_code: int | None
    reason: str | None
    log_start: int
    log_length: int | None


class _EventRow(NamedTuple):
    run: int
    attempt: int
    sequence: int
    body: bytes


def adding(attempt: HeldAttempt) -> Write:
    """Writes an attempt that was just offered."""
    row = (
        *attempt.key,
        _sealed(attempt.offer),
        str(attempt.state),
        attempt.boot_id,
    )

    def add(connection: sqlite3.Connection) -> None:
        connection.execute("insert into attempts (run, attempt, offer, state, boot_id) values (?, ?, ?, ?, ?)", row)

    return add


def saving(attempt: HeldAttempt, events: Sequence[KeptEvent] = ()) -> Write:
    """Writes the attempt as it is now, its steps and these events; drops the events that are acknowledged."""
    key = attempt.key
    columns = (
        str(attempt.state),
        attempt.boot_id,
        attempt.started_boottime,
        attempt.contact_boottime,
        attempt.stop_reason,
        attempt.stop_grace,
        attempt.sequence,
        attempt.check_in_offset,
        _sealed(attempt.results),
        *key,
    )
    steps = [_step_row(key, number, step) for number, step in attempt.steps.items() if not step.is_written]
    bodies = [(*key, kept.event.sequence, _sealed(kept.event)) for kept in events]
    acknowledged = _to_drop(attempt)

    def save(connection: sqlite3.Connection) -> None:
        connection.execute(
            "update attempts set state = ?, boot_id = ?, started_boottime = ?, contact_boottime = ?, stop_reason = ?,"
            " stop_grace = ?, sequence = ?, check_in_offset = ?, results = ? where run = ? and attempt = ?",
            columns,
        )
        if steps:
            connection.executemany("insert or replace into steps values (?, ?, ?, ?, ?, ?, ?)", steps)
        if bodies:
            connection.executemany("insert or replace into events values (?, ?, ?, ?)", bodies)
        if acknowledged:
            connection.execute(
                "delete from events where run = ? and attempt = ? and sequence <= ?", (*key, acknowledged)
            )

    return save


def deleting(key: AttemptKey) -> Write:
    """Deletes every row of the attempt."""

    def delete(connection: sqlite3.Connection) -> None:
        for table in ("events", "steps", "attempts"):
            connection.execute(f"delete from {table} where run = ? and attempt = ?", key)  # noqa: S608 - our tables

    return delete


def load_attempts(connection: sqlite3.Connection) -> list[HeldAttempt]:
    """Everything that the worker holds, oldest run first; rows that cannot be understood count as a damaged file."""
    try:
        return _load(connection)
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise sqlite3.DatabaseError(f"a row is not understood: {error}") from None


def _load(connection: sqlite3.Connection) -> list[HeldAttempt]:
    attempts: dict[tuple[int, int], HeldAttempt] = {}
    for found in connection.execute(
        "select run, attempt, offer, state, boot_id, started_boottime, contact_boottime, stop_reason, stop_grace,"
        " sequence, check_in_offset, results from attempts order by run, attempt"
    ):
        row = _typed(found, _AttemptRow)
        attempts[row.run, row.attempt] = HeldAttempt(
            offer=_decode_offer(_unsealed(row.offer)),
            state=AttemptState(row.state),
            boot_id=row.boot_id,
            started_boottime=row.started_boottime,
            contact_boottime=row.contact_boottime,
            stop_reason=row.stop_reason,
            stop_grace=row.stop_grace,
            sequence=row.sequence,
            check_in_offset=row.check_in_offset,
            results=_decode_results(_unsealed(row.results)) if row.results else {},
        )
    for found in connection.execute(
        "select run, attempt, number, exit_code, reason, log_start, log_length from steps order by number"
    ):
        step = _typed(found, _StepRow)
        outcome = None if step.reason is None else StepOutcome(exit_code=step.exit_code, reason=step.reason)
        attempts[step.run, step.attempt].steps[step.number] = StepProgress(
            log_start=step.log_start, outcome=outcome, log_length=step.log_length, is_written=True
        )
    for found in connection.execute("select run, attempt, sequence, body from events order by run, attempt, sequence"):
        told = _typed(found, _EventRow)
        event = _decode_event(_unsealed(told.body))
        if (event.run, event.attempt, event.sequence) != (told.run, told.attempt, told.sequence):
            raise ValueError(f"event {told.sequence} of #{told.run} tells of another")
        attempts[told.run, told.attempt].events.append(KeptEvent(event=event, is_written=True, was_sent=True))
    for key, held in attempts.items():
        _check(key, held)
    return list(attempts.values())


def _sealed(value: Offer | Event | Mapping[str, msgspec.Raw]) -> bytes:
    """With a sum in front: SQLite keeps none of its pages, and a flipped bit may make one command of another."""
    body = _encode(value)
    return _SEAL + zlib.crc32(body).to_bytes(4) + body


def _unsealed(blob: bytes) -> bytes:
    """Raises ValueError for other bytes than those that were written."""
    if blob.startswith(b"{"):
        return blob  # a version before this one wrote it, without a sum
    body = blob[_SEALED_FROM:]
    if blob[:_SEALED_FROM] != _SEAL + zlib.crc32(body).to_bytes(4):
        raise ValueError("it has other bytes than were written")
    return body


def _typed(row: tuple[object, ...], kind: type[T]) -> T:
    # SQLite's own check does not look at values: a flipped bit may have made a number of a text.
    return msgspec.convert(row, kind, builtin_types=(bytes,))


def _check(key: tuple[int, int], held: HeldAttempt) -> None:
    """Raises ValueError for what was never written so: a bit was flipped, and nothing of the attempt can be
    believed."""
    if key != held.key:
        raise ValueError(f"the offer of #{key[0]} is another's")
    sequences = [kept.event.sequence for kept in held.events]
    if sequences != list(range(held.sequence - len(sequences) + 1, held.sequence + 1)):
        raise ValueError(f"#{key[0]} has the events {sequences} and not those until {held.sequence}")
    if not all(0 <= number < len(held.all_steps) for number in held.steps):
        raise ValueError(f"#{key[0]} has no steps {sorted(held.steps)}")


def _to_drop(attempt: HeldAttempt) -> int:
    """Up to which event rows are to go now; 0 for none. Few together are not worth a statement: the attempt's end takes
    them along."""
    if attempt.acknowledged - attempt.dropped < DROP_EVENTS_MIN:
        return 0
    attempt.dropped = attempt.acknowledged
    return attempt.acknowledged


def _step_row(key: AttemptKey, number: int, step: StepProgress) -> tuple[int | str | None, ...]:
    step.is_written = True
    exit_code, reason = (step.outcome.exit_code, step.outcome.reason) if step.outcome else (None, None)
    return (*key, number, exit_code, reason, step.log_start, step.log_length)
