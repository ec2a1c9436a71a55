"""The keeper's side of its socket: lines in, lines out, and never a moment of waiting for the agent."""

import os
import socket
import struct
from collections.abc import Iterator, Mapping

from orchestra_worker.keeper_protocol import LINE_BYTES_MAX, SOCKET_NAME, decode_object, encode_line

PUSH_BYTES_MAX = 256 << 10
"""With more than this unsent, news is not sent any more: the agent is told that it missed some, and asks again."""
RECEIVE_BYTES = 64 << 10


def listen(folder: str) -> socket.socket:
    """The listening socket in the worker's folder."""
    # By a relative name, because a path may be longer than a socket's address.
    os.chdir(folder)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    if os.path.lexists(SOCKET_NAME):
        # The lock is ours, so this is what a dead keeper has left.
        os.unlink(SOCKET_NAME)
    listener.bind(SOCKET_NAME)
    os.chmod(SOCKET_NAME, 0o600)
    listener.listen(8)
    return listener


class AgentLink:
    """The connection of one agent."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.setblocking(False)
        self._received = bytearray()
        self._unsent = bytearray()
        self._has_missed = False
        self.is_broken = not _is_own_user(connection)

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._connection.fileno()

    @property
    def wants_to_send(self) -> bool:
        """Whether something waits until the socket takes more."""
        return bool(self._unsent)

    def receive(self) -> Iterator[dict[str, object]]:
        """The requests that have come in; a line that is none breaks the link."""
        try:
            content = self._connection.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            content = b""
        self._received += content
        if not content or len(self._received) > LINE_BYTES_MAX:
            self.is_broken = True
            return
        if b"\n" not in content:
            return
        *lines, rest = self._received.split(b"\n")
        self._received = bytearray(rest)
        for line in lines:
            try:
                yield decode_object(bytes(line))
            except ValueError:
                self.is_broken = True
                return

    def answer(self, message: Mapping[str, object]) -> None:
        """Adds an answer to what `flush` sends; it is kept until the agent takes it."""
        self._unsent += encode_line(message)

    def push(self, message: Mapping[str, object]) -> None:
        """Adds news, unless the agent is too slow for it."""
        if len(self._unsent) > PUSH_BYTES_MAX:
            self._has_missed = True
            return
        self.answer(message)

    def flush(self) -> None:
        """Sends what the socket takes."""
        try:
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError:
            self.is_broken = True
            return
        if self._has_missed:
            self._has_missed = False
            self.answer({"event": "missed"})
            self.flush()

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()


def _is_own_user(connection: socket.socket) -> bool:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    user = int(struct.unpack("3i", credentials)[1])
    return user in (0, os.getuid())
