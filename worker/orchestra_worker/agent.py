"""The agent: the engine and the link together, from start to end. Its end never ends a step."""

import asyncio
from collections.abc import Sequence

from orchestra.limits import END_REPEAT_SECONDS
from orchestra_worker.attempt import HeldAttempt
from orchestra_worker.engine import Engine
from orchestra_worker.link import Link

_CANCEL_SECONDS = 0.5


class Agent:
    """Runs until `end` is called. The link begins when the engine knows what it holds, so that `hello` tells it all."""

    def __init__(self, *, engine: Engine, link: Link) -> None:
        self._engine = engine
        self._link = link
        self._ending = asyncio.Event()
        self._ready = asyncio.Event()

    def end(self) -> None:
        """Lets `run` return; may be called from a signal handler of the loop."""
        self._ending.set()

    async def run(self, held: Sequence[HeldAttempt]) -> None:
        """Takes up what is held and serves; raises what breaks the journal, in an exception group."""
        async with asyncio.TaskGroup() as tasks:
            engine = tasks.create_task(self._engine.run(held, on_ready=self._ready.set), name="engine")
            link = tasks.create_task(self._speak(), name="link")
            await self._ending.wait()
            await _end(link)
            await _end(engine)

    async def _speak(self) -> None:
        await self._ready.wait()
        await self._link.run()


async def _end(task: asyncio.Task[None]) -> None:
    # Said until it is heard: a TaskGroup of Python 3.11 forgets a cancellation that comes together with an error of one
    # of its own tasks, as when the master's death ends both the connection and the pipe of a local worker.
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=END_REPEAT_SECONDS)
