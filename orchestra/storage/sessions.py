"""Sessions of browsers: a secret of which the digest is kept, and from where each began."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from orchestra.clock import Instant
from orchestra.identifiers import UserId
from orchestra.storage.tables import web_sessions


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSession:
    """A session to begin."""

    user: UserId
    digest: str
    expires_at: Instant
    address: str
    agent: str
    """The beginning of the browser's User-Agent."""
    now: Instant


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRecord:
    """A session without its secret."""

    id: int
    created_at: Instant
    extended_at: Instant
    expires_at: Instant
    address: str
    agent: str


def add_session(connection: Connection, new: NewSession) -> int:
    """Begins a session; returns its number."""
    made = connection.execute(
        insert(web_sessions)
        .values(
            user_id=new.user,
            digest=new.digest,
            created_at=new.now,
            extended_at=new.now,
            expires_at=new.expires_at,
            address=new.address,
            agent=new.agent,
        )
        .returning(web_sessions.c.id)
    )
    return int(made.scalar_one())


def extend_session(connection: Connection, digest: str, *, expires_at: Instant, now: Instant) -> None:
    """Makes the session last longer."""
    connection.execute(
        update(web_sessions)
        .where(web_sessions.c.digest == digest, web_sessions.c.extended_at < now)
        .values(extended_at=now, expires_at=expires_at)
    )


def sessions_of(connection: Connection, user: UserId, *, now: Instant) -> Sequence[SessionRecord]:
    """The living sessions of a user, newest first."""
    rows = connection.execute(
        select(web_sessions)
        .where(web_sessions.c.user_id == user, web_sessions.c.expires_at > now)
        .order_by(web_sessions.c.id.desc())
    )
    return [
        SessionRecord(
            id=row.id,
            created_at=Instant(row.created_at),
            extended_at=Instant(row.extended_at),
            expires_at=Instant(row.expires_at),
            address=row.address,
            agent=row.agent,
        )
        for row in rows
    ]


def end_session(connection: Connection, digest: str) -> bool:
    """Ends a session; False if it had ended before."""
    return connection.execute(delete(web_sessions).where(web_sessions.c.digest == digest)).rowcount == 1


def end_session_of(connection: Connection, user: UserId, session: int) -> bool:
    """Ends a session of this user by its number; False if there is none."""
    ended = connection.execute(delete(web_sessions).where(web_sessions.c.id == session, web_sessions.c.user_id == user))
    return ended.rowcount == 1


def end_sessions(connection: Connection, user: UserId, *, keep: int | None = None) -> int:
    """Ends all sessions of a user, but for one that is named; returns how many."""
    ended = delete(web_sessions).where(web_sessions.c.user_id == user)
    if keep is not None:
        ended = ended.where(web_sessions.c.id != keep)
    return connection.execute(ended).rowcount


def forget_old_sessions(connection: Connection, *, now: Instant) -> None:
    """Removes what has ended by itself."""
    connection.execute(delete(web_sessions).where(web_sessions.c.expires_at < now))
