"""Bounds that a seed moves: what otherwise takes megabytes or thousands of changes happens in every world."""

import contextlib
import importlib
import random
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType

_CHANGED: Mapping[str, Mapping[str, Sequence[float]]] = {
    "log windows": {
        "orchestra_master.greeting.RUN_WINDOW_BYTES": (700,),
        "orchestra_master.greeting.WORKER_WINDOW_BYTES": (1500,),
        "orchestra_master.link.WORKER_WINDOW_BYTES": (1500,),
    },
    "log chunks": {
        "orchestra_worker.log_source.CHUNK_BYTES_MAX": (100,),
        "orchestra_worker.outbox.CHUNK_BYTES_MAX": (100,),
    },
    "frames": {"orchestra.protocol.codec.FRAME_MESSAGES_MAX": (2,)},
    "changes of a commit": {"tests.simulation.database.BATCH_CHANGES_MAX": (1,)},
    "changes of a pass": {
        "orchestra_master.promoter.BATCH_CHANGES_MAX": (1,),
        "orchestra_master.passed_instants.TICKS_PER_PASS_MAX": (2,),
        "orchestra_master.dispatcher.OFFERS_PER_PASS_MAX": (1,),
    },
    "log segments": {
        "orchestra.logs.digest.SEGMENT_BYTES": (256,),
        "orchestra.logs.store.SEGMENT_BYTES": (256,),
        "orchestra_worker.log_source.SEGMENT_BYTES": (256,),
        "orchestra_worker.log_source.PUNCH_BYTES": (512,),
        "orchestra_worker.log_source.BLOCK_BYTES": (64,),
    },
    "open logs": {"orchestra.logs.store.LOGS_OPEN_MAX": (1,)},
    "waiting at a worker": {
        # In the time of a world hardly two runs end together; with this any that has ended makes room for another.
        "orchestra_master.roster.PREFETCH_SECONDS": (1000.0,),
        "orchestra_master.roster.PREFETCHED_SECONDS_MAX": (2.0, 0.05, 30.0),
    },
}
"""With the values of which a seed takes one; nearly all are small, but what is to happen more often may be large."""
_OF_CROWDS = "waiting at a worker"


@contextlib.contextmanager
def some_bounds_changed(chance: random.Random, *, is_crowded: bool) -> Iterator[None]:
    """Changes some of them while it is open; a world that has none of them is one in ten or so."""
    chosen = [bound for bound in _CHANGED if chance.random() < 0.25 or (is_crowded and bound == _OF_CROWDS)]
    before: list[tuple[ModuleType, str, float]] = []
    for bound in chosen:
        for path, values in _CHANGED[bound].items():
            module_name, _, name = path.rpartition(".")
            module = importlib.import_module(module_name)
            before.append((module, name, getattr(module, name)))
            setattr(module, name, values[0] if len(values) == 1 else chance.choice(values))
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
