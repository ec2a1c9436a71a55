"""How long a job's newest runs took, as a drawing that the server makes: one dot for each, with a link to the run."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestra.queries.job_history import RunMark, Usual
from orchestra_website.words import duration_text

COLUMN = 24
"""Each dot has a column of its own, wide enough for a finger."""
HEIGHT = 120
_MARGIN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """One run in the drawing."""

    run: int
    state: str
    left: int
    x: int
    y: float
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DurationPlot:
    """Where everything stands, in pixels; the oldest run is on the left."""

    width: int
    height: int
    dots: tuple[Dot, ...]
    usual_y: float | None
    longest: float
    """Seconds at the top."""


def plot_durations(marks: Sequence[RunMark], usual: Usual | None) -> DurationPlot | None:
    """The drawing for these runs, the newest first; None unless two of them have a duration."""
    timed = [(mark, seconds) for mark in reversed(marks) if (seconds := mark.seconds) is not None]
    if len(timed) < 2:
        return None
    longest = max(0.001, *(seconds for _, seconds in timed))
    dots = tuple(
        Dot(
            run=mark.id,
            state=mark.state,
            left=place * COLUMN,
            x=place * COLUMN + COLUMN // 2,
            y=_y(seconds, longest),
            words=f"#{mark.id} {mark.state}, {duration_text(seconds)}",
        )
        for place, (mark, seconds) in enumerate(timed)
    )
    return DurationPlot(
        width=COLUMN * len(dots),
        height=HEIGHT,
        dots=dots,
        usual_y=None if usual is None else _y(min(usual.seconds, longest), longest),
        longest=longest,
    )


def _y(seconds: float, longest: float) -> float:
    return round(HEIGHT - _MARGIN - seconds / longest * (HEIGHT - 2 * _MARGIN), 1)
