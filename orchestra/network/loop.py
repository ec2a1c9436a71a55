"""The event loop of server processes: uvloop where the extra `fast` brings it, else asyncio's own."""

import asyncio
import gc
import importlib
from collections.abc import Callable, Coroutine
from typing import TypeVar

from orchestra.network.heap import give_back_memory

T = TypeVar("T")

_YOUNGEST, _YOUNGER, _ALL = 700, 5, 1
"""After how many new objects, and how many collections of those younger, the collector looks at the next age."""


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
    """What is loaded and built by now stays: the collector need not look at all of it whenever a large decision has
    made many objects, which stopped the loop for 40 ms each time. What comes later is looked at all the more often.

    A connection that has broken lies in a circle with its statements and the error that ended it. Left to itself the
    collector comes to the old ones once they are a quarter more than it found the last time: minutes of an outage.
    Call it again when a server is built.
    """
    gc.freeze()
    gc.collect()  # Of nothing, so that the quarter is one of what comes later.
    gc.set_threshold(_YOUNGEST, _YOUNGER, _ALL)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return None
    return factory
