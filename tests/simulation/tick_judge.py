"""R10: what was decided about due instants, beside what the page about schedules says, worked out in its plainest form.

An instant is a multiple of its schedule's period. Nothing of the product's arithmetic is used.
"""

from collections.abc import Iterator, Sequence

from orchestra.clock import Instant
from orchestra.specification import CatchUp, Overlap, ScheduleSpecification
from tests.simulation.tick_witness import Noted, NotedPause, Pass
from tests.simulation.timed_jobs import period_of

_MICROSECONDS = 1_000_000
FIRED, CAUGHT_UP, MISSED, PAUSED = "fired", "fired: caught up", "skipped: missed", "skipped: paused"
DISABLED = "skipped: disabled"


class TickJudge:
    """Judges all passes over one schedule."""

    def __init__(self, schedule: int, policy: ScheduleSpecification) -> None:
        self._name = f"R10: schedule {schedule} ({policy.overlap}, {policy.catch_up} {policy.catch_up_limit})"
        self._policy = policy
        self._period = period_of(policy.timetable)

    def violations(self, passes: Sequence[Pass], *, since: Instant) -> Iterator[str]:
        """What of them the policy does not allow; the first instant is the first one after `since`."""
        expected = self._instants(Instant(since + 1), Instant(since + self._period))[0]
        for each in passes:
            if each.begin != expected:
                yield f"{self._name} was decided from {each.begin}, after it was decided until {expected}"
            expected = each.end
            yield from self._judge(each)

    def _judge(self, one: Pass) -> Iterator[str]:
        where = f"{self._name} from {one.begin} to {one.end}"
        moments = {tick.decided_at for tick in one.ticks}
        dues = self._instants(one.begin, Instant(one.end - 1))
        if sorted(tick.due_at for tick in one.ticks) != dues:
            yield f"{where}: {[tick.due_at for tick in one.ticks]} were decided, {dues} were due"
        if len(moments) != 1:
            yield f"{where}: decided at {sorted(moments)}"
            return
        (now,) = moments
        if one.pause is not None and (one.pause.end is None or one.pause.end > now):
            yield f"{where}: decided at {now}, while it was paused: {one.pause}"
            return
        for tick in one.ticks:
            if tick.due_at > now:
                yield f"{where}: {tick.due_at} was decided at {now}, before it was due"
            yield from (f"{where}: {tick}: {words}" for words in self._wrong(tick, self._verdict(tick, one, now)))

    def _verdict(self, tick: Noted, one: Pass, now: Instant) -> str:
        late_before = now - round(self._policy.grace_seconds * _MICROSECONDS)
        if one.pause is not None and one.pause.end is not None:
            late_before = max(late_before, one.pause.end)
        if tick.due_at >= late_before:
            return FIRED
        passed = self._instants(one.begin, now)
        late = [at for at in passed if at < late_before]
        match self._policy.catch_up:
            case CatchUp.NONE:
                caught_up = []
            case CatchUp.LATEST:
                caught_up = late[-1:] if late == passed else []
            case CatchUp.ALL:
                caught_up = late[-self._policy.catch_up_limit :]
        if tick.due_at in caught_up:
            return CAUGHT_UP
        return PAUSED if _was_paused(one.pause, tick.due_at) else MISSED

    def _wrong(self, tick: Noted, verdict: str) -> Iterator[str]:
        """What is wrong about the decision, if this is to become of the instant."""
        if verdict not in (FIRED, CAUGHT_UP):
            if not tick.decision.startswith(verdict) or tick.run is not None:
                yield f"should be {verdict!r}"
            return
        if tick.is_disabled or tick.decision == DISABLED:
            if not tick.is_disabled or tick.decision != DISABLED or tick.run is not None:
                yield f"its job was {'' if tick.is_disabled else 'not '}disabled"
            return
        overlap = self._policy.overlap
        if overlap is Overlap.SKIP and tick.run is None:
            if tick.decision not in {f"skipped: overlap with #{run}" for run in tick.open_runs}:
                yield f"should be {verdict!r}, or skipped because of a run that is not over"
            return
        if tick.decision != verdict or tick.run is None:
            yield f"should be {verdict!r}"
            return
        if overlap is Overlap.SKIP and any(run < tick.run for run in tick.open_runs):
            yield "fired although another run was not over"
        if overlap is Overlap.CANCEL_PREVIOUS and any(run < tick.run for run in tick.unstopped_runs):
            yield "fired, and nobody stopped the runs before it"

    def _instants(self, first: Instant, last: Instant) -> list[Instant]:
        """Both included."""
        return [Instant(at) for at in range(-(-first // self._period) * self._period, last + 1, self._period)]


def _was_paused(pause: NotedPause | None, at: Instant) -> bool:
    return pause is not None and pause.end is not None and pause.begin <= at < pause.end
