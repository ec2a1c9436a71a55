"""The first users of a new instance: there is no default password, only secrets that `orchestra up` has just made."""

from dataclasses import dataclass

from sqlalchemy import Connection

from orchestra.clock import Instant, after
from orchestra.commands.bearer_texts import BearerText
from orchestra.errors import NotFound
from orchestra.identifiers import UserId
from orchestra.limits import SIGN_IN_LINK_MINUTES
from orchestra.policy import Grant, Role
from orchestra.storage.access import NewToken, add_token, add_user, find_user, lock_administrators, set_grants
from orchestra.storage.audit import add_audit_entry

ACTOR = "system"
FIRST_ADMINISTRATOR = "admin"


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstAdministrator:
    """Who was made, or who is there already."""

    name: str
    is_new: bool
    """False: an administrator exists, and the given token was not used."""


def first_administrator(connection: Connection, *, token: BearerText, now: Instant) -> FirstAdministrator:
    """Makes the user `admin` with this token (kind "user", without end), unless there is an administrator."""
    if lock_administrators(connection):
        return FirstAdministrator(name=FIRST_ADMINISTRATOR, is_new=False)
    user = _user(connection, FIRST_ADMINISTRATOR, Role.ADMINISTRATOR, now)
    add_token(connection, _token(user, "up", token, expires_at=None, now=now))
    _audit(connection, now, "first_administrator_made", f"user {FIRST_ADMINISTRATOR}")
    return FirstAdministrator(name=FIRST_ADMINISTRATOR, is_new=True)


def add_sign_in_link(connection: Connection, user: str, *, link: BearerText, now: Instant) -> Instant:
    """Lets the user sign in once by this secret (kind "sign-in"), at `/sign-in?link=…`; returns until when.

    Raises NotFound.
    """
    expires_at = after(now, 60.0 * SIGN_IN_LINK_MINUTES)
    owner = find_user(connection, user)
    add_token(connection, _token(owner.id, "sign-in link", link, expires_at=expires_at, now=now))
    _audit(connection, now, "sign_in_link_made", f"user {user}")
    return expires_at


def local_worker_user(connection: Connection, name: str, *, token: BearerText, now: Instant) -> UserId:
    """Makes sure of a user with the role Worker, and gives it this token (kind "worker", without end)."""
    user = _user(connection, name, Role.WORKER, now)
    add_token(connection, _token(user, "up", token, expires_at=None, now=now))
    _audit(connection, now, "worker_token_made", f"user {name}")
    return user


def _user(connection: Connection, name: str, role: Role, now: Instant) -> UserId:
    try:
        user = find_user(connection, name, lock=True).id
    except NotFound:
        made = add_user(connection, name, password_hash=None, now=now)
        assert made is not None, "the look-up was in this transaction"
        user = made
    set_grants(connection, user, [Grant(role=role)])
    return user


def _token(user: UserId, name: str, secret: BearerText, *, expires_at: Instant | None, now: Instant) -> NewToken:
    return NewToken(
        user=user,
        name=name,
        kind=secret.kind,
        prefix=secret.prefix,
        digest=secret.digest,
        expires_at=expires_at,
        now=now,
    )


def _audit(connection: Connection, now: Instant, action: str, subject: str) -> None:
    add_audit_entry(connection, at=now, actor=ACTOR, action=action, subject=subject)
