"""A TCP proxy between a worker and its master, or a program and its database, whose link the test can cut, freeze and
mend."""

import contextlib
import selectors
import socket
import threading
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

PIECE_BYTES = 1 << 16
LOOK_SECONDS = 0.02


class LinkState(Enum):
    """What the network does."""

    WHOLE = "whole"
    CUT = "cut"
    """Connections are reset, new ones are refused as soon as they are accepted."""
    FROZEN = "frozen"
    """Half-open: bytes vanish, nobody is told; new connections are accepted and get no answer."""
    STALLED = "stalled"
    """Bytes are kept back, and arrive late."""


class Direction(Enum):
    """Which way bytes go."""

    TO_TARGET = "to the target"
    FROM_TARGET = "from the target"


BOTH = frozenset(Direction)


@dataclass(eq=False)
class _Pair:
    near: socket.socket
    far: socket.socket
    lost: frozenset[Direction] = frozenset()
    """The ways on which bytes vanish; nobody is told."""

    def swallows(self, source: socket.socket) -> bool:
        """Whether what comes from this end vanishes."""
        return (Direction.TO_TARGET if source is self.near else Direction.FROM_TARGET) in self.lost


class Proxy:
    """Listens on a port of its own and forwards to one target, in a thread; a path is that of a Unix socket."""

    def __init__(self, target: tuple[str, int] | Path) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._state = LinkState.WHOLE
        self._lost = BOTH
        self._asked = threading.Lock()
        self._pairs: dict[socket.socket, _Pair] = {}
        self._is_closing = False
        self.accepted = 0
        """Connections that came, so that a test can tell that its fault fired."""
        self.broken = 0
        """Connections that were reset or frozen."""
        self._thread = threading.Thread(target=self._forward, name="proxy", daemon=True)

    @property
    def port(self) -> int:
        """Where the worker connects to."""
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closing = True
        self._thread.join()
        for one in list(self._pairs):
            one.close()
        self._listener.close()
        self._selector.close()

    @property
    def half_open(self) -> int:
        """Frozen connections of which at least one end has not let go yet."""
        with self._asked:
            return len({pair for pair in self._pairs.values() if pair.lost})

    @property
    def passing(self) -> int:
        """Connections that it passes on now."""
        with self._asked:
            return len({pair for pair in self._pairs.values() if not pair.lost})

    def cut(self) -> None:
        """Resets every connection and lets none through until `mend`."""
        with self._asked:
            self._state = LinkState.CUT
            for pair in set(self._pairs.values()):
                self._drop(pair)

    def freeze(self, lost: frozenset[Direction] = BOTH) -> None:
        """Makes every present connection half-open, for good, and new ones until `mend`; on one way only if asked."""
        with self._asked:
            self._state = LinkState.FROZEN
            self._lost = lost
            for pair in set(self._pairs.values()):
                pair.lost |= lost
                self.broken += 1

    def stall(self) -> None:
        """Keeps back all bytes, without losing one, until `mend`."""
        with self._asked:
            self._state = LinkState.STALLED

    def mend(self) -> None:
        """New connections go through again, what was kept back arrives; frozen ones stay half-open, as real ones do."""
        with self._asked:
            self._state = LinkState.WHOLE

    def _forward(self) -> None:
        while not self._is_closing:
            if self._state is LinkState.STALLED:
                time.sleep(LOOK_SECONDS / 10)  # what nobody reads stays readable: no hot loop
            for key, _ in self._selector.select(LOOK_SECONDS):
                with self._asked:
                    if key.fileobj is self._listener:
                        self._accept()
                    else:
                        assert isinstance(key.fileobj, socket.socket)
                        self._pump(key.fileobj)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        self.accepted += 1
        if self._state is LinkState.CUT:
            self.broken += 1
            near.close()
            return
        try:
            far = self._reach()
        except OSError:
            near.close()
            return
        pair = _Pair(near=near, far=far, lost=self._lost if self._state is LinkState.FROZEN else frozenset())
        for one in (near, far):
            one.settimeout(5)
            self._pairs[one] = pair
            self._selector.register(one, selectors.EVENT_READ)

    def _reach(self) -> socket.socket:
        if not isinstance(self._target, Path):
            return socket.create_connection(self._target, timeout=5)
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(str(self._target))
        except OSError:
            far.close()
            raise
        return far

    def _pump(self, source: socket.socket) -> None:
        pair = self._pairs.get(source)
        if pair is None:
            return
        if self._state is LinkState.STALLED:
            return
        try:
            piece = source.recv(PIECE_BYTES)
            if not piece and pair.swallows(source):
                self._let_go(source)
            elif not piece:
                self._drop(pair)
            elif not pair.swallows(source):
                (pair.far if source is pair.near else pair.near).sendall(piece)
        except OSError:
            if pair.lost:
                self._let_go(source)
            else:
                self._drop(pair)

    def _let_go(self, one: socket.socket) -> None:
        """One end of a half-open connection is gone, and the other does not hear of it."""
        del self._pairs[one]
        self._selector.unregister(one)
        one.close()

    def _drop(self, pair: _Pair) -> None:
        self.broken += 1
        for one in (pair.near, pair.far):
            if self._pairs.pop(one, None) is not None:
                self._selector.unregister(one)
            with contextlib.suppress(OSError):
                # No lingering: the peer sees a reset, as when a machine is gone.
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            one.close()
