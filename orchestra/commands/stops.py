"""Asking that a run ends: cancel what has not started, abort whatever it does."""

from sqlalchemy import Connection

from orchestra.clock import Clock
from orchestra.commands.reasons import check_reason
from orchestra.errors import Conflict
from orchestra.identifiers import RunId
from orchestra.lifecycle import RunState
from orchestra.policy import Permission, Principal
from orchestra.queries.run_views import RunView
from orchestra.queries.runs import project_of_run, show_run
from orchestra.storage.audit import record_change
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.run_moves import state_of_run
from orchestra.storage.runs import request_stop
from orchestra.storage.wraps import find_wrap


class Stops:
    """What people may ask of a run that is not over."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def cancel(self, who: Principal, run: RunId, *, reason: str) -> RunView:
        """Withdraws a run that has not started.

        Raises InvalidFields, NotFound, NotAllowed, and Conflict if it runs or is over.
        """
        return await self._stop(who, run, reason=reason, even_running=False)

    async def abort(self, who: Principal, run: RunId, *, reason: str) -> RunView:
        """Stops a run wherever it is; raises InvalidFields, NotFound, NotAllowed, and Conflict if it is over."""
        return await self._stop(who, run, reason=reason, even_running=True)

    async def _stop(self, who: Principal, run: RunId, *, reason: str, even_running: bool) -> RunView:
        check_reason(reason)
        now = self._clock.now()

        def stop(connection: Connection) -> RunView:
            who.require_in(Permission.RUN, project_of_run(connection, who, run), "run", run)
            if not even_running and state_of_run(connection, run, lock=True) is RunState.RUNNING:
                raise Conflict(f"run #{run} runs: abort it instead of cancelling it")
            if (wrap := find_wrap(connection, run)) is not None and wrap.state is RunState.RUNNING:
                raise Conflict(f"run #{run} was not started here: stop its command on {wrap.host}")
            request_stop(connection, run, by=who.actor, reason=reason, now=now)
            record_change(
                connection,
                who,
                at=now,
                action="run_abort_asked" if even_running else "run_cancel_asked",
                subject=f"run #{run}",
                detail=reason,
            )
            return show_run(connection, who, run)

        return await self._database.write(stop, signals=[Signal(Topic.STOPS, str(run)), Signal(Topic.RUN, str(run))])
