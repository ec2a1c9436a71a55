"""Sign-ins that failed, so that guessing becomes slow; they survive a restart and are the same for all processes."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select

from orchestra.clock import Instant, after
from orchestra.limits import SIGN_IN_FAILURE_SECONDS
from orchestra.storage.tables import sign_in_failures


def failures_of(connection: Connection, subject: str, *, now: Instant, limit: int) -> Sequence[Instant]:
    """When this subject failed within the time that counts, newest first, so many at most."""
    since = after(now, -SIGN_IN_FAILURE_SECONDS)
    found = connection.execute(_FIND, {"subject": subject, "since": since, "limit": limit})
    return [Instant(at) for at in found.scalars()]


_FIND = (
    select(sign_in_failures.c.at)
    .where(sign_in_failures.c.subject == bindparam("subject"), sign_in_failures.c.at > bindparam("since"))
    .order_by(sign_in_failures.c.at.desc())
    .limit(bindparam("limit"))
)


def add_failures(connection: Connection, subjects: Sequence[str], *, now: Instant) -> tuple[int, ...]:
    """Counts one failure for each; returns their numbers, to take them back."""
    made = (
        connection.execute(insert(sign_in_failures).values(subject=subject, at=now).returning(sign_in_failures.c.id))
        for subject in subjects
    )
    return tuple(int(each.scalar_one()) for each in made)


def take_back_failures(connection: Connection, failures: Sequence[int]) -> None:
    """They were none."""
    connection.execute(delete(sign_in_failures).where(sign_in_failures.c.id.in_(failures)))


def forget_failures(connection: Connection, subject: str) -> None:
    """The subject has proven who it is."""
    connection.execute(delete(sign_in_failures).where(sign_in_failures.c.subject == subject))


def forget_old_failures(connection: Connection, *, now: Instant) -> None:
    """Removes what counts no more."""
    connection.execute(delete(sign_in_failures).where(sign_in_failures.c.at < after(now, -SIGN_IN_FAILURE_SECONDS)))
