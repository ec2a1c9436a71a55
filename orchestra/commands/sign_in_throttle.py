"""Slows guessing down: after some failures under one name or from one address each next try has to wait longer.

Nobody is ever locked out, and what is unknown is treated as what is known, so that the answers tell nothing. A try
counts as a failure before its password is verified, and is taken back afterwards if it was none: so a hundred tries at
the same moment are not a hundred free ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from orchestra.clock import Instant, seconds_between
from orchestra.commands.bearer_texts import digest_of
from orchestra.durations import duration_in_words
from orchestra.errors import Overloaded
from orchestra.limits import ACCOUNT_FAILURES_MAX, ADDRESS_FAILURES_MAX, SIGN_IN_DELAY_SECONDS_MAX
from orchestra.network.hosts import network_of
from orchestra.storage.sign_in_failures import add_failures, failures_of, forget_failures, take_back_failures

_SHOWN_CHARACTERS = 32
_COUNTED_MAX = 12
"""Failures beyond the bound that are looked at: twice as long each time, the longest wait is reached before."""


class TooManyTries(Overloaded):
    """Too many sign-ins failed under this name or from this address."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("sign-in", retry_after_seconds)

    def __str__(self) -> str:
        return f"too many sign-ins failed: try again in {duration_in_words(self.retry_after_seconds)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """A try that may go on; it counts as a failure until it is taken back."""

    account: str
    failures: tuple[int, ...]


def begin_try(connection: Connection, name: str, *, address: str, now: Instant) -> Try:
    """Counts the try; raises TooManyTries, with nothing counted, for one that comes too early."""
    # The digest, because people type their password into the field of the name.
    account, place = f"user {digest_of(name)[:_SHOWN_CHARACTERS]}", f"address {network_of(address)}"
    wait = max(
        _wait_of(connection, account, ACCOUNT_FAILURES_MAX, now),
        _wait_of(connection, place, ADDRESS_FAILURES_MAX, now) if address else 0.0,
    )
    if wait > 0:
        raise TooManyTries(math.ceil(wait))
    return Try(account=account, failures=add_failures(connection, [account, place] if address else [account], now=now))


def take_back(connection: Connection, tried: Try) -> None:
    """The try was no failure, nor a success."""
    take_back_failures(connection, tried.failures)


def succeed(connection: Connection, tried: Try) -> None:
    """The name is cleared; the address only of this try, or one known password would buy any number of guesses."""
    take_back_failures(connection, tried.failures)
    forget_failures(connection, tried.account)


def wait_seconds(failures: Sequence[Instant], failures_max: int, now: Instant) -> float:
    """How long to wait after these failures (newest first): 2 s from the bound on, twice as long for each one more."""
    if len(failures) < failures_max:
        return 0.0
    delay = min(2.0 ** (1 + len(failures) - failures_max), SIGN_IN_DELAY_SECONDS_MAX)
    return delay - seconds_between(failures[0], now)


def _wait_of(connection: Connection, subject: str, failures_max: int, now: Instant) -> float:
    failures = failures_of(connection, subject, now=now, limit=failures_max + _COUNTED_MAX)
    return wait_seconds(failures, failures_max, now)
