"""An instance object for another thread: a connection belongs to one."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.journey import Instance


@contextmanager
def own_connection(instance: Instance) -> Iterator[Instance]:
    """The same instance, over connections of its own."""
    own = Instance()
    own.data, own.port = instance.data, instance.port
    try:
        yield own
    finally:
        own.close_clients()
