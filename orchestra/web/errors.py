"""What can be wrong with a request as such, before it means anything."""

from collections.abc import Iterable

from orchestra.errors import InvalidFields, NotSignedIn, OrchestraError, Overloaded


class BadQuery(InvalidFields):
    """Unknown or malformed query parameters: each as (pointer, sentence)."""


class BadRequest(OrchestraError):
    """A request that cannot be read; the sentence is made by who raises it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class SecretInAddress(OrchestraError):
    """A token in the URL, where logs and histories keep it."""

    def __str__(self) -> str:
        return "a token does not belong in the URL: revoke it, and send a new one in the Authorization header"


class BodyTooLarge(OrchestraError):
    """A body beyond the bound; nothing of it was used."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(bytes_max)
        self.bytes_max = bytes_max

    def __str__(self) -> str:
        return f"the body is larger than {self.bytes_max} bytes"


class BodyTooSlow(OrchestraError):
    """A body of which some never came; nothing of it was used."""

    def __init__(self, seconds_max: float) -> None:
        super().__init__(seconds_max)
        self.seconds_max = seconds_max

    def __str__(self) -> str:
        return f"the body has not come within {self.seconds_max:.0f} s: send it again"


class CrossSite(OrchestraError):
    """A change that a browser sends with our cookie, but not from our own pages."""

    def __str__(self) -> str:
        return "this request comes from another site: open the page itself, or use a token"


class NoSuchPath(OrchestraError):
    """A path that the service does not have."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"there is nothing at {self.path[:200]!r}"


class WrongMethod(OrchestraError):
    """A path that exists, asked with a method that it does not have."""

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.method = method
        self.allowed = tuple(sorted(allowed))
        super().__init__(method, self.allowed)

    def __str__(self) -> str:
        return f"{self.method[:20]} is not possible here: use {' or '.join(self.allowed)}"


class RangeBeyondEnd(OrchestraError):
    """A byte range of a log that begins behind its end."""

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def __str__(self) -> str:
        return f"the log has {self.length} bytes so far: ask for a range that begins before its end"


class RouteWithoutPolicy(OrchestraError):
    """The table of routes and the table of permissions do not have the same rows; the service does not start."""

    def __init__(self, routes: Iterable[tuple[str, str]]) -> None:
        self.routes = tuple(sorted(routes))
        super().__init__(self.routes)

    def __str__(self) -> str:
        return f"routes and their permissions differ: {', '.join(f'{method} {path}' for method, path in self.routes)}"


class TooManyRequests(Overloaded):
    """A bearer, an address or a user asks more often than this installation allows."""

    def __init__(self, limit: str, quota: int, retry_after_seconds: int) -> None:
        super().__init__(limit, retry_after_seconds)
        self.quota = quota

    def __str__(self) -> str:
        return f"more than {self.quota} {self.what} in a minute: try again in {self.retry_after_seconds} s"


class TooManyStreams(Overloaded):
    """As many streams and downloads are open as may be."""

    def __init__(self, quota: int, retry_after_seconds: int, *, is_own: bool) -> None:
        super().__init__("streams", retry_after_seconds)
        self.quota = quota
        self.is_own = is_own

    def __str__(self) -> str:
        whose = "you have" if self.is_own else "this server has"
        remedy = "close one, or try again" if self.is_own else "try again"
        return f"{whose} {self.quota} streams and downloads open: {remedy} in {self.retry_after_seconds} s"


class TooManyGuesses(NotSignedIn):
    """So many tokens from this address were none that no other is looked up for a while."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"too many wrong tokens came from your address: try again in {self.retry_after_seconds} s"
