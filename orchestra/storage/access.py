"""Users, their roles, tokens and sessions: who a secret belongs to, decided by one look-up of its digest."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, bindparam, delete, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from orchestra.clock import Instant
from orchestra.errors import NotFound
from orchestra.identifiers import TokenId, UserId
from orchestra.policy import Grant, Permission, Principal, Role, scopes_of
from orchestra.storage.tables import projects, role_assignments, tokens, users, web_sessions


@dataclass(frozen=True, kw_only=True, slots=True)
class UserRecord:
    """A person or program, without what they may do."""

    id: UserId
    name: str
    password_hash: str | None
    created_at: Instant
    disabled_at: Instant | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewToken:
    """A token whose secret only its digest is kept of."""

    user: UserId
    name: str
    kind: str
    """"user", "worker", or "sign-in" for a link that works once."""
    prefix: str
    digest: str
    expires_at: Instant | None
    now: Instant


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownBearer:
    """Who a token or session belongs to, and what may be due to be written down about its use."""

    principal: Principal
    kind: str
    used_at: Instant | None
    """When its use was last written down: a token's day of use, a session's last extension."""
    created_at: Instant


# --- who asks ---


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
        scopes=scopes_of(grants),
        grants=grants,
        via="token",
        token_id=TokenId(row.id),
    )
    return KnownBearer(principal=principal, kind=row.kind, used_at=row.last_used_at, created_at=Instant(row.created_at))


_FIND_TOKEN = (
    select(
        tokens.c.id,
        tokens.c.user_id,
        tokens.c.kind,
        tokens.c.last_used_at,
        tokens.c.created_at,
        users.c.name.label("user"),
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
    row = connection.execute(
        select(web_sessions, users.c.name.label("user"))
        .join(users, users.c.id == web_sessions.c.user_id)
        .where(web_sessions.c.digest == digest, web_sessions.c.expires_at > now, users.c.disabled_at.is_(None))
    ).one_or_none()
    if row is None:
        return None
    grants = tuple(grant for grant in grants_of(connection, UserId(row.user_id)) if grant.role is not Role.WORKER)
    principal = Principal(
        user_id=UserId(row.user_id),
        name=row.user,
        scopes=scopes_of(grants),
        grants=grants,
        via="session",
        session_digest=digest,
    )
    return KnownBearer(
        principal=principal, kind="session", used_at=Instant(row.extended_at), created_at=Instant(row.created_at)
    )


def may_connect_worker(bearer: KnownBearer) -> bool:
    """Whether the bearer may open the worker channel."""
    return bearer.principal.may(Permission.CONNECT_WORKER)


def note_token_use(connection: Connection, token: TokenId, *, now: Instant) -> None:
    """Writes down that the token is in use; meant for once a day."""
    connection.execute(update(tokens).where(tokens.c.id == token).values(last_used_at=now))


# --- users and roles ---


def add_user(connection: Connection, name: str, *, password_hash: str | None, now: Instant) -> UserId | None:
    """Makes a user without any role; None if the name is taken."""
    made = connection.execute(
        _ADD_USER[connection.dialect.name], {"name": name, "password_hash": password_hash, "created_at": now}
    ).scalar_one_or_none()
    return None if made is None else UserId(made)


_ADD_USER = {
    "sqlite": sqlite.insert(users).on_conflict_do_nothing(index_elements=["name"]).returning(users.c.id),
    "postgresql": postgresql.insert(users).on_conflict_do_nothing(index_elements=["name"]).returning(users.c.id),
}


def find_user(connection: Connection, name: str, *, lock: bool = False) -> UserRecord:
    """The user of this name; raises NotFound."""
    query = select(users).where(users.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("user", name)
    return UserRecord(
        id=UserId(row.id),
        name=row.name,
        password_hash=row.password_hash,
        created_at=Instant(row.created_at),
        disabled_at=row.disabled_at,
    )


def grants_of(connection: Connection, user: UserId) -> tuple[Grant, ...]:
    """The roles that a user has."""
    return tuple(_grant(row) for row in connection.execute(_GRANTS, {"user": user}))


_GRANTS: Select[tuple[str, int | None, str | None]] = (
    select(role_assignments.c.role, role_assignments.c.project_id, projects.c.name)
    .outerjoin(projects, projects.c.id == role_assignments.c.project_id)
    .where(role_assignments.c.user_id == bindparam("user"))
    .order_by(role_assignments.c.id)
)


def _grant(row: Sequence[object]) -> Grant:
    role, project_id, project = row
    assert isinstance(role, str)
    return Grant(role=Role(role), project_id=project_id, project=project)  # type: ignore[arg-type]  # by the columns' types


def set_grants(connection: Connection, user: UserId, grants: Iterable[Grant]) -> None:
    """Gives the user exactly these roles."""
    connection.execute(delete(role_assignments).where(role_assignments.c.user_id == user))
    rows = [{"user_id": user, "role": grant.role, "project_id": grant.project_id} for grant in grants]
    if rows:
        connection.execute(insert(role_assignments), rows)


def lock_administrators(connection: Connection) -> frozenset[UserId]:
    """The users that are administrators and not disabled; nobody else changes them before this transaction ends."""
    rows = connection.execute(
        select(users.c.id)
        .join(role_assignments, role_assignments.c.user_id == users.c.id)
        .where(
            role_assignments.c.role == Role.ADMINISTRATOR,
            role_assignments.c.project_id.is_(None),
            users.c.disabled_at.is_(None),
        )
        .order_by(users.c.id)
        .with_for_update()
    )
    return frozenset(UserId(row.id) for row in rows)


def set_disabled(connection: Connection, user: UserId, *, disabled_at: Instant | None) -> None:
    """Disables the user (sessions end), or (None) enables it again."""
    connection.execute(update(users).where(users.c.id == user).values(disabled_at=disabled_at))
    if disabled_at is not None:
        end_sessions(connection, user)


def set_password(connection: Connection, user: UserId, *, password_hash: str) -> None:
    """Gives the user a new password; whoever signed in with the old one has to sign in again."""
    connection.execute(update(users).where(users.c.id == user).values(password_hash=password_hash))
    end_sessions(connection, user)


# --- tokens ---


def add_token(connection: Connection, new: NewToken) -> TokenId:
    """Keeps a token."""
    return TokenId(
        connection.execute(
            insert(tokens)
            .values(
                user_id=new.user,
                name=new.name,
                kind=new.kind,
                prefix=new.prefix,
                digest=new.digest,
                created_at=new.now,
                expires_at=new.expires_at,
            )
            .returning(tokens.c.id)
        ).scalar_one()
    )


def revoke_token(connection: Connection, token: TokenId, *, now: Instant) -> bool:
    """Takes the token's power away; False if it had none any more."""
    changed = connection.execute(
        update(tokens).where(tokens.c.id == token, tokens.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    return changed.rowcount == 1


def use_sign_in_link(connection: Connection, digest: str, *, now: Instant) -> UserRecord | None:
    """The user to sign in, if the link is valid; from now on it is not. Of two that use it at once, one gets it."""
    used = connection.execute(
        update(tokens)
        .where(
            tokens.c.digest == digest,
            tokens.c.kind == "sign-in",
            tokens.c.revoked_at.is_(None),
            tokens.c.expires_at > now,
            tokens.c.user_id.in_(select(users.c.id).where(users.c.disabled_at.is_(None))),
        )
        .values(revoked_at=now, last_used_at=now)
        .returning(tokens.c.user_id)
    ).scalar_one_or_none()
    if used is None:
        return None
    return find_user(connection, connection.execute(select(users.c.name).where(users.c.id == used)).scalar_one())


# --- sessions ---


def add_session(connection: Connection, user: UserId, *, digest: str, expires_at: Instant, now: Instant) -> None:
    """Begins a session."""
    connection.execute(
        insert(web_sessions).values(user_id=user, digest=digest, created_at=now, extended_at=now, expires_at=expires_at)
    )


def extend_session(connection: Connection, digest: str, *, expires_at: Instant, now: Instant) -> None:
    """Makes the session last longer."""
    connection.execute(
        update(web_sessions)
        .where(web_sessions.c.digest == digest, web_sessions.c.extended_at < now)
        .values(extended_at=now, expires_at=expires_at)
    )


def end_session(connection: Connection, digest: str) -> None:
    """Ends a session; ending it twice is no error."""
    connection.execute(delete(web_sessions).where(web_sessions.c.digest == digest))


def end_sessions(connection: Connection, user: UserId) -> None:
    """Ends all sessions of a user."""
    connection.execute(delete(web_sessions).where(web_sessions.c.user_id == user))
