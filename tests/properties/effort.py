"""How much the property tests try: a little in every run, more when asked, and in CI the same examples each time."""

import os

from hypothesis import HealthCheck, settings

TIMES = float(os.environ.get("ORCHESTRA_PROPERTY_TIMES", "1"))
"""So many times as many examples as usual."""
IS_STEADY = bool(os.environ.get("CI"))
"""A failure of CI is to mean that the change is wrong, never that today's luck is better than yesterday's."""


def times(usual: int) -> int:
    """How many of what is usually tried so often."""
    return max(1, round(usual * TIMES))


def effort(examples: int, *, steps: int = 50) -> settings:
    """Settings for a property: how many examples, and of a state machine how many steps in each."""
    return settings(
        max_examples=times(examples),
        stateful_step_count=steps,
        derandomize=IS_STEADY,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
