"""Users and their roles: what administrators change, and the own password, which everybody changes alone."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
from sqlalchemy import Connection

from orchestra.clock import Clock, Instant, after
from orchestra.commands.bearer_texts import RandomBytes, new_bearer_text
from orchestra.commands.passwords import Passwords, check_password
from orchestra.commands.sign_in_throttle import begin_try, succeed, take_back
from orchestra.errors import BadName, Conflict, InvalidFields, NotAllowed, NotFound, Overloaded
from orchestra.identifiers import checked_name
from orchestra.limits import INVITATION_HOURS
from orchestra.policy import GLOBAL_ROLES, Grant, Permission, Principal
from orchestra.queries.addresses import moment
from orchestra.queries.people import RoleView, UserView, roles_of, show_user
from orchestra.storage.access import (
    NewToken,
    UserRecord,
    add_token,
    add_user,
    clear_password,
    find_user,
    grants_of,
    lock_administrators,
    revoke_links,
    set_disabled,
    set_grants,
    set_password,
)
from orchestra.storage.audit import REFUSED, add_audit_entry, record_change
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.projects import find_project
from orchestra.storage.sessions import end_sessions

T = TypeVar("T")


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


class LinkRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A link by which somebody signs in once."""

    reset: bool = False
    """Whether the present password and all sessions end at once."""


class MadeLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link that signs in once; this is the only time that it is shown."""

    user: str
    path: str
    """To be put behind the address of the website."""
    expires_at: datetime


class Accounts:
    """Changes to users; each with its audit entry."""

    def __init__(self, *, database: Database, clock: Clock, passwords: Passwords, random_bytes: RandomBytes) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._random_bytes = random_bytes

    async def create_user(self, who: Principal, request: UserRequest) -> UserView:
        """Makes a user. Raises NotAllowed, BadName, InvalidFields, Conflict for a name that is taken."""
        who.require(Permission.MANAGE_USERS)
        name = checked_name("user", request.name)
        password_hash = await self._hash(request.password, name)

        def create(connection: Connection, now: Instant) -> UserView:
            user = add_user(connection, name, password_hash=password_hash, now=now)
            if user is None:
                raise Conflict(f"there is a user {name!r} already: take another name")
            set_grants(connection, user, _grants(connection, request.roles))
            record_change(
                connection,
                who,
                at=now,
                action="user_created",
                subject=f"user {name}",
                before={},
                after={"roles": in_words(request.roles), "has_password": password_hash is not None},
            )
            return show_user(connection, name)

        return await self._write(create)

    async def change_user(self, who: Principal, name: str, change: UserChange) -> UserView:
        """Changes a user, or the own password. Raises NotFound, NotAllowed, InvalidFields, TooManyTries, and Conflict
        for the last administrator."""
        if not who.may(Permission.MANAGE_USERS) and (
            name != who.name or change.enabled is not None or change.roles is not None
        ):
            raise NotAllowed(Permission.MANAGE_USERS.value)
        password_hash = await self._own_password(who, name, change)

        def alter(connection: Connection, now: Instant) -> UserView:
            administrators = lock_administrators(connection)
            user = find_user(connection, name, lock=True)
            before, after = _alter(connection, user, change, now=now)
            if administrators and not lock_administrators(connection):
                raise Conflict(f"user {name!r} is the last administrator: make another one first")
            if password_hash is not None:
                set_password(connection, user.id, password_hash=password_hash, keep=who.session_id)
                # A link that is still on its way would be another way in than the one that was just chosen.
                revoke_links(connection, user.id, now=now)
            action = _action_of(change, is_password=password_hash is not None)
            if before != after or password_hash is not None:
                record_change(
                    connection, who, at=now, action=action, subject=f"user {name}", before=before, after=after
                )
            return show_user(connection, name)

        return await self._write(alter)

    async def make_link(self, who: Principal, name: str, request: LinkRequest) -> MadeLink:
        """Makes a link by which this user signs in once: an invitation, or a way back in. Raises NotFound, NotAllowed,
        and Conflict for a user that is disabled."""
        who.require(Permission.MANAGE_USERS)
        secret = new_bearer_text("sign-in", self._random_bytes)

        def make(connection: Connection, now: Instant) -> MadeLink:
            user = find_user(connection, name, lock=True)
            if user.disabled_at is not None:
                raise Conflict(f"user {name!r} is disabled: enable it first")
            # Only the newest works: a link that went to the wrong place is replaced by making another.
            revoke_links(connection, user.id, now=now)
            if request.reset:
                clear_password(connection, user.id)
            expires_at = after(now, 3600.0 * INVITATION_HOURS)
            add_token(
                connection,
                NewToken(
                    user=user.id,
                    name="sign-in link",
                    kind="sign-in",
                    prefix=secret.prefix,
                    digest=secret.digest,
                    expires_at=expires_at,
                    now=now,
                ),
            )
            record_change(
                connection,
                who,
                at=now,
                action="user_reset" if request.reset else "sign_in_link_made",
                subject=f"user {name}",
                before={"has_password": user.password_hash is not None},
                after={"has_password": user.password_hash is not None and not request.reset},
            )
            return MadeLink(user=name, path=f"/sign-in?link={secret.text}", expires_at=moment(expires_at))

        return await self._write(make)

    async def _write(self, change: Callable[[Connection, Instant], T]) -> T:
        now = self._clock.now()
        return await self._database.write(lambda connection: change(connection, now), signals=[Signal(Topic.TOKENS)])

    async def _own_password(self, who: Principal, name: str, change: UserChange) -> str | None:
        """The hash of the new password, if there shall be one: everybody sets the own, with the old one."""
        if change.password is None:
            return None
        if name != who.name:
            sentence = f"is set by {name} alone: make a sign-in link, which resets it"
            raise InvalidFields([("/password", sentence)])
        check_password(change.password, "/password", name=name)
        await self._require_old_password(who, change.old_password)
        return await self._passwords.hash(change.password)

    async def _require_old_password(self, who: Principal, old_password: str | None) -> None:
        user = await self._database.read(lambda connection: find_user(connection, who.name))
        known = user.password_hash
        if known is None:
            return
        if not old_password:
            raise InvalidFields([("/old_password", "is needed: the present password")])
        tried = await self._write(lambda connection, now: begin_try(connection, who.name, address=who.address, now=now))
        try:
            fits = await self._passwords.verify(old_password, known)
        except Overloaded:
            await self._database.write(lambda connection: take_back(connection, tried))
            raise
        if not fits:
            await self._write(lambda connection, now: _note_refusal(connection, who, now))
            raise InvalidFields([("/old_password", "is not the present password")])
        await self._database.write(lambda connection: succeed(connection, tried))

    async def _hash(self, password: str | None, name: str) -> str | None:
        if password is None:
            return None
        check_password(password, "/password", name=name)
        return await self._passwords.hash(password)


def _alter(
    connection: Connection, user: UserRecord, change: UserChange, *, now: Instant
) -> tuple[dict[str, object], dict[str, object]]:
    """Makes the change of roles and state; returns what was and what is."""
    before: dict[str, object] = {}
    after: dict[str, object] = {}
    if change.roles is not None:
        before["roles"] = in_words(roles_of(grants_of(connection, user.id)))
        after["roles"] = in_words(change.roles)
        if before["roles"] != after["roles"]:
            set_grants(connection, user.id, _grants(connection, change.roles))
            # Whoever was signed in with other rights signs in again.
            end_sessions(connection, user.id)
    if change.enabled is not None:
        before["enabled"], after["enabled"] = user.disabled_at is None, change.enabled
        if before["enabled"] != after["enabled"]:
            set_disabled(connection, user.id, disabled_at=None if change.enabled else now)
            # Whoever is enabled again comes back by the password or by a new link.
            revoke_links(connection, user.id, now=now)
    return before, after


def _note_refusal(connection: Connection, who: Principal, now: Instant) -> None:
    # Somebody at a browser that was left open would guess here, not at the sign-in.
    add_audit_entry(
        connection,
        at=now,
        actor=who.actor,
        action="user_password_refused",
        subject=f"user {who.name}",
        outcome=REFUSED,
        address=who.address,
        session_id=who.session_id,
    )


def _action_of(change: UserChange, *, is_password: bool) -> str:
    match (change.roles is not None, change.enabled, is_password):
        case (True, None, False):
            return "user_roles_changed"
        case (False, bool(enabled), False):
            return "user_enabled" if enabled else "user_disabled"
        case (False, None, True):
            return "user_password_changed"
        case _:
            return "user_changed"


def _grants(connection: Connection, roles: Sequence[RoleView]) -> list[Grant]:
    problems, grants = [], []
    for index, asked in enumerate(dict.fromkeys(roles)):
        project_id = None
        if asked.project is not None and asked.role in GLOBAL_ROLES:
            problems.append((f"/roles/{index}/project", f"the role {asked.role} is never bound to a project"))
        elif asked.project is not None:
            try:
                project_id = find_project(connection, checked_name("project", asked.project)).id
            except (BadName, NotFound) as error:
                problems.append((f"/roles/{index}/project", str(error)))
        grants.append(Grant(role=asked.role, project_id=project_id, project=asked.project))
    if problems:
        raise InvalidFields(problems)
    return grants


def in_words(roles: Sequence[RoleView]) -> list[str]:
    """`operator@ops`, in the order of the alphabet."""
    return sorted(f"{asked.role}@{asked.project}" if asked.project else str(asked.role) for asked in roles)
