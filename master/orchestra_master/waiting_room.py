"""Where workers wait before the master greets them: a few are greeted at once, the others wait in the order in which
they came."""

import asyncio

from orchestra.limits import (
    GREETING_SECONDS_MAX,
    GREETINGS_AT_ONCE_MAX,
    HANDSHAKE_WAIT_SECONDS_MAX,
    HANDSHAKES_WAITING_MAX,
)


class Place:
    """The right to be greeted now. It ends when it is left, or by itself: who says nothing must not hold up others."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._is_left = False
        self._ending = asyncio.get_running_loop().call_later(GREETING_SECONDS_MAX, self.leave)

    def leave(self) -> None:
        """The next one's turn; more than once is harmless."""
        if not self._is_left:
            self._is_left = True
            self._ending.cancel()
            self._places.release()


class WaitingRoom:
    """Lets workers in as fast as the master greets them, whatever the machine: no rate that is right for one only.

    To wait costs the master next to nothing; to be refused and to come again costs it as much as to be let in.
    """

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(GREETINGS_AT_ONCE_MAX)
        self.waiting = 0
        """So many wait now."""

    async def enter(self) -> Place | None:
        """Waits for a place; None if too many wait already, or if none was free in time."""
        if self.waiting >= HANDSHAKES_WAITING_MAX:
            return None
        self.waiting += 1
        try:
            async with asyncio.timeout(HANDSHAKE_WAIT_SECONDS_MAX):
                await self._places.acquire()
        except TimeoutError:
            return None
        finally:
            self.waiting -= 1
        return Place(self._places)
