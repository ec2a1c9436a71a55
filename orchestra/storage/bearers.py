"""Who a secret belongs to: decided by one look-up of its digest."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, or_, select, update

from orchestra.clock import Instant
from orchestra.identifiers import TokenId, UserId
from orchestra.policy import Permission, Principal, Role, limited, scopes_of
from orchestra.storage.access import grants_of
from orchestra.storage.tables import tokens, users, web_sessions


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownBearer:
    """Who a token or session belongs to, and what may be due to be written down about its use."""

    principal: Principal
    kind: str
    used_at: Instant | None
    """When its use was last written down: a token's day of use, a session's last extension."""
    created_at: Instant
    seen_at: Instant | None = None
    """When it was last written down that the person is there."""


def find_token(connection: Connection, digest: str, *, now: Instant) -> KnownBearer | None:
    """Who the valid token with this digest (SHA-256 of its text, hexadecimal) belongs to, or None.

    A worker token gives the role Worker only, and every other token never gives it.
    """
    row = connection.execute(_FIND_TOKEN, {"digest": digest, "now": now}).one_or_none()
    if row is None:
        return None
    granted = grants_of(connection, UserId(row.user_id))
    grants = tuple(grant for grant in granted if (grant.role is Role.WORKER) == (row.kind == "worker"))
    principal = Principal(
        user_id=UserId(row.user_id),
        name=row.user,
        scopes=limited(scopes_of(grants), _read_scopes(row.scopes)),
        grants=grants,
        via="token",
        token_id=TokenId(row.id),
        zone=row.zone,
    )
    return KnownBearer(
        principal=principal,
        kind=row.kind,
        used_at=row.last_used_at,
        created_at=Instant(row.created_at),
        seen_at=row.last_seen_at,
    )


_FIND_TOKEN = (
    select(
        tokens.c.id,
        tokens.c.user_id,
        tokens.c.kind,
        tokens.c.last_used_at,
        tokens.c.created_at,
        tokens.c.scopes,
        users.c.name.label("user"),
        users.c.zone,
        users.c.last_seen_at,
    )
    .join(users, users.c.id == tokens.c.user_id)
    .where(
        tokens.c.digest == bindparam("digest"),
        tokens.c.kind.in_(("user", "worker")),
        tokens.c.revoked_at.is_(None),
        or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > bindparam("now")),
        users.c.disabled_at.is_(None),
    )
)


def find_session(connection: Connection, digest: str, *, now: Instant) -> KnownBearer | None:
    """Who the living session with this digest belongs to, or None."""
    row = connection.execute(_FIND_SESSION, {"digest": digest, "now": now}).one_or_none()
    if row is None:
        return None
    grants = tuple(grant for grant in grants_of(connection, UserId(row.user_id)) if grant.role is not Role.WORKER)
    principal = Principal(
        user_id=UserId(row.user_id),
        name=row.user,
        scopes=scopes_of(grants),
        grants=grants,
        via="session",
        session_id=row.id,
        session_digest=digest,
        zone=row.zone,
    )
    return KnownBearer(
        principal=principal,
        kind="session",
        used_at=Instant(row.extended_at),
        created_at=Instant(row.created_at),
        seen_at=row.last_seen_at,
    )


_FIND_SESSION = (
    select(
        web_sessions.c.id,
        web_sessions.c.user_id,
        web_sessions.c.created_at,
        web_sessions.c.extended_at,
        users.c.name.label("user"),
        users.c.zone,
        users.c.last_seen_at,
    )
    .join(users, users.c.id == web_sessions.c.user_id)
    .where(
        web_sessions.c.digest == bindparam("digest"),
        web_sessions.c.expires_at > bindparam("now"),
        users.c.disabled_at.is_(None),
    )
)


def may_connect_worker(bearer: KnownBearer) -> bool:
    """Whether the bearer may open the worker channel."""
    return bearer.principal.may(Permission.CONNECT_WORKER)


def _read_scopes(text: str | None) -> frozenset[Permission] | None:
    # A permission that a newer program knew gives nothing.
    if text is None:
        return None
    return frozenset(Permission[name] for name in text.split() if name in Permission.__members__)


def note_token_use(connection: Connection, token: TokenId, *, now: Instant) -> None:
    """Writes down that the token is in use; meant for once a day."""
    connection.execute(update(tokens).where(tokens.c.id == token).values(last_used_at=now))


def note_seen(connection: Connection, user: UserId, *, now: Instant) -> None:
    """Writes down that the person is there; meant for once in a few minutes."""
    connection.execute(update(users).where(users.c.id == user).values(last_seen_at=now))
