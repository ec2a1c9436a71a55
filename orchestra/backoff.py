"""How long to wait before the next try: pure, the randomness comes in as a number."""

from collections.abc import Callable

Fraction = Callable[[], float]
"""Gives a number from 0 to 1, evenly spread: the port for chance."""


def full_jitter_seconds(tries: int, *, minimum: float, maximum: float, fraction: Fraction) -> float:
    """The wait after so many failed tries (from 1): evenly spread below a bound that doubles, never under half the
    minimum.

    Full jitter keeps a thousand workers that lost the same master from coming back in step.
    """
    bound = min(maximum, minimum * 2.0 ** min(tries, 62))
    return max(minimum / 2, bound * fraction())


def spread_seconds(within: float, *, fraction: Fraction) -> float:
    """A moment evenly spread over the time that a peer has given."""
    return max(0.0, within) * fraction()


def retry_wait_seconds(attempts_made: int, *, wait_seconds: float, factor: float, maximum: float) -> float:
    """The wait of a retry policy after so many attempts (from 1): each is `factor` times the one before, bounded."""
    try:
        wait = wait_seconds * factor ** max(0, attempts_made - 1)
    except OverflowError:
        return maximum
    return min(maximum, wait)
