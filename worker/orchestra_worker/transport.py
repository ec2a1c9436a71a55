"""The port between the link and the wire, so that a simulator can take the wire's place."""

from typing import Protocol

from orchestra.errors import OrchestraError
from orchestra.protocol.codec import Frame


class TransportClosed(OrchestraError):
    """The connection is gone."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the connection was closed ({self.reason or self.code or 'without a word'})"


class TokenRefused(OrchestraError):
    """The master does not know the token, or it may not connect this worker."""

    def __init__(self, address: str, status: int) -> None:
        super().__init__(address, status)
        self.address = address
        self.status = status

    def __str__(self) -> str:
        return f"{self.address} refuses the token (status {self.status}): give the worker a valid token of kind worker"


class CannotConnect(OrchestraError):
    """There is no connection to be had now."""

    def __init__(self, address: str, cause: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(address, cause)
        self.address = address
        self.cause = cause
        self.retry_after_seconds = retry_after_seconds
        """What the master asks for, if it is there and has no time now."""

    def __str__(self) -> str:
        return f"cannot connect to {self.address}: {self.cause}"


class Transport(Protocol):
    """One open connection."""

    async def receive(self) -> Frame:
        """The next frame; raises TransportClosed."""

    async def send(self, frame: Frame) -> None:
        """Sends a frame, and waits while the peer does not keep up; raises TransportClosed."""

    async def close(self, code: int, reason: str) -> None:
        """Closes; never raises."""


class Connector(Protocol):
    """Opens connections to the master."""

    async def connect(self) -> Transport:
        """A new connection; raises TokenRefused, CannotConnect."""
