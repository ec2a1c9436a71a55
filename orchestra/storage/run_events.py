"""The history of runs: one row for every transition, and for evidence that changed nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.storage.prepared import PreparedChange, inserted
from orchestra.storage.tables import run_events


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEventRow:
    """What happened to a run, when, and by whom: "user ana", "master m1", "worker build-07", "schedule"."""

    run: RunId
    at: Instant
    kind: str
    actor: str
    attempt: AttemptNumber | None = None
    detail: str = ""


def add_run_events(connection: Connection, rows: Sequence[RunEventRow]) -> None:
    """Appends the rows in order."""
    _INSERT.execute_all(
        connection,
        [
            {
                "run_id": row.run,
                "attempt": row.attempt,
                "at": row.at,
                "kind": row.kind,
                "actor": row.actor,
                "detail": row.detail,
            }
            for row in rows
        ],
    )


_COLUMNS = ("run_id", "attempt", "at", "kind", "actor", "detail")
_INSERT = PreparedChange(lambda _: insert(run_events).values(inserted(run_events, *_COLUMNS)))
