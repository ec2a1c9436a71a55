"""Users, their roles and tokens: what is kept of them and how it changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, bindparam, delete, insert, select, update

from orchestra.clock import Instant
from orchestra.errors import NotFound
from orchestra.identifiers import TokenId, UserId
from orchestra.policy import Grant, Permission, Role
from orchestra.storage.sessions import end_sessions
from orchestra.storage.tables import projects, role_assignments, tokens, users
from orchestra.storage.upserts import insert_into


@dataclass(frozen=True, kw_only=True, slots=True)
class UserRecord:
    """A person or program, without what they may do."""

    id: UserId
    name: str
    password_hash: str | None
    created_at: Instant
    disabled_at: Instant | None
    zone: str = "UTC"
    last_seen_at: Instant | None = None


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
    scopes: frozenset[Permission] | None = None
    """Of its owner's permissions, the token gives only these; None: all."""


# --- users and roles ---


def add_user(connection: Connection, name: str, *, password_hash: str | None, now: Instant) -> UserId | None:
    """Makes a user without any role; None if the name is taken."""
    add = insert_into(users, connection.dialect.name).on_conflict_do_nothing(index_elements=["name"])
    made = connection.execute(
        add.returning(users.c.id), {"name": name, "password_hash": password_hash, "created_at": now}
    ).scalar_one_or_none()
    return None if made is None else UserId(made)


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
        zone=row.zone,
        last_seen_at=row.last_seen_at,
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


def set_password(connection: Connection, user: UserId, *, password_hash: str, keep: int | None = None) -> None:
    """Gives the user a new password; whoever signed in with the old one, but for one session, has to do it again."""
    connection.execute(update(users).where(users.c.id == user).values(password_hash=password_hash))
    end_sessions(connection, user, keep=keep)


def clear_password(connection: Connection, user: UserId) -> None:
    """Takes the password away; whoever signed in with it has to sign in again, by a link."""
    connection.execute(update(users).where(users.c.id == user).values(password_hash=None))
    end_sessions(connection, user)


def renew_hash(connection: Connection, user: UserId, *, old: str, new: str) -> None:
    """Stores the same password by today's parameters; nothing if it was changed meanwhile."""
    connection.execute(update(users).where(users.c.id == user, users.c.password_hash == old).values(password_hash=new))


def set_zone(connection: Connection, user: UserId, *, zone: str) -> None:
    """In which zone the person reads instants."""
    connection.execute(update(users).where(users.c.id == user).values(zone=zone))


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
                scopes=_write_scopes(new.scopes),
            )
            .returning(tokens.c.id)
        ).scalar_one()
    )


def _write_scopes(scopes: frozenset[Permission] | None) -> str | None:
    """The permissions as they are stored."""
    return None if scopes is None else " ".join(sorted(permission.name for permission in scopes))


def revoke_token(connection: Connection, token: TokenId, *, now: Instant) -> bool:
    """Takes the token's power away; False if it had none any more."""
    changed = connection.execute(
        update(tokens).where(tokens.c.id == token, tokens.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    return changed.rowcount == 1


def revoke_links(connection: Connection, user: UserId, *, now: Instant) -> None:
    """Takes the power of all sign-in links of a user away."""
    connection.execute(
        update(tokens)
        .where(tokens.c.user_id == user, tokens.c.kind == "sign-in", tokens.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )


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
