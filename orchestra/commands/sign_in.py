"""Signing in and out: a session of a week, begun by a password or by a link that works once."""

from dataclasses import dataclass

from sqlalchemy import Connection

from orchestra.clock import Clock, Instant, after
from orchestra.commands.bearer_texts import BearerText, RandomBytes, digest_of, new_bearer_text
from orchestra.commands.passwords import Passwords
from orchestra.commands.sign_in_throttle import Try, begin_try, succeed, take_back
from orchestra.errors import BadName, NotFound, NotSignedIn, Overloaded
from orchestra.identifiers import checked_name
from orchestra.limits import AGENT_CHARACTERS_MAX, SESSION_DAYS, SESSION_DAYS_MAX
from orchestra.policy import Principal
from orchestra.storage.access import UserRecord, find_user, renew_hash, use_sign_in_link
from orchestra.storage.audit import REFUSED, add_audit_entry, record_change
from orchestra.storage.bearers import note_seen
from orchestra.storage.database import Database
from orchestra.storage.sessions import NewSession, add_session, end_session

SECONDS_PER_DAY = 86_400.0


class SignInRefused(NotSignedIn):
    """A wrong name, password or link: which of them is not said."""

    def __str__(self) -> str:
        return "name and password do not fit, or the link was used or is too old: ask an administrator for a new one"


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """From where somebody signs in."""

    address: str = ""
    agent: str = ""
    """The browser's User-Agent."""
    session_digest: str | None = None
    """The session that the browser had before: it ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BegunSession:
    """A session with its secret, which only the browser keeps."""

    user: str
    secret: BearerText
    expires_at: Instant


@dataclass(frozen=True, slots=True)
class _Admitted:
    tried: Try
    user: UserRecord | None


class SignIn:
    """Begins and ends sessions."""

    def __init__(self, *, database: Database, clock: Clock, passwords: Passwords, random_bytes: RandomBytes) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._random_bytes = random_bytes

    async def by_password(self, name: str, password: str, origin: Origin) -> BegunSession:
        """Begins a session; raises SignInRefused, TooManyTries, or Overloaded if too many sign in at once."""
        now = self._clock.now()
        admitted = await self._database.write(
            lambda connection: _Admitted(
                begin_try(connection, name, address=origin.address, now=now), _find(connection, name)
            )
        )
        user = admitted.user
        known = user.password_hash if user is not None and user.disabled_at is None else None
        try:
            fits = await self._passwords.verify(password, known)
        except Overloaded:
            await self._database.write(lambda connection: take_back(connection, admitted.tried))
            raise
        if user is None or known is None or not fits:
            await self._database.write(lambda connection: _note_refusal(connection, user, origin, now))
            raise SignInRefused
        renewed = await self._renewed(password, known)
        session = self._new_session(user.name)

        def begin(connection: Connection) -> bool:
            # The user may have been disabled, or the password changed, while the hash was computed.
            current = find_user(connection, user.name, lock=True)
            if current.disabled_at is not None or current.password_hash != known:
                return False
            succeed(connection, admitted.tried)
            if renewed is not None:
                renew_hash(connection, current.id, old=known, new=renewed)
            _begin(connection, current, session, origin, how="by password", now=now)
            return True

        if not await self._database.write(begin):
            raise SignInRefused
        return session

    async def by_link(self, link: str, origin: Origin) -> BegunSession:
        """Begins a session by the secret of a one-time link; raises SignInRefused."""
        digest, now = digest_of(link), self._clock.now()
        session = self._new_session("")

        def begin(connection: Connection) -> str | None:
            user = use_sign_in_link(connection, digest, now=now)
            if user is None:
                return None
            _begin(connection, user, session, origin, how="by link", now=now)
            return user.name

        user = await self._database.write(begin)
        if user is None:
            # Not in the audit: nobody guesses 32 random bytes, but anybody could fill the table by trying.
            raise SignInRefused
        return BegunSession(user=user, secret=session.secret, expires_at=session.expires_at)

    async def out(self, who: Principal) -> None:
        """Ends the session by which this person asks; a token stays what it is."""
        digest, now = who.session_digest, self._clock.now()
        if digest is None:
            return

        def end(connection: Connection) -> None:
            if end_session(connection, digest):
                record_change(connection, who, at=now, action="signed_out", subject=f"user {who.name}")

        await self._database.write(end)

    def _new_session(self, user: str) -> BegunSession:
        return BegunSession(
            user=user,
            secret=new_bearer_text("session", self._random_bytes),
            expires_at=after(self._clock.now(), SESSION_DAYS * SECONDS_PER_DAY),
        )

    async def _renewed(self, password: str, known: str) -> str | None:
        """The hash by today's parameters, if the stored one has others; it can wait if too many sign in."""
        if not self._passwords.needs_renewal(known):
            return None
        try:
            return await self._passwords.hash(password)
        except Overloaded:
            return None


def extended_until(created_at: Instant, now: Instant) -> Instant:
    """Until when a session that is used now lasts: a week more, but never beyond a month in all."""
    return min(after(now, SESSION_DAYS * SECONDS_PER_DAY), after(created_at, SESSION_DAYS_MAX * SECONDS_PER_DAY))


def _find(connection: Connection, name: str) -> UserRecord | None:
    try:
        return find_user(connection, checked_name("user", name))
    except (BadName, NotFound):
        return None


def _note_refusal(connection: Connection, user: UserRecord | None, origin: Origin, now: Instant) -> None:
    # What was typed is not written down for an unknown name: it may well be a password.
    add_audit_entry(
        connection,
        at=now,
        actor="somebody",
        action="sign_in_refused",
        subject="an unknown user" if user is None else f"user {user.name}",
        outcome=REFUSED,
        address=origin.address,
    )


def _begin(
    connection: Connection, user: UserRecord, session: BegunSession, origin: Origin, *, how: str, now: Instant
) -> None:
    if origin.session_digest is not None:
        end_session(connection, origin.session_digest)
    number = add_session(
        connection,
        NewSession(
            user=user.id,
            digest=session.secret.digest,
            expires_at=session.expires_at,
            address=origin.address,
            agent=origin.agent[:AGENT_CHARACTERS_MAX].replace("\0", ""),
            now=now,
        ),
    )
    note_seen(connection, user.id, now=now)
    actor = f"user {user.name}"
    add_audit_entry(
        connection,
        at=now,
        actor=actor,
        action="signed_in",
        subject=actor,
        detail=how,
        address=origin.address,
        session_id=number,
    )
