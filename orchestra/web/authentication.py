"""Who asks: a token in the Authorization header, or a session cookie from a page of ours."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from sqlalchemy import Connection
from starlette.requests import Request

from orchestra.clock import Clock, Instant, seconds_between
from orchestra.commands.bearer_texts import digest_of, is_well_formed
from orchestra.commands.sign_in import SECONDS_PER_DAY, Origin, extended_until
from orchestra.errors import NotSignedIn
from orchestra.limits import ADDRESS_CHARACTERS_MAX, BEARER_SECONDS_MAX, BEARERS_KEPT_MAX, SEEN_SECONDS
from orchestra.policy import Principal
from orchestra.storage.bearers import KnownBearer, find_session, find_token, note_seen, note_token_use
from orchestra.storage.database import Database
from orchestra.storage.sessions import extend_session
from orchestra.web.errors import CrossSite, SecretInAddress
from orchestra.web.rate_limits import RateLimits

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_SECRET_MARKS = ("orc_u_", "orc_w_", "orc_s_")
_SECRET_NAMES = frozenset({"token", "access_token", "api_key", "apikey", "secret"})
_OWN_SITES = frozenset({"same-origin", "none"})


@dataclass(frozen=True, slots=True)
class _Remembered:
    principal: Principal
    until: float
    """By the monotonic clock."""


class Authenticator:
    """Finds out who asks; a look-up is believed for a second, so that a busy program costs no query per request."""

    def __init__(self, *, database: Database, clock: Clock, limits: RateLimits, cookie_name: str) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits
        self._cookie_name = cookie_name
        self._remembered: dict[str, _Remembered] = {}

    async def authenticate(self, request: Request) -> Principal:
        """Who asks.

        Raises NotSignedIn, TooManyGuesses; CrossSite for a change by cookie that does not prove to come from our pages.
        """
        authorization = request.headers.get("authorization")
        if authorization is not None:
            scheme, _, text = authorization.partition(" ")
            if scheme.lower() != "bearer" or not is_well_formed(text):
                raise NotSignedIn
            return await self._find(text, address_of(request), find_token)
        cookie = request.cookies.get(self._cookie_name)
        if cookie is None or not is_well_formed(cookie):
            raise NotSignedIn
        if request.method not in SAFE_METHODS and not comes_from_own_page(request):
            raise CrossSite
        return await self._find(cookie, address_of(request), find_session)

    def forget(self) -> None:
        """Users, roles, tokens or sessions were changed: everybody is looked up again."""
        self._remembered.clear()

    async def _find(self, text: str, address: str, find: Callable[..., KnownBearer | None]) -> Principal:
        digest = digest_of(text)
        remembered = self._remembered.get(digest)
        if remembered is not None and self._clock.monotonic() < remembered.until:
            found = remembered.principal
            return found if found.address == address else replace(found, address=address)
        if remembered is None:
            # Whoever was known a moment ago is asked for again, however many others guess behind the same address.
            self._limits.refuse_guesser(address)
        asked_at, now = self._clock.monotonic(), self._clock.now()
        known = await self._database.read(lambda connection: find(connection, digest, now=now))
        if known is None:
            self._remembered.pop(digest, None)
            self._limits.count_guess(address)
            raise NotSignedIn
        if _is_older(known.used_at, now, SECONDS_PER_DAY) or _is_older(known.seen_at, now, SEEN_SECONDS):
            await self._database.write(lambda connection: _note_use(connection, digest, known, now))
        principal = replace(known.principal, address=address)
        if len(self._remembered) >= BEARERS_KEPT_MAX:
            self._remembered.clear()
        self._remembered[digest] = _Remembered(principal, asked_at + BEARER_SECONDS_MAX)
        return principal


def address_of(request: Request) -> str:
    """From where the request came, as far as this process can see: without a port, IPv4 in its usual form."""
    return "" if request.client is None else request.client.host.removeprefix("::ffff:")[:ADDRESS_CHARACTERS_MAX]


def origin_of(request: Request, cookie_name: str) -> Origin:
    """From where somebody signs in."""
    cookie = request.cookies.get(cookie_name, "")
    return Origin(
        address=address_of(request),
        agent=request.headers.get("user-agent", ""),
        session_digest=digest_of(cookie) if is_well_formed(cookie) else None,
    )


def comes_from_own_page(request: Request) -> bool:
    """Whether the browser proves that a page of ours made the request: by Sec-Fetch-Site, else by Origin."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in _OWN_SITES
    origin = request.headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc == request.headers.get("host")
    except ValueError:
        # No browser sends what is no address.
        return False


def comes_from_another_site(request: Request) -> bool:
    """Whether the browser says that a foreign page made the request; programs say nothing."""
    has_word = "sec-fetch-site" in request.headers or "origin" in request.headers
    return has_word and not comes_from_own_page(request)


def refuse_secret_in_address(request: Request) -> None:
    """Raises SecretInAddress for a token among the query parameters."""
    query = request.scope["query_string"]
    if not query:
        return
    text = query.decode("latin-1")
    if any(mark in text for mark in _SECRET_MARKS) or not _SECRET_NAMES.isdisjoint(request.query_params):
        raise SecretInAddress


def _note_use(connection: Connection, digest: str, known: KnownBearer, now: Instant) -> None:
    principal = known.principal
    note_seen(connection, principal.user_id, now=now)
    if not _is_older(known.used_at, now, SECONDS_PER_DAY):
        return
    if principal.token_id is not None:
        note_token_use(connection, principal.token_id, now=now)
    else:
        extend_session(connection, digest, expires_at=extended_until(known.created_at, now), now=now)


def _is_older(at: Instant | None, now: Instant, seconds: float) -> bool:
    return at is None or seconds_between(at, now) >= seconds
