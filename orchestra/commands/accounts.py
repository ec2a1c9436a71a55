"""Users, their roles and tokens: what administrators change, and what everybody may do to the own account."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from sqlalchemy import Connection

from orchestra.clock import Clock, Instant, after
from orchestra.commands.bearer_texts import BearerText, RandomBytes, new_bearer_text
from orchestra.commands.passwords import Passwords, check_password
from orchestra.errors import Conflict, InvalidFields, NotAllowed, NotFound
from orchestra.identifiers import TokenId, UserId, checked_name
from orchestra.limits import TOKEN_DAYS_MAX
from orchestra.policy import GLOBAL_ROLES, Grant, Permission, Principal, Role
from orchestra.queries.people import RoleView, TokenView, UserView, show_token, show_user
from orchestra.storage.access import (
    NewToken,
    UserRecord,
    add_token,
    add_user,
    find_user,
    grants_of,
    lock_administrators,
    revoke_token,
    set_disabled,
    set_grants,
    set_password,
)
from orchestra.storage.audit import add_audit_entry
from orchestra.storage.database import Database
from orchestra.storage.projects import find_project

T = TypeVar("T")
SECONDS_PER_DAY = 86_400.0
TOKEN_DAYS_DEFAULT = 90


class UserRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user to be made."""

    name: str
    password: str | None = None
    roles: tuple[RoleView, ...] = ()


class UserChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be other; None stays as it is."""

    enabled: bool | None = None
    password: str | None = None
    old_password: str | None = None
    """Needed for the own password, if there is one."""
    roles: tuple[RoleView, ...] | None = None


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to be made."""

    name: str
    user: str | None = None
    """None: for myself; for a worker token, the user of the token's name, who is made if there is none."""
    kind: str = "user"
    expires_days: int | None = None


class MadeToken(TokenView, frozen=True, kw_only=True):
    """A new token with its secret, which is shown this once."""

    secret: str


