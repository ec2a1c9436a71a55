"""Is the installation well? Each check says what it found, in words, and what to do if it is not."""

from dataclasses import dataclass

from sqlalchemy import Connection, distinct, func, select

from orchestra.clock import Instant, after, seconds_between
from orchestra.durations import duration_in_words
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import RunState
from orchestra.limits import CONTACT_SECONDS_MAX, LONG_WAIT_SECONDS, SIGN_IN_FAILURE_SECONDS
from orchestra.storage.schema import SCHEMA_VERSION, found_version
from orchestra.storage.tables import attempts, runs, sign_in_failures, workers

GOOD, WARNING, BAD = "ok", "warn", "fail"
_FAILURES_NOTED_MIN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: str
    """"ok", "warn" or "fail"."""
    words: str
    remedy: str = ""


def check_schema(connection: Connection) -> Check:
    """Whether the database has the tables that this program needs."""
    found = found_version(connection)
    if found == SCHEMA_VERSION:
        return Check(name="Schema", state=GOOD, words=f"version {found}, on {connection.dialect.name}")
    words = f"version {found or 'none'}, this program needs {SCHEMA_VERSION}"
    return Check(name="Schema", state=BAD, words=words, remedy="Run `orchestra db upgrade`.")


def check_fleet(connection: Connection, *, now: Instant) -> Check:
    """Whether workers are in contact, and with how many masters."""
    known = connection.execute(select(func.count()).select_from(workers)).scalar_one()
    living = (workers.c.master.is_not(None), workers.c.last_contact_at > after(now, -CONTACT_SECONDS_MAX))
    connected, masters = connection.execute(
        select(func.count(), func.count(distinct(workers.c.master))).select_from(workers).where(*living)
    ).one()
    words = f"{connected} of {known} in contact with {masters} master{'' if masters == 1 else 's'}"
    if connected and connected == known:
        return Check(name="Workers", state=GOOD, words=words)
    if connected:
        return Check(name="Workers", state=WARNING, words=words, remedy="Look at the list of workers: who is away?")
    return Check(
        name="Workers", state=WARNING, words=words, remedy="Start one: nothing runs until a worker is in contact."
    )


def check_waiting(connection: Connection, *, now: Instant) -> Check:
    """Whether runs wait for long."""
    waiting = (runs.c.state == RunState.PENDING, runs.c.ended_at.is_(None))
    oldest = connection.execute(select(func.min(runs.c.pending_at)).where(*waiting)).scalar_one_or_none()
    if oldest is None:
        return Check(name="Queue", state=GOOD, words="nothing waits for a worker")
    seconds = seconds_between(Instant(oldest), now)
    words = f"the oldest run waits for {duration_in_words(seconds)}"
    is_long = seconds > LONG_WAIT_SECONDS
    remedy = "Look at the reason on the page of a waiting run." if is_long else ""
    return Check(name="Queue", state=WARNING if is_long else GOOD, words=words, remedy=remedy)


def check_sign_ins(connection: Connection, *, now: Instant) -> Check:
    """Whether somebody guesses passwords."""
    since = after(now, -SIGN_IN_FAILURE_SECONDS)
    failed = connection.execute(
        select(func.count(distinct(sign_in_failures.c.id))).where(
            sign_in_failures.c.at > since, sign_in_failures.c.subject.like("user %")
        )
    ).scalar_one()
    words = f"{failed} failed in the last {duration_in_words(SIGN_IN_FAILURE_SECONDS)}"
    if failed < _FAILURES_NOTED_MIN:
        return Check(name="Sign-ins", state=GOOD, words=words)
    return Check(
        name="Sign-ins", state=WARNING, words=words, remedy="Look for `sign_in_refused` in the audit: from where?"
    )


def newest_log(connection: Connection) -> tuple[RunId, AttemptNumber] | None:
    """An attempt of which at least one byte of log is committed, to see whether logs can be read here."""
    row = connection.execute(
        select(attempts.c.run_id, attempts.c.number)
        .where(attempts.c.log_length > 0)
        .order_by(attempts.c.run_id.desc(), attempts.c.number.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else (RunId(row.run_id), AttemptNumber(row.number))
