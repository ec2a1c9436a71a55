"""How large each number of a definition may be, whoever says it: a file, a program or the API."""

from dataclasses import dataclass

from orchestra.durations import DURATION_SECONDS_MAX, format_duration
from orchestra.limits import DELAY_SECONDS_MAX, EXPANSION_MAX


@dataclass(frozen=True, slots=True)
class Bound:
    """A number's smallest and largest value."""

    low: float
    high: float
    is_duration: bool = False

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        if self.is_duration:
            return f"from {format_duration(self.low)} to {format_duration(self.high)}"
        return f"from {self.low:g} to {self.high:g}"


MAX_ATTEMPTS = Bound(1, 100)
RETRY_FACTOR = Bound(1, 100)
RETRY_WAIT = Bound(0, 7 * 86_400, is_duration=True)
RETRY_MAX_WAIT = Bound(0.001, DELAY_SECONDS_MAX, is_duration=True)
PRIORITY = Bound(-100, 100)
SLOTS = Bound(1, 1000)
WEIGHT = Bound(1, 1000)
TIMEOUT = Bound(0.001, DURATION_SECONDS_MAX, is_duration=True)
# What a program prints through a pipe comes late and in pieces.
SILENCE = Bound(1, DURATION_SECONDS_MAX, is_duration=True)
GRACE = Bound(0, 3600, is_duration=True)
# Below this the link would be declared silent at the same moment, and every short cut would end the run.
DISCONNECT_STOP = Bound(30, DURATION_SECONDS_MAX, is_duration=True)
LOST_AFTER = Bound(30, DURATION_SECONDS_MAX, is_duration=True)
EXPIRE_AFTER = Bound(1, DURATION_SECONDS_MAX, is_duration=True)
EVERY = Bound(1, DURATION_SECONDS_MAX, is_duration=True)
SCHEDULE_GRACE = Bound(1, DURATION_SECONDS_MAX, is_duration=True)
EXPECT_EVERY = Bound(60, DURATION_SECONDS_MAX, is_duration=True)
EXPECT_GRACE = Bound(60, DURATION_SECONDS_MAX, is_duration=True)
JITTER = Bound(0, 7 * 86_400, is_duration=True)
CATCH_UP = Bound(1, 1000)
MAX_PARALLEL = Bound(1, EXPANSION_MAX)
APPROVAL_TIMEOUT = Bound(1, DURATION_SECONDS_MAX, is_duration=True)
EXIT_CODE = Bound(1, 255)
CONCURRENCY_LIMIT = Bound(1, 10_000)
LOCK_COUNT = Bound(1, 10_000)
RATE_STARTS = Bound(1, 10_000)
RATE_PER = Bound(1, DELAY_SECONDS_MAX, is_duration=True)
UNIQUE_WINDOW = Bound(0.001, DELAY_SECONDS_MAX, is_duration=True)
POISON_LOST = Bound(1, 1000)
POISON_WITHIN = Bound(1, DELAY_SECONDS_MAX, is_duration=True)
SHARE = Bound(1, 1000)
RESERVE = Bound(1, 10_000)

JOBS_MAX = 2000
STEPS_MAX = 200
PARAMETERS_MAX = 100
REQUIREMENTS_MAX = 50
LOCKS_MAX = 20
"""Of a job: who makes or starts its runs asks for each of them."""
LOCKS_DECLARED_MAX = 500
POLICY_CHARACTERS_MAX = 500
"""Of a template for a name."""
STEP_NAME_CHARACTERS_MAX = 200
SPECIFICATION_BYTES_MAX = 512 << 10
"""An offer carries the whole specification in one frame, beside parameters and secrets."""
PIPELINE_BYTES_MAX = 4 << 20
"""A pipeline is offered to no worker."""
COMBINATIONS_LISTED_MAX = 100
"""So many that a matrix excludes, and so many that it includes."""
COMBINATIONS_BEFORE_EXCLUDE_MAX = 100_000
"""Each of them is compared with all that are excluded."""
APPROVERS_MAX = 100
PIPELINE_FAULTS_MAX = 100
"""So many are told of one pipeline at a time."""
