"""Gives wrapped runs up whose wrap is not heard of any more: it died, or its machine did."""

from sqlalchemy import Connection

from orchestra.clock import Instant
from orchestra.identifiers import RunId
from orchestra.lifecycle import TERMINAL_STATES, RunEvent
from orchestra.limits import RESCUE_GAP_SECONDS_MAX, RESCUE_PATIENCE_SECONDS
from orchestra.storage.database import Signal, Topic
from orchestra.storage.wraps import OpenWrap, WrapEnd, end_wrap, find_wrap, open_wraps
from orchestra_master.parts import MasterParts


class WrapWatch:
    """As the rescuer does for workers: by the job's own `lost-after`, and never soon after the master's start."""

    name = "wrap watch"
    topics: tuple[Topic, ...] = ()

    def __init__(self, *, parts: MasterParts, patience_seconds: float = RESCUE_PATIENCE_SECONDS) -> None:
        self._parts = parts
        self._patience_seconds = patience_seconds
        self._heard: dict[RunId, tuple[Instant, float]] = {}
        self._looked_at = parts.clock.monotonic()
        self._patient_until = self._looked_at + patience_seconds

    async def run_once(self) -> float:
        """Looks at every wrapped run that is not over."""
        moment = self._parts.clock.monotonic()
        # While there was no master there was, in one process with it, no service either to tell anything to.
        if moment - self._looked_at > RESCUE_GAP_SECONDS_MAX + self._parts.poll_seconds:
            self._patient_until = moment + self._patience_seconds
        self._looked_at = moment
        found = await self._parts.database.read(self._open)
        # Two clocks say nothing of a silence: it counts from when this master has first read of the last sign of life.
        before = self._heard
        self._heard = {wrap.run: (wrap.heard_at, moment) for wrap in found}
        self._heard |= {
            run: known for run, known in before.items() if run in self._heard and known[0] == self._heard[run][0]
        }
        if moment >= self._patient_until:
            for wrap, lost_after in found.items():
                silence = moment - self._heard[wrap.run][1]
                if silence >= lost_after:
                    await self._give_up(wrap, silence)
        return self._parts.poll_seconds

    async def _give_up(self, wrap: OpenWrap, silence: float) -> None:
        now = self._parts.clock.now()

        def give_up(connection: Connection) -> set[Signal]:
            found = find_wrap(connection, wrap.run, lock=True)
            # It may have been heard of since.
            if found is None or found.state in TERMINAL_STATES or wrap not in open_wraps(connection):
                return set()
            words = f"wrap lost: it was not heard of on {wrap.host} for {silence:.0f} s"
            end = WrapEnd(event=RunEvent.BROKE, reason=words, exit_code=None, log_digest=None, ended_at=now)
            end_wrap(connection, found, end, log_length=found.log_length, actor=self._parts.actor)
            return {Signal(Topic.RUN, str(wrap.run))}

        await self._parts.database.write(give_up, signals=lambda signals: signals)

    def _open(self, connection: Connection) -> dict[OpenWrap, float]:
        """Each with the time after which its job gives it up."""
        versions = self._parts.versions
        return {
            wrap: versions.get(connection, wrap.job_version).specification.lost_after_seconds
            for wrap in open_wraps(connection)
        }
