"""What every command of one call shares: its options, its screen, and the client that it makes when it needs one."""

import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from orchestra.cli.screen import Screen

if TYPE_CHECKING:
    from orchestra.configuration import Connection, Surroundings
    from orchestra.network.client import ApiClient


class Beat(Protocol):
    """The part of time that commands need: a clock for deadlines and a pause between two looks."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def pause(self, seconds: float) -> None:
        """Wait."""

    def today(self) -> datetime:
        """Now, in UTC."""


class SystemBeat:
    """The machine's own time."""

    def monotonic(self) -> float:
        """Seconds since some point in the past."""
        import time

        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Sleep."""
        import time

        time.sleep(seconds)

    def today(self) -> datetime:
        """Now, in UTC."""
        return datetime.now(UTC)


class Invocation:
    """One call of the program. Options are noted while the words are parsed, everything else is made on demand."""

    def __init__(
        self,
        *,
        screen: Screen,
        environment: Mapping[str, str],
        folder: Path,
        home: Path,
        beat: Beat,
        new_key: Callable[[], str],
        interactive: bool,
    ) -> None:
        self.screen = screen
        self.environment = environment
        self.folder = folder
        self.home = home
        self.beat = beat
        self.new_key = new_key
        self.interactive = interactive
        """Whether a question may be asked."""
        self.server: str | None = None
        self.token_file: str | None = None
        self.debug = False
        self._client: ApiClient | None = None

    def around(self) -> "Surroundings":
        """Where a connection is looked for."""
        from orchestra.configuration import Surroundings

        return Surroundings(environment=self.environment, folder=self.folder, home=self.home)

    def connection(self) -> "Connection":
        """The server and token that this call uses; raises NoServer."""
        from orchestra.configuration import find_connection

        return find_connection(self.around(), server=self.server, token_file=self.token_file)

    def client(self) -> "ApiClient":
        """The client to the server, made once."""
        if self._client is None:
            self._client = self.client_for(self.connection())
        return self._client

    def client_for(self, connection: "Connection") -> "ApiClient":
        """A client to this very server."""
        from orchestra.network.client import ApiClient

        return ApiClient(
            server=connection.server,
            token=connection.token,
            new_key=self.new_key,
            pause=self.beat.pause,
            user_agent=f"orchestra/{program_version()}",
        )

    def close(self) -> None:
        """Let go of the connection."""
        if self._client is not None:
            self._client.close()


def system_invocation() -> Invocation:
    """The call of this process, over its own streams, environment and clocks."""
    import secrets

    # A terminal that cannot show a character shows a stand-in: no output is worth a failure.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    return Invocation(
        screen=Screen(out=sys.stdout, errors=sys.stderr, environment=os.environ),
        environment=os.environ,
        folder=Path(),
        home=Path(os.path.expanduser("~")),  # noqa: PTH111 - Path.home raises where a service has no home
        beat=SystemBeat(),
        new_key=lambda: secrets.token_hex(16),
        interactive=sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty(),
    )


def program_version() -> str:
    """The version of the installed distribution."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("job-orchestra")
    except PackageNotFoundError:
        return "unknown"
