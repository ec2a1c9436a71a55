"""The people and programs of a simulated world: they make runs, and stop some, until they have an answer."""

import asyncio
import random

from orchestra.clock import after, to_datetime
from orchestra.commands.pauses import Pauses
from orchestra.commands.stops import Stops
from orchestra.commands.switches import Switches
from orchestra.commands.triggers import Repetition, TriggerRequest, Triggers
from orchestra.errors import Conflict, StorageError
from orchestra.identifiers import RunId
from orchestra.policy import Principal
from orchestra.sealing import Sealing
from tests.simulation.clock import SimulatedClock
from tests.simulation.database import SimulatedDatabase
from tests.simulation.jobs import PROJECT, SECRET, SECRETIVE
from tests.simulation.truth import Request, Truth

RETRY_SECONDS = 1.0


class Client:
    """Asks over the production commands; a request that failed is made again with its key."""

    def __init__(
        self, *, database: SimulatedDatabase, who: Principal, sealing: Sealing, truth: Truth, chance: random.Random
    ) -> None:
        clock = self._clock = SimulatedClock(asyncio.get_running_loop())  # type: ignore[arg-type]  # this world's
        self._truth = truth
        self._who = who
        self._chance = chance
        self._keys = 0
        self.triggers = Triggers(
            database=database, clock=clock, sealing=sealing, new_creation_key=self._new_creation_key
        )
        self._stops = Stops(database=database, clock=clock)
        self._pauses = Pauses(database=database, clock=clock)
        self._switches = Switches(database=database, clock=clock)

    async def create(
        self,
        at: float,
        job: str,
        *,
        project: str = PROJECT,
        parameters: dict[str, str] | None = None,
        priority: int | None = None,
    ) -> RunId:
        """Makes a run at this moment; asks again until there is an answer, and sometimes once more."""
        await asyncio.sleep(at)
        request = Request(key=f"key-{len(self._truth.requests)}", job=job)
        self._truth.requests.append(request)
        delay = self._chance.choice((0.0, 0.0, 0.0, 3.0))
        again = 1 + (self._chance.random() < 0.2)
        while len(request.answers) < again:
            try:
                made = await self.triggers.trigger(
                    self._who,
                    project,
                    job,
                    TriggerRequest(
                        parameters={**(parameters or {})},
                        priority=priority,
                        delay_seconds=delay,
                        secrets={"token": SECRET} if job == SECRETIVE else {},
                    ),
                    Repetition(key=request.key, request_digest=job),
                )
            except StorageError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                request.answers.append(made.run)
        return RunId(request.answers[0])

    async def stop(self, at: float, *, even_running: bool) -> None:
        """Stops a run that somebody made before."""
        await asyncio.sleep(at)
        known = [request.answers[0] for request in self._truth.requests if request.answers]
        if not known:
            return
        await self._stop(self._chance.choice(known[-3:]), even_running=even_running)

    async def abort(self, run: int, after_seconds: float) -> None:
        """Aborts this run after so long."""
        await asyncio.sleep(after_seconds)
        await self._stop(run, even_running=True)

    async def _stop(self, run: int, *, even_running: bool) -> None:
        while True:
            # Noted before: the answer may be lost although the stop was taken.
            self._truth.stops.setdefault(run, []).append("asked")
            try:
                if even_running:
                    await self._stops.abort(self._who, RunId(run), reason="simulated")
                else:
                    await self._stops.cancel(self._who, RunId(run), reason="simulated")
            except StorageError:
                await asyncio.sleep(RETRY_SECONDS)
            except Conflict:
                return
            else:
                self._truth.stops[run].append("accepted")
                return

    async def pause(self, at: float, job: str, seconds: float | None) -> None:
        """Pauses the job's schedule at this moment, for so long or until it is resumed."""
        await asyncio.sleep(at)
        while True:
            until = None if seconds is None else to_datetime(after(self._clock.now(), seconds))
            try:
                await self._pauses.pause(self._who, PROJECT, job, reason="simulated", until=until)
            except StorageError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._truth.fault("schedule paused")
                return

    async def resume(self, at: float, job: str) -> None:
        """Ends the pause of the job's schedule, if there is one."""
        await asyncio.sleep(at)
        while True:
            try:
                await self._pauses.resume(self._who, PROJECT, job)
            except StorageError:
                await asyncio.sleep(RETRY_SECONDS)
            except Conflict:
                return
            else:
                self._truth.fault("schedule resumed")
                return

    async def disable(self, at: float, job: str, seconds: float) -> None:
        """Disables the job for a while."""
        await asyncio.sleep(at)
        await self._switch(job, enabled=False)
        await asyncio.sleep(seconds)
        await self._switch(job, enabled=True)

    async def release(self, job: str) -> None:
        """Lets the job out of quarantine, if it is there."""
        while True:
            try:
                await self._switches.release_job(self._who, PROJECT, job, reason="simulated")
            except StorageError:
                await asyncio.sleep(RETRY_SECONDS)
            except Conflict:
                return
            else:
                return

    async def _switch(self, job: str, *, enabled: bool) -> None:
        while True:
            try:
                await self._switches.switch_job(self._who, PROJECT, job, enabled=enabled, reason="simulated")
            except StorageError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._truth.fault("job enabled" if enabled else "job disabled")
                return

    def _new_creation_key(self) -> str:
        self._keys += 1
        return f"creation-{self._keys}"
