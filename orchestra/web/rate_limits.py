"""How much is too much: token buckets and counts of open streams, in the memory of one process.

A bucket is one number: the moment at which it is full again (the generic cell rate algorithm), so nothing has to be
filled, and a bucket that is full is the same as none. What is limited, answers `RateLimit-Policy` and `RateLimit`
(draft-ietf-httpapi-ratelimit-headers-10); the draft still changes, and nothing outside this module knows it.
"""

from dataclasses import dataclass
from enum import Enum

from starlette.responses import Response

from orchestra.clock import Clock
from orchestra.limits import BUCKETS_MAX, STREAM_RETRY_SECONDS
from orchestra.network.hosts import network_of
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import API
from orchestra.web.errors import TooManyGuesses, TooManyRequests, TooManyStreams
from orchestra.web.needs import Need
from orchestra.web.rate_settings import RateSettings

WINDOW_SECONDS = 60
_SECOND = 1_000_000_000
_FREE = (f"{API}/health/", "/static/")
_NO_TRIGGERS = ("/cancel", "/abort", "/approve", "/reject", "/answer", "/wrap")
"""What may be done to runs that are there: it makes none, or only those that were asked for before."""


class Kind(Enum):
    """What a request is to the limits."""

    READ = "reads"
    WRITE = "writes"
    TRIGGER = "triggers"
    """A change that makes a run: counted as a change of its bearer, and as a trigger of its user."""
    FREE = "free"
    """Never refused: who watches whether we live must not be told that we do not."""


