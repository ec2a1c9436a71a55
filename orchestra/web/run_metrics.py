"""What the database says of the whole instance, looked up when somebody asks for the metrics."""

import logging
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge

from orchestra.errors import StorageError
from orchestra.lifecycle import TERMINAL_STATES, RunState
from orchestra.queries.counts import OPEN_STATES, ended_runs, open_runs
from orchestra.queries.quarantined import count_quarantined
from orchestra.storage.database import Database
from orchestra.web.event_tail import EventTail

_log = logging.getLogger("orchestra.web")


class RunMetrics:
    """Runs by state, the same from every process over one database: take the largest, not the sum."""

    def __init__(self, *, registry: CollectorRegistry, database: Database, tail: EventTail) -> None:
        self._database = database
        self._tail = tail
        self._counted_to: int | None = None
        self._up = Gauge("orchestra_database_up", "Whether the database answered just now.", registry=registry)
        self._quarantined = Gauge(
            "orchestra_jobs_quarantined",
            "Jobs of which nothing starts until a person releases them, because too many attempts were lost.",
            registry=registry,
        )
        is_open = Gauge(
            "orchestra_runs", "Runs that are not over, at most 10,000 of each.", ("state",), registry=registry
        )
        ended = Counter("orchestra_runs_ended", "Runs that have ended since the start.", ("state",), registry=registry)
        self._open = {state: is_open.labels(state) for state in OPEN_STATES}
        self._ended = {state: ended.labels(state) for state in RunState if state in TERMINAL_STATES}

    async def refresh(self) -> None:
        """Looks everything up; if the database is away, that is what is told."""
        try:
            await self._tail.look_once()
            settled_to = self._tail.settled_to
            if self._counted_to is None:
                self._counted_to = settled_to
            found = await self._database.read(open_runs)
            quarantined = await self._database.read(count_quarantined)
            ended, self._counted_to = await self._database.read(
                partial(ended_runs, behind=self._counted_to, settled_to=settled_to)
            )
        except StorageError as error:
            _log.warning("metrics_without_database: %s", error)
            self._up.set(0)
            return
        self._up.set(1)
        self._quarantined.set(quarantined)
        for state, number in found.items():
            self._open[state].set(number)
        for state, number in ended.items():
            self._ended[state].inc(number)
