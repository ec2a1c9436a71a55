"""Signing in and out: a session of a week, begun by a password or by a link that works once."""

from dataclasses import dataclass

from sqlalchemy import Connection

from orchestra.clock import Clock, Instant, after
from orchestra.commands.bearer_texts import BearerText, RandomBytes, digest_of, new_bearer_text
from orchestra.commands.passwords import Passwords
from orchestra.errors import NotFound, NotSignedIn
from orchestra.limits import SESSION_DAYS, SESSION_DAYS_MAX
from orchestra.storage.access import UserRecord, add_session, end_session, find_user, use_sign_in_link
from orchestra.storage.audit import add_audit_entry
from orchestra.storage.database import Database

SECONDS_PER_DAY = 86_400.0


class SignInRefused(NotSignedIn):
    """A wrong name, password or link: which of them is not said."""

    def __str__(self) -> str:
        return "name and password do not fit, or the link was used or is too old: ask an administrator for a new one"


@dataclass(frozen=True, kw_only=True, slots=True)
class BegunSession:
    """A session with its secret, which only the browser keeps."""

    user: str
    secret: BearerText
    expires_at: Instant


class SignIn:
    """Begins and ends sessions."""

    def __init__(self, *, database: Database, clock: Clock, passwords: Passwords, random_bytes: RandomBytes) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._random_bytes = random_bytes

    async def by_password(self, name: str, password: str) -> BegunSession:
        """Begins a session; raises SignInRefused, or Overloaded if too many sign in at once."""
        user = await self._database.read(lambda connection: _find(connection, name))
        known = user.password_hash if user is not None and user.disabled_at is None else None
        fits = await self._passwords.verify(password, known)
        if user is None or not fits:
            await self._note_refusal(name)
            raise SignInRefused
        session, now = self._new_session(user.name), self._clock.now()

        def begin(connection: Connection) -> bool:
            # The user may have been disabled, or the password changed, while the hash was computed.
            current = find_user(connection, user.name, lock=True)
            if current.disabled_at is not None or current.password_hash != known:
                return False
            _begin(connection, current, session, how="by password", now=now)
            return True

        if not await self._database.write(begin):
            raise SignInRefused
        return session

    async def by_link(self, link: str) -> BegunSession:
        """Begins a session by the secret of a one-time link; raises SignInRefused."""
        digest, now = digest_of(link), self._clock.now()
        session = self._new_session("")

        def begin(connection: Connection) -> str | None:
            user = use_sign_in_link(connection, digest, now=now)
            if user is None:
                return None
            _begin(connection, user, session, how="by link", now=now)
            return user.name

        user = await self._database.write(begin)
        if user is None:
            # Not in the audit: nobody guesses 32 random bytes, but anybody could fill the table by trying.
            raise SignInRefused
        return BegunSession(user=user, secret=session.secret, expires_at=session.expires_at)

    async def out(self, session_digest: str) -> None:
        """Ends the session."""
        await self._database.write(lambda connection: end_session(connection, session_digest))

    def _new_session(self, user: str) -> BegunSession:
        return BegunSession(
            user=user,
            secret=new_bearer_text("session", self._random_bytes),
            expires_at=after(self._clock.now(), SESSION_DAYS * SECONDS_PER_DAY),
        )

    async def _note_refusal(self, name: str) -> None:
        now = self._clock.now()
        await self._database.write(
            lambda connection: add_audit_entry(
                connection, at=now, actor="somebody", action="sign_in_refused", subject=f"user {name[:64]}"
            )
        )


def extended_until(created_at: Instant, now: Instant) -> Instant:
    """Until when a session that is used now lasts: a week more, but never beyond a month in all."""
    return min(after(now, SESSION_DAYS * SECONDS_PER_DAY), after(created_at, SESSION_DAYS_MAX * SECONDS_PER_DAY))


def _find(connection: Connection, name: str) -> UserRecord | None:
    try:
        return find_user(connection, name)
    except NotFound:
        return None


def _begin(connection: Connection, user: UserRecord, session: BegunSession, *, how: str, now: Instant) -> None:
    add_session(connection, user.id, digest=session.secret.digest, expires_at=session.expires_at, now=now)
    actor = f"user {user.name}"
    add_audit_entry(connection, at=now, actor=actor, action="signed_in", subject=actor, detail=how)
