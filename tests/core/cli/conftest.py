"""Fixtures: a stand-in for the API on a real socket, and a typist for the command line."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestra.cli.invocation import Beat, Invocation
from orchestra.cli.program import main
from orchestra.cli.screen import Screen
from tests.core.cli.stand_in import StandIn, serving

TOKEN = "orc_u_" + "ab" * 32


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It says so."""
        return True


class QuickBeat:
    """Time that passes only in pauses, at once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return self.seconds

    def pause(self, seconds: float) -> None:
        """Let them pass."""
        self.pauses.append(seconds)
        self.seconds += seconds

    def today(self) -> datetime:
        """The first of March 2026, and the pauses."""
        return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=self.seconds)


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What a command printed and how it ended."""

    code: int
    out: str
    errors: str


class Typist:
    """Types commands, each in a call of its own."""

    def __init__(self, *, folder: Path, environment: dict[str, str], beat: Beat | None = None) -> None:
        self.folder = folder
        self.environment = environment
        self.quick = QuickBeat()
        self.beat = beat or self.quick
        self._keys = iter(f"key-{number}" for number in range(1000))

    def __call__(self, *words: str, terminal: bool = False, interactive: bool = False) -> Typed:
        """Type one command."""
        out = Terminal() if terminal else io.StringIO()
        errors = io.StringIO()
        call = Invocation(
            screen=Screen(out=out, errors=errors, environment=self.environment),
            environment=self.environment,
            folder=self.folder,
            home=self.folder / "home",
            beat=self.beat,
            new_key=lambda: next(self._keys),
            interactive=interactive,
        )
        code = main(list(words), call)
        return Typed(code=int(code), out=out.getvalue(), errors=errors.getvalue())


@pytest.fixture
def server() -> Iterator[StandIn]:
    """A stand-in for the API."""
    with serving(StandIn()) as stand_in:
        yield stand_in


@pytest.fixture
def lonely(tmp_path: Path) -> Typist:
    """A typist who knows no server."""
    return Typist(folder=tmp_path, environment={"TZ": "UTC"})


@pytest.fixture
def typed(tmp_path: Path, server: StandIn) -> Typist:
    """A typist who knows the stand-in and has a token."""
    return Typist(
        folder=tmp_path, environment={"ORCHESTRA_SERVER": server.address, "ORCHESTRA_TOKEN": TOKEN, "TZ": "UTC"}
    )
