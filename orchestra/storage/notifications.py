"""Signals between processes over PostgreSQL's LISTEN and NOTIFY: their form, and the task that listens."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestra.limits import LISTEN_PROBE_SECONDS, RECONNECT_SECONDS_MAX, RECONNECT_SECONDS_MIN
from orchestra.storage.database import Signal, Topic
from orchestra.storage.signals import SignalBus

CHANNEL = "orchestra"
PAYLOAD_BYTES_MAX = 7000
"""PostgreSQL refuses more than 7999 bytes; some are for the sender and the topic."""


def encode(sender: str, signal: Signal) -> str:
    """The line to send. A payload that cannot be sent is left out: the receiver then looks at everything."""
    is_sendable = len(signal.payload.encode()) <= PAYLOAD_BYTES_MAX and "\0" not in signal.payload
    return f"{sender} {signal.topic} {signal.payload if is_sendable else ''}"


def decode(line: str) -> tuple[str, Signal] | None:
    """The sender and the signal; None for what another version of the product may say."""
    sender, _, rest = line.partition(" ")
    topic, _, payload = rest.partition(" ")
    try:
        return sender, Signal(Topic(topic), payload)
    except ValueError:
        return None


_log = logging.getLogger(__name__)


class _Listenable(Protocol):
    """What is used of the driver's own connection."""

    def add_termination_listener(self, callback: Callable[[object], None]) -> None: ...

    async def add_listener(self, channel: str, callback: Callable[[object, int, str, str], None]) -> None: ...

    async def execute(self, query: str) -> str: ...


class Listener:
    """Brings the signals of other processes to this one, on a connection of its own that it renews without end."""

    def __init__(self, *, engine: AsyncEngine, name: str, bus: SignalBus) -> None:
        self._engine = engine
        self._name = name
        self._bus = bus
        self._delay_seconds = RECONNECT_SECONDS_MIN

    async def run(self) -> None:
        """Listens until it is cancelled; whenever the connection has been renewed, every subscriber is told to look."""
        while True:
            try:
                await self._listen_once()
            except Exception as error:  # noqa: BLE001 — whatever it was, polls still find everything, and the next may work
                _log.warning("listener_lost %s", error)
            await asyncio.sleep(self._delay_seconds)
            self._delay_seconds = min(self._delay_seconds * 2, RECONNECT_SECONDS_MAX)

    async def _listen_once(self) -> None:
        connection = await self._engine.connect()
        try:
            driver = await _driver(connection)
            lost = asyncio.Event()
            driver.add_termination_listener(lambda _: lost.set())
            await driver.add_listener(CHANNEL, lambda _connection, _pid, _channel, line: self._hear(line))
            self._delay_seconds = RECONNECT_SECONDS_MIN
            self._bus.resync()
            while not lost.is_set():
                try:
                    async with asyncio.timeout(LISTEN_PROBE_SECONDS):
                        await lost.wait()
                except TimeoutError:
                    # A half-open link says nothing by itself.
                    await driver.execute("select 1")
        finally:
            with contextlib.suppress(SQLAlchemyError, OSError):
                await connection.invalidate()
            with contextlib.suppress(SQLAlchemyError, OSError):
                await connection.close()

    def _hear(self, line: str) -> None:
        heard = decode(line)
        if heard is None:
            return
        sender, signal = heard
        # What this process sent was told here at once, when it was committed.
        if sender != self._name:
            self._bus.publish([signal])


async def _driver(connection: AsyncConnection) -> _Listenable:
    pooled = await connection.get_raw_connection()
    driver: _Listenable | None = pooled.driver_connection
    assert driver is not None, "a connection that was just opened has its driver's connection"
    return driver
