"""Several masters of which any will do: each connection is tried at the next one, round and round."""

import itertools
from collections.abc import Sequence

from orchestra_worker.transport import Connector, Transport


class Rotation:
    """A Connector over others, at least one. How long to wait between two tries is the link's to decide.

    It moves on after every connection, however that one ended: a master that sent its worker away, fell silent or is
    cut off from its database is not the first to ask again.
    """

    def __init__(self, connectors: Sequence[Connector], *, begin_at: int = 0) -> None:
        self._next = itertools.cycle([*connectors[begin_at:], *connectors[:begin_at]])

    async def connect(self) -> Transport:
        """A new connection to the next master; raises TokenRefused, CannotConnect."""
        return await next(self._next).connect()
