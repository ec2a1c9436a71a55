"""What really happened in a simulated world, written down outside of everything that the product stores."""

from dataclasses import dataclass, field

Key = tuple[int, int]
"""Run and attempt."""


@dataclass(kw_only=True)
class Spawn:
    """One process that was really started."""

    run: int
    attempt: int
    step: int
    host: str
    began_at: float
    ended_at: float | None = None
    exit_code: int | None = None
    was_stopped: bool = False
    """It was ended by somebody: a stop, a deadline, a crash."""


@dataclass(kw_only=True)
class Request:
    """One wish for a run, repeated under its key until it was answered."""

    key: str
    job: str
    answers: list[int] = field(default_factory=list)


@dataclass(kw_only=True)
class Truth:
    """The witness of one seed."""

    spawns: list[Spawn] = field(default_factory=list)
    output: dict[Key, bytearray] = field(default_factory=dict)
    """What the processes of an attempt have written, as long as a keeper read it."""
    cut_off: dict[Key, int] = field(default_factory=dict)
    """How many bytes at the end of a log a power failure has taken."""
    requests: list[Request] = field(default_factory=list)
    stops: dict[int, list[str]] = field(default_factory=dict)
    """Runs of which a cancel or an abort was accepted."""
    excused: dict[Key, str] = field(default_factory=dict)
    """Attempts whose machine, keeper or journal was destroyed under them, and by what."""
    seen_over: dict[int, tuple[object, ...]] = field(default_factory=dict)
    """What was read of a run when it was first seen to be over."""
    faults: dict[str, int] = field(default_factory=dict)
    """How often each kind of fault has really happened."""

    def fault(self, kind: str, count: int = 1) -> None:
        """It happened."""
        self.faults[kind] = self.faults.get(kind, 0) + count

    def spawned(self, run: int, attempt: int) -> list[Spawn]:
        """The processes of an attempt."""
        return [each for each in self.spawns if (each.run, each.attempt) == (run, attempt)]

    def excuse_running(self, host: str, cause: str) -> None:
        """Whatever runs on the machine is not to blame for its end."""
        for each in self.spawns:
            if each.host == host and each.ended_at is None:
                self.excused.setdefault((each.run, each.attempt), cause)
