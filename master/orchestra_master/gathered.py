"""The row changes of one report, gathered and then written with one statement for all rows that change alike."""

from collections.abc import Mapping

from sqlalchemy import Connection

from orchestra.clock import Instant
from orchestra.identifiers import RunId
from orchestra.policies import PoisonGuard
from orchestra.protocol.window import AttemptKey
from orchestra.storage.quarantine import Quarantine, quarantine_if_poison
from orchestra.storage.run_moves import RunMove
from orchestra.storage.runs import write_moves
from orchestra.storage.statements import update_rows
from orchestra.storage.steps import StepNews, note_steps
from orchestra.storage.tables import attempts


class Gathered:
    """What is to be written about several attempts. Each attempt and each run is added once."""

    def __init__(self) -> None:
        self.moves: list[RunMove] = []
        self.steps: list[StepNews] = []
        self.lost: dict[RunId, PoisonGuard] = {}
        """Runs whose attempt was lost, and what their jobs say of that."""
        self._attempts: list[tuple[Mapping[str, object], Mapping[str, object]]] = []

    def change_attempt(self, key: AttemptKey, changes: Mapping[str, object]) -> None:
        """These columns of the attempt change."""
        run, number = key
        self._attempts.append(({"run_id": run, "number": number}, changes))

    def write(self, connection: Connection, now: Instant) -> list[Quarantine]:
        """Writes everything; the rows are locked by whoever decided about them. Returns which jobs are in quarantine by
        that."""
        update_rows(connection, attempts, self._attempts)
        note_steps(connection, self.steps)
        write_moves(connection, self.moves)
        found = [quarantine_if_poison(connection, run, guard, now=now) for run, guard in self.lost.items()]
        return [each for each in found if each is not None]
