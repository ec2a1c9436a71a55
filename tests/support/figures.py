"""Figures of time: held to the letter where a test runs alone, and generously where others run beside it."""

import os

BESIDE_OTHERS_TIMES = 4.0
BESIDE_OTHERS_SECONDS_MIN = 10.0


def is_alone() -> bool:
    """Whether no other test runs meanwhile, as with `make faults`: then a stop-watch tells of the product."""
    return "PYTEST_XDIST_WORKER" not in os.environ


def figure(seconds: float) -> float:
    """How long what is promised within so many seconds may take here."""
    return seconds if is_alone() else max(BESIDE_OTHERS_TIMES * seconds, BESIDE_OTHERS_SECONDS_MIN)
