"""Tokens: how programs, and people at a command line, show who they are. The secret is shown once."""

from collections.abc import Callable
from typing import TypeVar

import msgspec
from sqlalchemy import Connection

from orchestra.clock import Clock, Instant, after
from orchestra.commands.bearer_texts import BearerText, RandomBytes, new_bearer_text
from orchestra.errors import Conflict, InvalidFields, NotFound
from orchestra.identifiers import TokenId, UserId, checked_name
from orchestra.limits import TOKEN_DAYS_MAX
from orchestra.policy import TOKEN_SCOPES, Grant, Permission, Principal, Role, scopes_of
from orchestra.queries.people import TokenView, show_token
from orchestra.storage.access import (
    NewToken,
    add_token,
    add_user,
    find_user,
    grants_of,
    revoke_token,
    set_grants,
)
from orchestra.storage.audit import record_change
from orchestra.storage.database import Database, Signal, Topic

T = TypeVar("T")
SECONDS_PER_DAY = 86_400.0
TOKEN_DAYS_DEFAULT = 90


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to be made."""

    name: str
    user: str | None = None
    """None: for myself; for a worker token, the user of the token's name, who is made if there is none."""
    kind: str = "user"
    expires_days: int | None = None
    scopes: tuple[str, ...] | None = None
    """Of the owner's permissions, the token gives only these, and reading; None: all."""


class MadeToken(TokenView, frozen=True, kw_only=True):
    """A new token with its secret, which is shown this once."""

    secret: str


class Tokens:
    """Makes tokens and takes their power away; each with its audit entry."""

    def __init__(self, *, database: Database, clock: Clock, random_bytes: RandomBytes) -> None:
        self._database = database
        self._clock = clock
        self._random_bytes = random_bytes

    async def create(self, who: Principal, request: TokenRequest) -> MadeToken:
        """Makes a token. Raises NotFound, NotAllowed, InvalidFields, Conflict for a user without the role Worker."""
        who.require(Permission.OWN_ACCOUNT)
        if request.kind == "worker" or request.user not in (None, who.name):
            who.require(Permission.MANAGE_USERS)
        _check_token(request)
        secret = new_bearer_text(request.kind, self._random_bytes)

        def make(connection: Connection, now: Instant) -> MadeToken:
            owner = _owner_of(connection, who, request, now)
            scopes = _scopes(connection, owner, request)
            token = add_token(connection, _new_token(owner, request, secret, scopes, now))
            view = show_token(connection, who, token)
            record_change(
                connection,
                who,
                at=now,
                action="token_created",
                subject=f"token {token}",
                detail=f"{request.kind} token {request.name} ({secret.prefix}…) of {view.user}",
                before={},
                after={"scopes": view.scopes, "expires_at": view.expires_at},
            )
            return MadeToken(**msgspec.structs.asdict(view), secret=secret.text)

        return await self._write(make)

    async def revoke(self, who: Principal, token: TokenId) -> None:
        """Takes a token's power away; doing it twice is no error. Raises NotFound for another's token."""

        def take_back(connection: Connection, now: Instant) -> None:
            view = show_token(connection, who, token)
            if revoke_token(connection, token, now=now):
                detail = f"{view.kind} token {view.name} ({view.prefix}…) of {view.user}"
                record_change(connection, who, at=now, action="token_revoked", subject=f"token {token}", detail=detail)

        await self._write(take_back)

    async def _write(self, change: Callable[[Connection, Instant], T]) -> T:
        now = self._clock.now()
        return await self._database.write(lambda connection: change(connection, now), signals=[Signal(Topic.TOKENS)])


def _owner_of(connection: Connection, who: Principal, request: TokenRequest, now: Instant) -> UserId:
    if request.kind != "worker":
        return find_user(connection, request.user or who.name).id
    name = request.user or request.name
    try:
        owner = find_user(connection, name).id
    except NotFound:
        if request.user is not None:
            raise
        made = add_user(connection, name, password_hash=None, now=now)
        assert made is not None, "the look-up was in this transaction"
        set_grants(connection, made, [Grant(role=Role.WORKER)])
        record_change(
            connection,
            who,
            at=now,
            action="user_created",
            subject=f"user {name}",
            before={},
            after={"roles": ["worker"]},
        )
        return made
    if all(grant.role is not Role.WORKER for grant in grants_of(connection, owner)):
        raise Conflict(f"user {name!r} lacks the role {Role.WORKER.value!r}: give it, or name another --user")
    return owner


def _check_token(request: TokenRequest) -> None:
    problems = []
    if request.kind not in ("user", "worker"):
        problems.append(("/kind", "must be user or worker"))
    if request.expires_days is not None and not 1 <= request.expires_days <= TOKEN_DAYS_MAX:
        problems.append(("/expires_days", f"must be from 1 to {TOKEN_DAYS_MAX}"))
    if request.scopes is not None and request.kind == "worker":
        problems.append(("/scopes", "a worker token opens the worker channel and nothing else"))
    for scope in request.scopes or ():
        if scope not in TOKEN_SCOPES:
            problems.append(("/scopes", f"{scope[:40]!r} is none: use {', '.join(TOKEN_SCOPES)}"))
    if problems:
        raise InvalidFields(problems)
    checked_name("token", request.name)
    if request.user is not None:
        checked_name("user", request.user)


def _scopes(connection: Connection, owner: UserId, request: TokenRequest) -> frozenset[Permission] | None:
    if request.scopes is None:
        return None
    wanted = {TOKEN_SCOPES[scope] for scope in request.scopes}
    lacking = wanted - scopes_of(grants_of(connection, owner)).keys()
    if lacking:
        words = ", ".join(sorted(scope for scope, permission in TOKEN_SCOPES.items() if permission in lacking))
        raise InvalidFields([("/scopes", f"the owner has no permission for {words}: give a role that has it first")])
    # What may not be seen is not found, so that every other permission would be worth nothing without reading.
    return frozenset(wanted | {Permission.READ})


def _new_token(
    owner: UserId, request: TokenRequest, secret: BearerText, scopes: frozenset[Permission] | None, now: Instant
) -> NewToken:
    days = request.expires_days
    if days is None and request.kind == "user":
        days = TOKEN_DAYS_DEFAULT
    return NewToken(
        user=owner,
        name=request.name,
        kind=request.kind,
        prefix=secret.prefix,
        digest=secret.digest,
        expires_at=None if days is None else after(now, days * SECONDS_PER_DAY),
        now=now,
        scopes=scopes,
    )
