"""What went wrong, as a page: what happened, why, what to do, and the request's id."""

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestra.commands.sign_in import SignInRefused
from orchestra.errors import InvalidFields, NotSignedIn, OrchestraError, StorageError
from orchestra.web.answers import NO_STORE
from orchestra.web.asking import Asking
from orchestra.web.authentication import SAFE_METHODS, Authenticator
from orchestra.web.errors import CrossSite
from orchestra.web.statuses import headers_of, status_of
from orchestra_website.renderer import Renderer

_TITLES = {
    400: "This address is not right",
    403: "You may not do this",
    404: "There is nothing here",
    405: "This cannot be done here",
    409: "This does not fit how things are now",
    412: "Somebody was faster",
    413: "This is too large",
    422: "Something in the form is not right",
    429: "Too much at once",
    500: "Something went wrong on our side",
    503: "The database does not answer",
}


class ErrorPages:
    """The website's refusals."""

    def __init__(self, *, renderer: Renderer, authenticator: Authenticator) -> None:
        self._renderer = renderer
        self._authenticator = authenticator

    async def answer(self, error: OrchestraError, request: Request, request_id: str) -> Response:
        """A page; whoever is not signed in goes to the sign-in first, and comes back."""
        if isinstance(error, NotSignedIn) and not isinstance(error, SignInRefused):
            return self._to_sign_in(request)
        status, _ = status_of(error)
        problems = error.by_field if isinstance(error, InvalidFields) else []
        headers = {name: value for name, value in headers_of(error, status).items() if name != "www-authenticate"}
        sentence = "" if problems else str(error)
        return await self._page(request, status, sentence, problems, request_id, headers)

    async def unexpected(self, request: Request, request_id: str) -> Response:
        """Nothing but where to look."""
        sentence = "the log of the website tells more under the number below"
        return await self._page(request, 500, sentence, (), request_id, {})

    def _to_sign_in(self, request: Request) -> Response:
        here = request.url.path if request.method in SAFE_METHODS else "/"
        if request.method in SAFE_METHODS and request.url.query:
            here = f"{here}?{request.url.query}"
        address = "/sign-in" if here == "/" else f"/sign-in?{urlencode({'next': here})}"
        return RedirectResponse(address, status_code=303, headers=NO_STORE)

    async def _page(
        self,
        request: Request,
        status: int,
        sentence: str,
        problems: Sequence[tuple[str, str]],
        request_id: str,
        headers: dict[str, str],
    ) -> Response:
        try:
            who = await self._authenticator.authenticate(request)
        except (NotSignedIn, CrossSite, StorageError):
            who = None
        values = {
            "status": status,
            "heading": _TITLES.get(status, "This did not work"),
            "sentence": sentence,
            "problems": problems,
            "request_id": request_id,
        }
        asking = Asking(request=request, who=who, body=b"")
        return await self._renderer.page(asking, "error.html", values, status=status, headers={**headers, **NO_STORE})
