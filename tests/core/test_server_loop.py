"""The loop of server processes: what was loaded before it began is no business of the collector."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from orchestra.network.loop import run


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


class _Circle:
    """What only the collector frees, as a connection that has broken."""

    def __init__(self) -> None:
        self.itself = self


def test_a_collection_in_a_server_passes_over_what_was_loaded_before_it_began() -> None:
    loaded = len(gc.get_objects())

    async def main() -> tuple[int, int]:
        return gc.get_freeze_count(), len(gc.get_objects())

    kept, looked_at = run(main())

    assert kept >= loaded
    assert looked_at < loaded / 10


def test_a_circle_that_has_grown_old_in_a_server_is_found_before_many_others_have_come() -> None:
    async def main() -> bool:
        circle = _Circle()
        gc.collect(1)  # It is old now.
        seen = weakref.ref(circle)
        del circle
        others: list[list[object]] = [[] for _ in range(20_000)]
        return seen() is None and len(others) > 0

    assert run(main())
