"""Bounds that a seed makes small: what otherwise takes megabytes or thousands of changes happens in every world."""

import contextlib
import importlib
import random
from collections.abc import Iterator, Mapping
from types import ModuleType

_SMALL: Mapping[str, Mapping[str, int]] = {
    "log windows": {
        "orchestra_master.greeting.RUN_WINDOW_BYTES": 700,
        "orchestra_master.greeting.WORKER_WINDOW_BYTES": 1500,
        "orchestra_master.link.WORKER_WINDOW_BYTES": 1500,
    },
    "log chunks": {
        "orchestra_worker.log_source.CHUNK_BYTES_MAX": 100,
        "orchestra_worker.outbox.CHUNK_BYTES_MAX": 100,
    },
    "frames": {"orchestra.protocol.codec.FRAME_MESSAGES_MAX": 2},
    "changes of a commit": {"tests.simulation.database.BATCH_CHANGES_MAX": 1},
    "changes of a pass": {
        "orchestra_master.promoter.BATCH_CHANGES_MAX": 1,
        "orchestra_master.ticker.TICKS_PER_PASS_MAX": 2,
        "orchestra_master.dispatcher.OFFERS_PER_PASS_MAX": 1,
    },
    "log segments": {
        "orchestra.logs.digest.SEGMENT_BYTES": 256,
        "orchestra.logs.store.SEGMENT_BYTES": 256,
        "orchestra_worker.log_source.SEGMENT_BYTES": 256,
        "orchestra_worker.log_source.PUNCH_BYTES": 512,
        "orchestra_worker.log_source.BLOCK_BYTES": 64,
    },
    "open logs": {"orchestra.logs.store.LOGS_OPEN_MAX": 1},
}


@contextlib.contextmanager
def some_bounds_small(chance: random.Random) -> Iterator[None]:
    """Makes some of them small while it is open; a world that has none of them is one in eight or so."""
    chosen = [bound for bound in _SMALL if chance.random() < 0.25]
    before: list[tuple[ModuleType, str, int]] = []
    for bound in chosen:
        for path, value in _SMALL[bound].items():
            module_name, _, name = path.rpartition(".")
            module = importlib.import_module(module_name)
            before.append((module, name, getattr(module, name)))
            setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
