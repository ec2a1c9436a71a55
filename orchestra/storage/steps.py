"""Steps of attempts: when each began and ended, and which part of the log is its own."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, update

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.protocol.messages import StepEnded, StepStarted
from orchestra.storage.prepared import PreparedChange, inserted
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
    _BEGIN_STEP.execute_all(connection, begun)
    _END_STEP.execute_all(connection, over)


_KEY = ("run_id", "attempt", "number")
_END = ("ended_at", "exit_code", "reason", "log_end")
_BEGIN_STEP = PreparedChange(
    lambda _: insert(run_steps).values(inserted(run_steps, *_KEY, "name", "started_at", "log_start", *_END))
)
_END_STEP = PreparedChange(
    lambda _: (
        update(run_steps)
        .where(*(run_steps.c[name] == bindparam(f"its_{name}") for name in _KEY))
        .values({name: bindparam(f"new_{name}") for name in _END})
    )
)
