"""Tokens: everybody's for administrators, and taking one's power away."""

from collections.abc import Sequence

from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from orchestra.queries.people import list_tokens, show_token
from orchestra.web.answers import NO_STORE
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_website.renderer import Renderer

PLACES: Sequence[str] = ("/admin/tokens", "/me/tokens")


class TokenPages:
    """The handlers for tokens that exist."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock
        self._tokens = parts.tokens
        self._authenticator = parts.authenticator

    @property
    def handlers(self) -> Handlers:
        """By method and path; the last page of revoking is the list that the reader came from."""
        return {
            ("GET", "/admin/tokens"): self.list,
            **{("GET", f"{place}/{{token}}/revoke"): self.ask_revoke for place in PLACES},
            **{("POST", f"{place}/{{token}}/revoke"): self.revoke for place in PLACES},
        }

    async def list(self, asking: Asking) -> Response:
        """A page of tokens: those that work, or all that there ever were."""
        page = asking.page("all", "done")
        query = asking.request.query_params
        show_all = query.get("all") == "yes"
        valid_at = None if show_all else self._clock.now()
        found = await self._database.read(
            lambda connection: list_tokens(connection, asking.who, page, valid_at=valid_at)
        )
        values = {
            "found": found,
            "asked": {"all": "yes"} if show_all else {},
            "show_all": show_all,
            "done": query.get("done", ""),
        }
        return await self._renderer.page(asking, "tokens.html", values, headers=NO_STORE)

    async def ask_revoke(self, asking: Asking) -> Response:
        """The page before: which token it is, and what ends with it."""
        asking.query()
        number = asking.token()

        def read(connection: Connection) -> object:
            return show_token(connection, asking.who, number)

        values = {"token": await self._database.read(read), "place": _place(asking)}
        return await self._renderer.page(asking, "token_revoke.html", values, headers=NO_STORE)

    async def revoke(self, asking: Asking) -> Response:
        """Takes the token's power away."""
        await self._tokens.revoke(asking.who, asking.token())
        self._authenticator.forget()
        place = "/me" if _place(asking) == "/me/tokens" else "/admin/tokens"
        return RedirectResponse(f"{place}?done=revoked", status_code=303, headers=NO_STORE)


def _place(asking: Asking) -> str:
    return next(place for place in PLACES if asking.request.url.path.startswith(f"{place}/"))
