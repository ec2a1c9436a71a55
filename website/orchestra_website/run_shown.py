"""A run as its pages show it: the words of its head, the attempt that was asked for, the step that failed first."""

import signal
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup, escape

from orchestra.errors import NotFound
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import TERMINAL_STATES, RunState
from orchestra.limits import CONTACT_SECONDS_MAX
from orchestra.pipeline.states import ElementState
from orchestra.queries.elements import ApprovalView
from orchestra.queries.run_overview import RunOverview
from orchestra.queries.run_views import AttemptView, RunView, StepView
from orchestra.web.log_lines import CommittedLog
from orchestra_website.words import duration_text

TABS = (
    ("", "Summary"),
    ("/log", "Log"),
    ("/steps", "Steps"),
    ("/attempts", "Attempts"),
    ("/parameters", "Parameters"),
    ("/timeline", "Timeline"),
)
PIPELINE_TABS = (
    ("", "Summary"),
    ("/graph", "Graph"),
    ("/timeline", "Timeline"),
    ("/parameters", "Parameters"),
)
"""No worker has a pipeline: steps, attempts and logs are those of the runs that it makes."""
_ON_A_WORKER = frozenset({RunState.ASSIGNED, RunState.RUNNING})


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownRun:
    """Everything that the head and the tabs of a run's pages need."""

    overview: RunOverview
    attempt: AttemptView | None
    """The one that is shown; None before the first."""
    steps: tuple[StepView, ...]
    """Of that attempt."""
    headline: Markup
    """What follows the state's word: `: exit code 3 in 4 min 12 s, usually 3 min 50 s`; in an open page it goes on."""
    cut_off_since: datetime | None
    """The worker is out of contact since then, and the run goes on there as far as anybody knows."""
    awaited_until: datetime | None
    key: str
    """For the form of the retry: sent twice, it makes one run."""

    @property
    def run(self) -> RunView:
        """The run itself."""
        return self.overview.run

    @property
    def is_over(self) -> bool:
        """Nothing about it changes any more."""
        return self.run.state in TERMINAL_STATES

    @property
    def can_be_cancelled(self) -> bool:
        """It has not started: withdrawing it is enough."""
        return not self.is_over and self.run.state not in _ON_A_WORKER

    @property
    def suffix(self) -> str:
        """The query that keeps the shown attempt on the other tabs."""
        attempts = self.overview.run.attempts
        return f"?attempt={self.attempt.number}" if self.attempt and self.attempt != attempts[-1] else ""

    @property
    def tabs(self) -> tuple[tuple[str, str, str], ...]:
        """Path, address and word of each."""
        path = f"/runs/{self.run.id}"
        tabs = PIPELINE_TABS if self.run.is_pipeline else TABS
        return tuple((f"{path}{tail}", f"{path}{tail}{self.suffix}", words) for tail, words in tabs)

    @property
    def asked(self) -> tuple[tuple[str, ApprovalView], ...]:
        """The elements that wait for a person, by name, and what they ask."""
        elements = self.overview.pipeline.elements if self.overview.pipeline else ()
        return tuple(
            (each.name, each.approval)
            for each in elements
            if each.approval is not None and each.state is ElementState.WAITING
        )

    @property
    def failed_step(self) -> StepView | None:
        """The first that did not succeed."""
        return next((step for step in self.steps if step_state(step) == "failed"), None)

    @property
    def exit_words(self) -> str:
        """`3`, or `signal 9 (SIGKILL)`; empty if there is none."""
        code = self.attempt.exit_code if self.attempt else self.run.exit_code
        return "" if code is None else exit_text(code)


def show(overview: RunOverview, *, attempt: int | None, now: datetime, key: str = "") -> ShownRun:
    """The run with the attempt that was asked for, else its newest; raises NotFound."""
    run = overview.run
    chosen = run.attempts[-1] if run.attempts else None
    if attempt is not None:
        chosen = next((each for each in run.attempts if each.number == attempt), None)
        if chosen is None:
            raise NotFound("attempt", attempt)
    since = run.worker_last_contact_at
    is_cut_off = run.state in _ON_A_WORKER and since is not None
    # A master that has died cannot say that it lost its workers: then the silence says it.
    is_silent = since is not None and (now - since).total_seconds() > CONTACT_SECONDS_MAX
    is_cut_off = is_cut_off and (is_silent or not run.worker_connected)
    patience = timedelta(seconds=overview.specification.lost_after_seconds)
    return ShownRun(
        overview=overview,
        attempt=chosen,
        steps=tuple(step for step in run.steps if chosen is not None and step.attempt == chosen.number),
        headline=headline(run, overview.usual_seconds, now),
        cut_off_since=since if is_cut_off else None,
        awaited_until=since + patience if is_cut_off and since is not None else None,
        key=key,
    )


def headline(run: RunView, usual_seconds: float | None, now: datetime) -> Markup:
    """Why, how long, and whether that is usual."""
    begun = run.started_at or run.created_at
    seconds = ((run.ended_at or now) - begun).total_seconds()
    took = escape(duration_text(seconds))
    if run.ended_at is None:
        took = Markup('<time datetime="{}" data-took>{}</time>').format(begun.isoformat(), took)
    word = "in" if run.ended_at and run.started_at else "after" if run.ended_at else "for"
    is_telling = usual_seconds is not None and run.started_at is not None and max(usual_seconds, seconds) >= 1
    usual = f", usually {duration_text(usual_seconds)}" if is_telling and usual_seconds is not None else ""
    return Markup("{} {} {}{}").format(_why(run), word, took, usual)


def _why(run: RunView) -> str:
    if not run.reason:
        return ""
    # "cancelled by user ana" repeats its state; "exit code 3" explains it.
    rest = run.reason.removeprefix(f"{run.state} ")
    return f" {rest}," if rest != run.reason else f": {rest},"


def committed_log(run: int, attempt: AttemptView) -> CommittedLog:
    """What may be read of the attempt's log."""
    return CommittedLog(run=RunId(run), attempt=AttemptNumber(attempt.number), length=attempt.log_length)


def step_state(step: StepView) -> str:
    """In the words of attempts."""
    if step.ended_at is None:
        return "running" if step.started_at is not None else "pending"
    return "failed" if step.exit_code or step.reason else "succeeded"


def exit_text(code: int) -> str:
    """An exit code, or the signal that a negative one stands for."""
    if code >= 0:
        return str(code)
    try:
        return f"signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"signal {-code}"
