"""Steps of attempts: when each began and ended, and which part of the log is its own."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, update

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.protocol.messages import StepEnded, StepStarted
from orchestra.storage.tables import run_steps


@dataclass(frozen=True, kw_only=True, slots=True)
class StepNews:
    """What a report says of one step; either half may be missing."""

    run: RunId
    attempt: AttemptNumber
    number: int
    started: StepStarted | None
    started_at: Instant | None
    ended: StepEnded | None
    ended_at: Instant | None


def note_steps(connection: Connection, news: Iterable[StepNews]) -> None:
    """Writes down what is new of the steps."""
    begun, over = [], []
    for each in news:
        key: dict[str, int | str | None] = {"run_id": each.run, "attempt": each.attempt, "number": each.number}
        end: dict[str, int | str | None] = {
            "ended_at": each.ended_at,
            "exit_code": each.ended.exit_code if each.ended else None,
            "reason": each.ended.reason if each.ended else "",
            "log_end": each.ended.log_length if each.ended else None,
        }
        if each.started:
            beginning = {"name": each.started.name, "started_at": each.started_at, "log_start": each.started.log_offset}
            begun.append(key | beginning | end)
        else:
            over.append({f"its_{name}": value for name, value in key.items()} | {f"new_{n}": v for n, v in end.items()})
    if begun:
        connection.execute(_BEGIN_STEP, begun)
    if over:
        connection.execute(_END_STEP, over)


_BEGIN_STEP = insert(run_steps)
_END_STEP = (
    update(run_steps)
    .where(
        run_steps.c.run_id == bindparam("its_run_id"),
        run_steps.c.attempt == bindparam("its_attempt"),
        run_steps.c.number == bindparam("its_number"),
    )
    .values({name: bindparam(f"new_{name}") for name in ("ended_at", "exit_code", "reason", "log_end")})
)
