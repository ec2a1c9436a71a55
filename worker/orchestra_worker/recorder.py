"""Writes what happens to an attempt into the journal, one change at a time and in order, and only then lets it be
sent."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence

from orchestra.clock import Clock
from orchestra.limits import JOURNAL_RETRY_SECONDS
from orchestra.protocol.messages import CheckIn, Happening
from orchestra_worker.attempt import HeldAttempt, KeptEvent
from orchestra_worker.attempt_rows import saving
from orchestra_worker.journal import Journal

log = logging.getLogger(__name__)


class AttemptRecorder:
    """The only one who changes what the journal knows of an attempt after its offer."""

    def __init__(self, *, journal: Journal, clock: Clock, on_written: Callable[[HeldAttempt], None]) -> None:
        self._journal = journal
        self._clock = clock
        self._on_written = on_written

    async def record(self, attempt: HeldAttempt, change: Callable[[], Sequence[Happening]]) -> None:
        """Applies the change to the attempt and commits it with the events that it returns.

        The change runs when the writes before it are done: else a crash in between could leave a sequence number
        without its event. A journal that cannot be written (a full disk) is tried again until it can: what was done is
        never dropped.
        """
        async with attempt.writing:
            kept = [self._keep(attempt, happening) for happening in change()]
            await self._write(attempt, kept)
            for event in kept:
                event.is_written = True
            self._on_written(attempt)

    def _keep(self, attempt: HeldAttempt, happening: Happening) -> KeptEvent:
        last = attempt.events[-1] if attempt.events else None
        if (
            isinstance(happening, CheckIn)
            and last is not None
            and isinstance(last.event.happening, CheckIn)
            and not last.was_sent
        ):
            # Nobody has heard of the older one: the newer takes its place, so that check-ins need no room while cut
            # off.
            attempt.events.pop()
            attempt.sequence -= 1
        return attempt.add_event(happening, self._clock.now())

    async def _write(self, attempt: HeldAttempt, kept: Sequence[KeptEvent]) -> None:
        write = saving(attempt, kept)
        while True:
            try:
                await self._journal.write(write)
            except sqlite3.OperationalError as error:
                log.error("journal_not_written: run #%d waits, because %s", attempt.offer.run, error)
                await asyncio.sleep(JOURNAL_RETRY_SECONDS)
            else:
                return
