"""Signing in by password or by a link that works once, signing out, and light or dark."""

from starlette.responses import RedirectResponse, Response

from orchestra.commands.bearer_texts import is_well_formed
from orchestra.commands.sign_in import SignInRefused
from orchestra.commands.sign_in_throttle import TooManyTries
from orchestra.errors import InvalidFields, Overloaded
from orchestra.web.answers import NO_STORE
from orchestra.web.asking import Asking
from orchestra.web.authentication import comes_from_another_site, origin_of
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import CrossSite
from orchestra.web.parts import WebParts
from orchestra_website.renderer import THEME_COOKIE, THEMES, Renderer

_YEAR_SECONDS = 365 * 86_400


class SignInPages:
    """The handlers around the session."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._sign_in = parts.sign_in
        self._authenticator = parts.authenticator
        self._cookie = parts.cookie

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", "/sign-in"): self.ask,
            ("POST", "/sign-in"): self.enter,
            ("POST", "/sign-out"): self.leave,
            ("POST", "/theme"): self.choose_theme,
        }

    async def ask(self, asking: Asking) -> Response:
        """One button for a link, so that mail programs and scanners that open it do not use it up; else a form."""
        query = asking.query("link", "next")
        link = query.get("link", "")
        return await self._form(
            asking, link=link if is_well_formed(link) else "", is_bad_link=bool(link), after=query.get("next", "")
        )

    async def enter(self, asking: Asking) -> Response:
        """Begins the session and goes where the reader wanted to be."""
        if comes_from_another_site(asking.request):
            raise CrossSite
        form = asking.form()
        name, link = form.text("name"), form.text("link")
        origin = origin_of(asking.request, self._cookie.name)
        try:
            if link and not is_well_formed(link):
                raise SignInRefused
            session = await (
                self._sign_in.by_link(link, origin)
                if link
                else self._sign_in.by_password(name, form.raw("password"), origin)
            )
        except SignInRefused:
            if link:
                return await self._form(asking, is_bad_link=True, after=form.raw("next"), status=403)
            problem = "Name and password do not fit."
            return await self._form(asking, name=name, after=form.raw("next"), problem=problem, status=403)
        except TooManyTries as error:
            problem = str(error)
            return await self._form(asking, name=name, after=form.raw("next"), problem=problem, refused=error)
        except Overloaded as error:
            problem = f"Too many people sign in just now: try again in {error.retry_after_seconds} s."
            return await self._form(asking, name=name, after=form.raw("next"), problem=problem, refused=error)
        response = RedirectResponse(_own_path(form.raw("next")), status_code=303, headers=NO_STORE)
        self._cookie.give(response, session.secret.text)
        return response

    async def leave(self, asking: Asking) -> Response:
        """Ends the session."""
        if asking.who.session_digest is not None:
            await self._sign_in.out(asking.who)
            self._authenticator.forget()
        response = RedirectResponse("/sign-in", status_code=303, headers=NO_STORE)
        self._cookie.take_back(response)
        return response

    async def choose_theme(self, asking: Asking) -> Response:
        """Light, dark, or as the system has it: a cookie, so that it needs no script and never flashes."""
        if comes_from_another_site(asking.request):
            raise CrossSite
        form = asking.form()
        theme = form.text("theme")
        if theme not in THEMES:
            raise InvalidFields([("/theme", f"must be one of {', '.join(THEMES)}")])
        response = RedirectResponse(_own_path(form.raw("next")), status_code=303, headers=NO_STORE)
        secure = asking.request.url.scheme == "https"
        response.set_cookie(THEME_COOKIE, theme, max_age=_YEAR_SECONDS, samesite="lax", httponly=True, secure=secure)
        return response

    async def _form(
        self,
        asking: Asking,
        *,
        link: str = "",
        is_bad_link: bool = False,
        name: str = "",
        after: str = "",
        problem: str = "",
        status: int = 200,
        refused: Overloaded | None = None,
    ) -> Response:
        values = {
            "link": link,
            "is_bad_link": is_bad_link and not link,
            "name": name,
            "next": after,
            "problem": problem,
        }
        headers = dict(NO_STORE)
        if refused is not None:
            status, headers["retry-after"] = 429, str(refused.retry_after_seconds)
        return await self._renderer.page(asking, "sign_in.html", values, status=status, headers=headers)


def _own_path(text: str) -> str:
    """The path if it is one of ours, else the first page: never another site (`//host`, `/\\host`)."""
    is_own = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and "\\" not in text
    return text if is_own else "/"
