"""An event loop with virtual time, in which a seed decides whose step comes next and whole processes can be killed.

What is chosen: which process (a `Life`) does the next step, and within a process which of the tasks that are ready.
What stays as asyncio has it: the order of the steps of one task, and callbacks that are no task's step are never
overtaken, because production code may rely on both.
"""

import asyncio
import heapq
import random
from asyncio import Future, Handle, Task, TimerHandle
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

STEP_SECONDS = 0.00002
"""What every step takes, so that a loop that never waits lets time pass all the same."""


class Life:
    """One process from its start to its end. After `kill` none of its steps is ever executed: no `finally` runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.is_paused = False
        self.ready: list[Handle] = []
        self.context = copy_context()
        self.context.run(_LIFE.set, self)

    def kill(self) -> None:
        """As by SIGKILL."""
        self.is_alive = False
        self.ready.clear()


_LIFE: ContextVar[Life] = ContextVar("life")


def current_life() -> Life:
    """The process that executes the present step."""
    return _LIFE.get()


class SimulatedTask(Task[T]):
    """A task that knows when it was made: the order is the same in every process that runs the seed."""

    serial = 0


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs every life of one simulated world. Errors that nobody took are kept in `errors`."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.now = 0.0
        self.steps = 0
        self.errors: list[str] = []
        self.world = Life("world")
        """What is nobody's process: networks, disks, the operating systems of the machines."""
        self._chance = chance
        self._lives: dict[Life, None] = {}
        self._timers: list[tuple[float, int, TimerHandle]] = []
        self._made = 0
        self._tasks: list[Task[Any]] = []

    # --- what asyncio asks of a loop ---

    def time(self) -> float:
        """Virtual seconds since the seed's beginning."""
        return self.now

    def call_soon(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None) -> Handle:
        """Queues a step of the life whose context it has."""
        handle = Handle(callback, args, self, context or copy_context())
        self._enter(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        """Queues a step for later."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        """Queues a step for a moment."""
        handle = TimerHandle(when, callback, args, self, context or copy_context())
        self._made += 1
        heapq.heappush(self._timers, (when, self._made, handle))
        return handle

    def create_future(self) -> Future[Any]:
        """A future of this loop."""
        return Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T] | Awaitable[T],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> Task[T]:
        """A task of the present life, or of the one whose context is given."""
        task: SimulatedTask[T] = SimulatedTask(
            coro,  # type: ignore[arg-type]  # what a task takes is narrower in its stub than what a loop is given
            loop=self,
            name=str(name),
            context=context,
        )
        self._made += 1
        task.serial = self._made
        # Kept: a task of a killed process that was collected would run its `finally`.
        self._tasks.append(task)
        return task

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_closed(self) -> bool:
        """Never."""
        return False

    def add_reader(self, fd: Any, callback: Callable[[Unpack[Ts]], Any], *args: *Ts) -> None:
        """No file is ever ready: what the operating system would say, the world says by callbacks."""

    def remove_reader(self, fd: Any) -> bool:
        """There was none."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """An error that nobody took is a violation."""
        error = context.get("exception")
        self.errors.append(f"{context.get('message')}: {type(error).__name__} {error}")

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        """Cancelled timers are dropped when their time comes."""

    # --- running ---

    def in_world(self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts) -> TimerHandle:
        """Lets the world do something after so many seconds, whatever becomes of the caller."""
        return self.call_later(delay, callback, *args, context=self.world.context)

    def in_life(self, life: Life, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts) -> None:
        """Lets another process do something after so many seconds, if it lives then."""
        self.call_later(delay, callback, *args, context=life.context)

    def run_until(self, is_over: Callable[[], bool]) -> None:
        """Executes steps until the condition holds, which is looked at whenever time passes."""
        asyncio.events._set_running_loop(self)
        try:
            while True:
                handle = self._next()
                if handle is None:
                    if is_over():
                        return
                    self._pass_time()
                    continue
                self.steps += 1
                self.now += STEP_SECONDS
                handle._run()
        finally:
            asyncio.events._set_running_loop(None)

    def resume(self, life: Life) -> None:
        """Ends a pause."""
        life.is_paused = False

    def _enter(self, handle: Handle) -> None:
        life = handle._context.get(_LIFE, self.world)  # type: ignore[attr-defined]  # private, and stable for ten years
        if life.is_alive:
            life.ready.append(handle)
            self._lives[life] = None

    def _next(self) -> Handle | None:
        """The step that chance takes of those that are ready."""
        while self._timers and self._timers[0][0] <= self.now:
            _, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled():
                self._enter(timer)
        while lives := [life for life in self._lives if not life.is_paused]:
            life = lives[int(self._chance.random() * len(lives))] if len(lives) > 1 else lives[0]
            if not life.ready:
                del self._lives[life]
                continue
            handle = life.ready.pop(self._choose(life.ready))
            if not handle.cancelled():
                return handle
        return None

    def _choose(self, ready: list[Handle]) -> int:
        """Any task's step, as long as no callback that is none comes before it."""
        if len(ready) == 1:
            return 0
        serials: list[tuple[int, int]] = []
        for place, handle in enumerate(ready):
            callback = handle._callback  # type: ignore[attr-defined]  # private, and stable for ten years
            task = getattr(callback, "__self__", None)
            if not isinstance(task, SimulatedTask):
                break
            serials.append((task.serial, place))
        if len(serials) < 2:
            return 0
        # By their serials, because asyncio wakes some of them in the order of memory addresses.
        serials.sort()
        return serials[int(self._chance.random() * len(serials))][1]

    def _pass_time(self) -> None:
        while self._timers:
            when, _, handle = self._timers[0]
            if not handle.cancelled():
                self.now = max(self.now, when)
                return
            heapq.heappop(self._timers)
        raise RuntimeError("nothing will ever happen again")
