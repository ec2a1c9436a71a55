"""The session cookie: nothing but a secret, out of reach of scripts and of other sites."""

from dataclasses import dataclass

from starlette.responses import Response

from orchestra.limits import SESSION_DAYS_MAX

SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionCookie:
    """How the cookie is given and taken back."""

    is_secure: bool
    """Behind TLS. Without, for loopback and trusted networks, it has a plain name and may travel over plain HTTP."""

    @property
    def name(self) -> str:
        """`__Host-` makes browsers insist on Secure, on this host and on the whole path."""
        return "__Host-orchestra" if self.is_secure else "orchestra"

    def give(self, response: Response, secret: str) -> None:
        """Lets the browser keep the secret; the server decides when it ends."""
        response.set_cookie(
            self.name,
            secret,
            max_age=SESSION_DAYS_MAX * SECONDS_PER_DAY,
            secure=self.is_secure,
            httponly=True,
            samesite="lax",
        )

    def take_back(self, response: Response) -> None:
        """Makes the browser forget it."""
        response.delete_cookie(self.name, secure=self.is_secure, httponly=True, samesite="lax")
