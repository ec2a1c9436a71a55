"""My profile: zone, password, sessions, tokens, and what I did."""

from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from orchestra.commands.accounts import UserChange
from orchestra.commands.profile import ProfileChange, zones
from orchestra.commands.sign_in_throttle import TooManyTries
from orchestra.commands.tokens import TOKEN_DAYS_DEFAULT, TokenRequest
from orchestra.errors import BadName, InvalidFields, NotFound, Overloaded
from orchestra.limits import PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN
from orchestra.policy import TOKEN_SCOPES
from orchestra.queries.audit import AuditFilter, AuditView, list_own_actions
from orchestra.queries.people import SessionDetail, TokenView, UserView, list_sessions, list_tokens, show_user
from orchestra.storage.paging import Page, PageAsked
from orchestra.web.answers import NO_STORE
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_website.renderer import Renderer

Problems = list[tuple[str, str]]
_ACTIONS_SHOWN = 10
_TOKENS_SHOWN_MAX = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    """What the page shows."""

    user: UserView
    sessions: tuple[SessionDetail, ...]
    tokens: Page[TokenView]
    actions: Page[AuditView]


@dataclass(frozen=True, kw_only=True, slots=True)
class TypedToken:
    """The form of a token as it was filled in."""

    name: str = ""
    days: str = str(TOKEN_DAYS_DEFAULT)
    scopes: tuple[str, ...] = ()


class MePages:
    """The handlers for the own account."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock
        self._accounts = parts.accounts
        self._profile = parts.profile
        self._tokens = parts.tokens
        self._authenticator = parts.authenticator
        self._cookie = parts.cookie

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", "/me"): self.show,
            ("POST", "/me/profile"): self.change_profile,
            ("POST", "/me/password"): self.change_password,
            ("POST", "/me/tokens"): self.create_token,
            ("POST", "/me/sessions/{session}/end"): self.end_session,
            ("GET", "/me/sign-out-everywhere"): self.ask_sign_out_everywhere,
            ("POST", "/me/sign-out-everywhere"): self.sign_out_everywhere,
        }

    async def show(self, asking: Asking) -> Response:
        """Everything about me."""
        return await self._page(asking, done=asking.query("done").get("done", ""))

    async def change_profile(self, asking: Asking) -> Response:
        """In which zone I read instants."""
        zone = asking.form().text("zone")
        try:
            await self._profile.change(asking.who, ProfileChange(zone=zone))
        except InvalidFields as error:
            return await self._page(asking, problems=_at_fields(error), zone=zone, status=422)
        return self._back("profile")

    async def change_password(self, asking: Asking) -> Response:
        """A new password; my other sessions end."""
        form = asking.form()
        new, again = form.raw("password"), form.raw("again")
        try:
            if new != again:
                raise InvalidFields([("/again", "is not the same as the new password")])
            change = UserChange(password=new, old_password=form.raw("old_password") or None)
            await self._accounts.change_user(asking.who, asking.who.name, change)
        except InvalidFields as error:
            return await self._page(asking, problems=_at_fields(error), status=422)
        except (TooManyTries, Overloaded) as error:
            headers = {"retry-after": str(error.retry_after_seconds)}
            return await self._page(asking, problems=[("", str(error))], status=429, headers=headers)
        return self._back("password")

    async def create_token(self, asking: Asking) -> Response:
        """Makes a token and shows its secret once."""
        form = asking.form()
        typed = TypedToken(name=form.text("token_name"), days=form.text("days"), scopes=form.all("scope"))
        try:
            if not typed.days.isascii() or not typed.days.isdigit() or len(typed.days) > 4:
                raise InvalidFields([("/days", "must be a whole number of days")])
            request = TokenRequest(
                name=typed.name,
                expires_days=int(typed.days),
                scopes=typed.scopes if form.text("limit") == "yes" else None,
            )
            made = await self._tokens.create(asking.who, request)
        except BadName as error:
            problems = [("token_name", str(error))]
            return await self._page(asking, problems=problems, typed=typed, status=422)
        except InvalidFields as error:
            return await self._page(asking, problems=_at_fields(error), typed=typed, status=422)
        return await self._renderer.page(asking, "token_made.html", {"token": made}, headers=NO_STORE)

    async def end_session(self, asking: Asking) -> Response:
        """Signs me out there."""
        try:
            await self._profile.end_session(asking.who, asking.session())
        except NotFound:
            # Ended meanwhile, which is what was wanted.
            return self._back("session")
        return self._back("session")

    async def ask_sign_out_everywhere(self, asking: Asking) -> Response:
        """The page before: which sessions end."""
        asking.query()
        return await self._page(asking, template="me_sign_out.html")

    async def sign_out_everywhere(self, asking: Asking) -> Response:
        """Ends all my sessions, this one too."""
        await self._profile.end_all_sessions(asking.who)
        self._authenticator.forget()
        response = RedirectResponse("/sign-in", status_code=303, headers=NO_STORE)
        self._cookie.take_back(response)
        return response

    def _back(self, done: str) -> Response:
        self._authenticator.forget()
        return RedirectResponse(f"/me?done={done}", status_code=303, headers=NO_STORE)

    async def _page(
        self,
        asking: Asking,
        *,
        template: str = "me.html",
        problems: Problems | None = None,
        typed: TypedToken | None = None,
        zone: str | None = None,
        done: str = "",
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> Response:
        who, now = asking.who, self._clock.now()

        def read(connection: Connection) -> _Read:
            asked = PageAsked(limit=_TOKENS_SHOWN_MAX)
            return _Read(
                user=show_user(connection, who.name),
                sessions=tuple(list_sessions(connection, who, now=now)),
                tokens=list_tokens(connection, who, asked, user=who.name, valid_at=now),
                actions=list_own_actions(connection, who, AuditFilter(limit=_ACTIONS_SHOWN)),
            )

        found = await self._database.read(read)
        values = {
            "read": found,
            "problems": problems or [],
            "typed": typed or TypedToken(),
            "zone": found.user.zone if zone is None else zone,
            "zones": zones(),
            "scopes": [(word, each.value) for word, each in TOKEN_SCOPES.items() if who.may(each)],
            "characters": (PASSWORD_CHARACTERS_MIN, PASSWORD_CHARACTERS_MAX),
            "done": done,
        }
        return await self._renderer.page(
            asking, template, values, status=status, headers={**NO_STORE, **(headers or {})}
        )


def _at_fields(error: InvalidFields) -> Problems:
    """The problems at the fields that the page has."""
    names = {"expires_days": "days"}
    return [(names.get(name, name), text) for name, text in error.by_field]