def kind_of(method: str, path: str, need: Need) -> Kind:
    """What requests of one route are; a stop is no trigger, so that whoever made too many runs can end them."""
    if method in ("GET", "HEAD"):
        return Kind.FREE if path.startswith(_FREE) else Kind.READ
    return Kind.TRIGGER if need is Permission.RUN and not path.endswith(_NO_TRIGGERS) else Kind.WRITE


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request took from one bucket, and what is left in it."""

    bucket: "Buckets"
    key: str
    left: int
    full_after_seconds: int
    wait_seconds: int
    """0, or after how long the same request may come again: then nothing was taken."""


class Buckets:
    """The buckets of one limit: each holds a minute's quota and is refilled evenly."""

    def __init__(self, *, name: str, quota: int, clock: Clock) -> None:
        self.name = name
        self.quota = quota
        self.policy = f'"{name}";q={quota};w={WINDOW_SECONDS}'
        self._clock = clock
        # Whole nanoseconds: the sum of many steps has to be exactly the whole.
        self._step = WINDOW_SECONDS * _SECOND // quota
        self._capacity = self._step * quota
        self._full_at: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str) -> Charge:
        """Takes one, if there is one."""
        now = int(self._clock.monotonic() * _SECOND)
        full_at = max(self._full_at.get(key, 0), now)
        left = (self._capacity - (full_at - now)) // self._step
        if left < 1:
            wait = full_at + self._step - self._capacity - now
            return Charge(self, key, 0, _seconds(full_at - now), max(1, _seconds(wait)))
        if len(self._full_at) >= BUCKETS_MAX and key not in self._full_at:
            self._forget(now)
        self._full_at[key] = full_at = full_at + self._step
        return Charge(self, key, left - 1, _seconds(full_at - now), 0)

    def wait_seconds(self, key: str) -> int:
        """0 if there is one to take."""
        full_at = self._full_at.get(key)
        if full_at is None:
            return 0
        wait = full_at + self._step - self._capacity - int(self._clock.monotonic() * _SECOND)
        return 0 if wait <= 0 else _seconds(wait)

    def give_back(self, key: str) -> None:
        """Undoes one `take`."""
        full_at = self._full_at.get(key)
        if full_at is not None:
            self._full_at[key] = full_at - self._step

    def _forget(self, now: int) -> None:
        """Buckets that are full; and if many bearers come at once, the half from which the least was taken."""
        emptiest = sorted(((full_at, key) for key, full_at in self._full_at.items() if full_at > now), reverse=True)
        self._full_at = {key: full_at for full_at, key in emptiest[: BUCKETS_MAX // 2]}


@dataclass(slots=True)
class Visit:
    """One request as the limits see it."""

    kind: Kind
    address: str
    bearer: str = ""
    """Whose it is: a token, a session, or an address."""
    charges: tuple[Charge, ...] = ()
    has_stream: bool = False


class RateLimits:
    """Counts requests and open streams, and refuses those that are too many."""

    def __init__(self, *, settings: RateSettings, clock: Clock) -> None:
        self._settings = settings

        def buckets(name: str, quota: int | None) -> Buckets | None:
            return None if quota is None else Buckets(name=name, quota=quota, clock=clock)

        self._reads = buckets("reads", settings.reads)
        self._writes = buckets("writes", settings.writes)
        self._triggers = buckets("triggers", settings.triggers)
        self._guesses = buckets("guesses", settings.guesses)
        self._streams: dict[str, int] = {}
        self._streams_open = 0

    def count(self, visit: Visit, who: Principal | None) -> None:
        """The request, under who asks, or under its address; raises TooManyRequests."""
        visit.bearer = _bearer(who, visit.address)
        if visit.kind is Kind.FREE:
            return
        if visit.kind is Kind.READ:
            self._take(visit, self._reads, visit.bearer)
            return
        self._take(visit, self._writes, visit.bearer)
        if visit.kind is Kind.TRIGGER and who is not None:
            self._take(visit, self._triggers, f"user {who.user_id}")

    def refuse_guesser(self, address: str) -> None:
        """Before a token or session is looked up; raises TooManyGuesses."""
        if self._guesses is not None and (wait := self._guesses.wait_seconds(network_of(address))):
            raise TooManyGuesses(wait)

    def count_guess(self, address: str) -> None:
        """A token or session was shown that is none."""
        if self._guesses is not None:
            self._guesses.take(network_of(address))

    def begin_stream(self, visit: Visit) -> None:
        """Before an answer that is sent while it is made; raises TooManyStreams. It ends with `end`."""
        own, settings = self._streams.get(visit.bearer, 0), self._settings
        if settings.streams is not None and own >= settings.streams:
            raise TooManyStreams(settings.streams, STREAM_RETRY_SECONDS, is_own=True)
        if settings.all_streams is not None and self._streams_open >= settings.all_streams:
            raise TooManyStreams(settings.all_streams, STREAM_RETRY_SECONDS, is_own=False)
        self._streams[visit.bearer] = own + 1
        self._streams_open += 1
        visit.has_stream = True

    def end(self, visit: Visit) -> None:
        """The answer was sent, or nobody is there any more."""
        if not visit.has_stream:
            return
        visit.has_stream = False
        self._streams_open -= 1
        left = self._streams[visit.bearer] - 1
        if left:
            self._streams[visit.bearer] = left
        else:
            del self._streams[visit.bearer]

    @property
    def streams_open(self) -> int:
        """Of everybody."""
        return self._streams_open

    def tell(self, visit: Visit, response: Response) -> None:
        """Puts into the answer what is left; an answer that was nothing new (304) is not counted."""
        policies, states = [], []
        for charge in visit.charges:
            left = charge.left
            if response.status_code == 304:
                charge.bucket.give_back(charge.key)
                left += 1
            policies.append(charge.bucket.policy)
            states.append(f'"{charge.bucket.name}";r={left};t={charge.full_after_seconds}')
        if visit.has_stream and (quota := self._settings.streams) is not None:
            policies.append(f'"streams";q={quota};qu="concurrent-requests"')
            states.append(f'"streams";r={quota - self._streams[visit.bearer]}')
        if policies:
            response.raw_headers.append((b"ratelimit-policy", ", ".join(policies).encode()))
            response.raw_headers.append((b"ratelimit", ", ".join(states).encode()))

    def _take(self, visit: Visit, buckets: Buckets | None, key: str) -> None:
        if buckets is None:
            return
        charge = buckets.take(key)
        if charge.wait_seconds:
            # What another limit took before is given back: the request was not served.
            for taken in visit.charges:
                taken.bucket.give_back(taken.key)
            visit.charges = (charge,)
            raise TooManyRequests(buckets.name, buckets.quota, charge.wait_seconds)
        visit.charges = (*visit.charges, charge)


def _bearer(who: Principal | None, address: str) -> str:
    if who is None:
        return network_of(address)
    return f"token {who.token_id}" if who.token_id is not None else f"session {who.session_id}"


def _seconds(nanoseconds: int) -> int:
    """Whole seconds, rounded up."""
    return -(-nanoseconds // _SECOND)
