"""What a checker has found against the guarantees, counted and named."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

SHOWN_MAX = 40


class Guarantee(StrEnum):
    """What is promised, by its number and in a few words (`docs/guarantees.md`)."""

    LIVENESS = "R1 one end, and it never changes"
    ACCEPTANCE = "R2 what was accepted is there, once"
    ONE_SPAWN = "R3 at most one execution of an attempt"
    FENCING = "R4 the past changes nothing"
    NO_OVERLAP = "R5 attempts never overlap"
    LOG = "R6 every byte of the log, once and in order"
    DISCONNECTION = "R7 nothing is lost while out of contact"
    MASTER_RESTART = "R8 a master's end touches no run"
    WORKER_RESTART = "R9 an agent's end touches no run"
    TICKS = "R10 one decision for each due instant"
    DEPENDENCIES = "R11 one downstream run"
    CANCEL = "R12 nothing lives on after a stop"


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One thing that is not as promised."""

    guarantee: Guarantee
    kind: str
    """One word to count by: missed, extra, overlapping, outcome, log."""
    text: str

    def __str__(self) -> str:
        return f"{self.guarantee}: {self.kind}: {self.text}"


@dataclass(frozen=True)
class Violations:
    """All that was found, in the order in which it was found."""

    found: tuple[Violation, ...] = ()

    def __add__(self, other: "Violations") -> "Violations":
        return Violations(self.found + other.found)

    @property
    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        return dict(Counter(one.kind for one in self.found))

    def __str__(self) -> str:
        if not self.found:
            return "0 violations"
        counted = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        lines = [str(one) for one in self.found[:SHOWN_MAX]]
        more = len(self.found) - SHOWN_MAX
        return "\n".join([f"{len(self.found)} violations ({counted})", *lines, *([f"and {more} more"] * (more > 0))])

    def assert_none(self) -> None:
        """Fails the test with all of them."""
        assert not self.found, str(self)


def together(found: Iterable[Violation]) -> Violations:
    """Violations of an iterable."""
    return Violations(tuple(found))
