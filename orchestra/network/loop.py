"""The event loop of server processes: uvloop where the extra `fast` brings it, else asyncio's own."""

import asyncio
import gc
import importlib
from collections.abc import Callable, Coroutine
from typing import TypeVar

from orchestra.network.heap import give_back_memory

T = TypeVar("T")


def run(main: Coroutine[object, object, T]) -> T:
    """Runs the coroutine in a new loop until it returns.

    For processes that talk to PostgreSQL and spawn nothing: there uvloop takes 6 to 10 % of the CPU away. With SQLite
    it gained nothing, because threads answer it one by one; and it spawns four times slower.
    """
    leave_code_uncollected()
    give_back_memory()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def leave_code_uncollected() -> None:
    """What is loaded by now stays: the collector need not look at all of it whenever a large decision has made many
    objects, which stopped the loop for 40 ms each time."""
    gc.freeze()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return None
    return factory