class Accounts:
    """Changes to users and tokens; each with its audit entry."""

    def __init__(self, *, database: Database, clock: Clock, passwords: Passwords, random_bytes: RandomBytes) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._random_bytes = random_bytes

    async def create_user(self, who: Principal, request: UserRequest) -> UserView:
        """Makes a user. Raises NotAllowed, BadName, InvalidFields, Conflict for a name that is taken."""
        who.require(Permission.MANAGE_USERS)
        name = checked_name("user", request.name)
        password_hash = await self._hash(request.password)

        def create(connection: Connection, now: Instant) -> UserView:
            user = add_user(connection, name, password_hash=password_hash, now=now)
            if user is None:
                raise Conflict(f"there is a user {name!r} already: take another name")
            set_grants(connection, user, _grants(connection, request.roles))
            _audit(connection, who, now, "user_created", f"user {name}", _in_words(request.roles))
            return show_user(connection, name)

        return await self._write(create)

    async def change_user(self, who: Principal, name: str, change: UserChange) -> UserView:
        """Changes a user, or the own password. Raises NotFound, NotAllowed, InvalidFields, and Conflict for the last
        administrator."""
        if not who.may(Permission.MANAGE_USERS):
            if name != who.name:
                raise NotAllowed(Permission.MANAGE_USERS.value)
            if change.enabled is not None or change.roles is not None:
                raise NotAllowed(Permission.MANAGE_USERS.value)
        if change.password is not None and name == who.name:
            await self._require_old_password(who, change.old_password)
        password_hash = await self._hash(change.password)

        def alter(connection: Connection, now: Instant) -> UserView:
            administrators = lock_administrators(connection)
            user = find_user(connection, name, lock=True)
            if change.roles is not None:
                set_grants(connection, user.id, _grants(connection, change.roles))
                _audit(connection, who, now, "user_roles_changed", f"user {name}", _in_words(change.roles))
            if change.enabled is not None:
                _switch(connection, who, user, enabled=change.enabled, now=now)
            if administrators and not lock_administrators(connection):
                raise Conflict(f"user {name!r} is the last administrator: make another one first")
            if password_hash is not None:
                set_password(connection, user.id, password_hash=password_hash)
                _audit(connection, who, now, "user_password_changed", f"user {name}")
            return show_user(connection, name)

        return await self._write(alter)

    async def create_token(self, who: Principal, request: TokenRequest) -> MadeToken:
        """Makes a token. Raises NotFound, NotAllowed, InvalidFields, Conflict for a user without the role Worker."""
        who.require(Permission.OWN_ACCOUNT)
        if request.kind == "worker" or request.user not in (None, who.name):
            who.require(Permission.MANAGE_USERS)
        _check_token(request)
        secret = new_bearer_text(request.kind, self._random_bytes)

        def create(connection: Connection, now: Instant) -> MadeToken:
            owner = _owner_of(connection, who, request, now)
            token = add_token(connection, _new_token(owner, request, secret, now))
            _audit(connection, who, now, "token_created", f"token {token}", f"{request.kind} token {secret.prefix}…")
            view = show_token(connection, who, token)
            return MadeToken(**msgspec.structs.asdict(view), secret=secret.text)

        return await self._write(create)

    async def revoke_token(self, who: Principal, token: TokenId) -> None:
        """Takes a token's power away; doing it twice is no error. Raises NotFound for another's token."""

        def revoke(connection: Connection, now: Instant) -> None:
            view = show_token(connection, who, token)
            if revoke_token(connection, token, now=now):
                _audit(connection, who, now, "token_revoked", f"token {token}", f"{view.prefix}… of {view.user}")

        await self._write(revoke)

    async def _write(self, change: Callable[[Connection, Instant], T]) -> T:
        now = self._clock.now()
        return await self._database.write(lambda connection: change(connection, now))

    async def _hash(self, password: str | None) -> str | None:
        if password is None:
            return None
        check_password(password, "/password")
        return await self._passwords.hash(password)

    async def _require_old_password(self, who: Principal, old_password: str | None) -> None:
        user = await self._database.read(lambda connection: find_user(connection, who.name))
        if user.password_hash is None:
            return
        if old_password is None or not await self._passwords.verify(old_password, user.password_hash):
            raise InvalidFields([("/old_password", "is not the present password")])


def _switch(connection: Connection, who: Principal, user: UserRecord, *, enabled: bool, now: Instant) -> None:
    if enabled == (user.disabled_at is None):
        return
    set_disabled(connection, user.id, disabled_at=None if enabled else now)
    _audit(connection, who, now, "user_enabled" if enabled else "user_disabled", f"user {user.name}")


def _grants(connection: Connection, roles: Sequence[RoleView]) -> list[Grant]:
    problems, grants = [], []
    for index, asked in enumerate(dict.fromkeys(roles)):
        project_id = None
        if asked.project is not None and asked.role in GLOBAL_ROLES:
            problems.append((f"/roles/{index}/project", f"the role {asked.role} is never bound to a project"))
        elif asked.project is not None:
            try:
                project_id = find_project(connection, asked.project).id
            except NotFound as error:
                problems.append((f"/roles/{index}/project", str(error)))
        grants.append(Grant(role=asked.role, project_id=project_id, project=asked.project))
    if problems:
        raise InvalidFields(problems)
    return grants


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
        _audit(connection, who, now, "user_created", f"user {name}", Role.WORKER)
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
    if problems:
        raise InvalidFields(problems)
    checked_name("token", request.name)


def _new_token(owner: UserId, request: TokenRequest, secret: BearerText, now: Instant) -> NewToken:
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
    )


def _in_words(roles: Sequence[RoleView]) -> str:
    return ", ".join(f"{asked.role}@{asked.project}" if asked.project else str(asked.role) for asked in roles)


def _audit(connection: Connection, who: Principal, at: Instant, action: str, subject: str, detail: str = "") -> None:
    add_audit_entry(connection, at=at, actor=who.actor, action=action, subject=subject, detail=detail)
