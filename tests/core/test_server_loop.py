"""The loop of server processes: what was loaded before it began is no business of the collector."""

import gc
from collections.abc import Iterator

import pytest

from orchestra.network.loop import run


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_a_collection_in_a_server_passes_over_what_was_loaded_before_it_began() -> None:
    loaded = len(gc.get_objects())

    async def main() -> tuple[int, int]:
        return gc.get_freeze_count(), len(gc.get_objects())

    kept, looked_at = run(main())

    assert kept >= loaded
    assert looked_at < loaded / 10
