"""Users and tokens, as those see them who may; never a secret."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, or_, select

from orchestra.clock import Instant
from orchestra.errors import NotFound
from orchestra.identifiers import TokenId, UserId
from orchestra.policy import TOKEN_SCOPES, Grant, Permission, Principal, Role
from orchestra.queries.addresses import moment
from orchestra.storage.access import find_user, grants_of
from orchestra.storage.paging import Page, PageAsked, page_by_key
from orchestra.storage.sessions import sessions_of
from orchestra.storage.tables import tokens, users


class RoleView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role, everywhere or (with a project) there."""

    role: Role
    project: str | None = None


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    """A user."""

    name: str
    enabled: bool
    roles: tuple[RoleView, ...]
    has_password: bool
    created_at: datetime
    last_seen_at: datetime | None
    zone: str


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """A token without its secret."""

    id: int
    name: str
    user: str
    kind: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    scopes: tuple[str, ...] | None
    """What the token is limited to; null: all that its owner may."""


class MeView(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks."""

    name: str
    roles: tuple[RoleView, ...]
    via: str
    zone: str


class SessionDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One of the own sessions."""

    id: int
    created_at: datetime
    extended_at: datetime
    """When it was last used, to the day."""
    expires_at: datetime
    address: str
    agent: str
    current: bool
    """Whether the question itself comes by it."""


def show_me(who: Principal) -> MeView:
    """The asker, as the service knows them."""
    return MeView(name=who.name, roles=roles_of(who.grants), via=who.via, zone=who.zone)


def show_me_now(connection: Connection, who: Principal) -> MeView:
    """The same after the asker has changed the profile."""
    return MeView(name=who.name, roles=roles_of(who.grants), via=who.via, zone=find_user(connection, who.name).zone)


def list_sessions(connection: Connection, who: Principal, *, now: Instant) -> Sequence[SessionDetail]:
    """The asker's own sessions, newest first."""
    return [
        SessionDetail(
            id=session.id,
            created_at=moment(session.created_at),
            extended_at=moment(session.extended_at),
            expires_at=moment(session.expires_at),
            address=session.address,
            agent=session.agent,
            current=session.id == who.session_id,
        )
        for session in sessions_of(connection, who.user_id, now=now)
    ]


def list_users(connection: Connection, asked: PageAsked) -> Page[UserView]:
    """A page of all users."""
    page = page_by_key(connection, select(users), users.c.id, asked)
    return Page(items=[_user(connection, row) for row in page.items], next=page.next, total=page.total)


def show_user(connection: Connection, name: str) -> UserView:
    """One user; raises NotFound."""
    user = find_user(connection, name)
    return UserView(
        name=user.name,
        enabled=user.disabled_at is None,
        roles=roles_of(grants_of(connection, user.id)),
        has_password=user.password_hash is not None,
        created_at=moment(user.created_at),
        last_seen_at=moment(user.last_seen_at),
        zone=user.zone,
    )


def list_tokens(
    connection: Connection,
    who: Principal,
    asked: PageAsked,
    *,
    user: str | None = None,
    valid_at: Instant | None = None,
) -> Page[TokenView]:
    """A page of the own tokens, or of everybody's for those who may read users; sign-in links are none.

    Of one user alone, if one is named; with an instant, those alone that work then.
    """
    query = _tokens()
    if not who.may(Permission.READ_USERS):
        query = query.where(_is_own(who))
    if user is not None:
        query = query.where(users.c.name == user)
    if valid_at is not None:
        lasts = or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > valid_at)
        query = query.where(tokens.c.revoked_at.is_(None), lasts)
    page = page_by_key(connection, query, tokens.c.id, asked)
    return Page(items=[_token(row) for row in page.items], next=page.next, total=page.total)


def show_token(connection: Connection, who: Principal, token: TokenId) -> TokenView:
    """One token; raises NotFound for another's, unless this person manages users."""
    query = _tokens().where(tokens.c.id == token)
    if not who.may(Permission.MANAGE_USERS):
        query = query.where(_is_own(who))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("token", token)
    return _token(row)


def _is_own(who: Principal) -> ColumnElement[bool]:
    return tokens.c.user_id == who.user_id


def _tokens() -> Select[tuple[object, ...]]:
    return (
        select(tokens, users.c.name.label("user"))
        .join(users, users.c.id == tokens.c.user_id)
        .where(tokens.c.kind != "sign-in")
    )


def _user(connection: Connection, row: Row[tuple[object, ...]]) -> UserView:
    return UserView(
        name=row.name,
        enabled=row.disabled_at is None,
        roles=roles_of(grants_of(connection, UserId(row.id))),
        has_password=row.password_hash is not None,
        created_at=moment(row.created_at),
        last_seen_at=moment(row.last_seen_at),
        zone=row.zone,
    )


def _token(row: Row[tuple[object, ...]]) -> TokenView:
    return TokenView(
        id=row.id,
        name=row.name,
        user=row.user,
        kind=row.kind,
        prefix=row.prefix,
        created_at=moment(row.created_at),
        expires_at=moment(row.expires_at),
        last_used_at=moment(row.last_used_at),
        revoked_at=moment(row.revoked_at),
        scopes=None
        if row.scopes is None
        else tuple(name for name in _SCOPE_WORDS if _SCOPE_WORDS[name] in row.scopes.split()),
    )


_SCOPE_WORDS = {word: permission.name for word, permission in TOKEN_SCOPES.items()}


def roles_of(grants: Sequence[Grant]) -> tuple[RoleView, ...]:
    """The grants for a view."""
    return tuple(RoleView(role=grant.role, project=grant.project) for grant in grants)
