"""The two pages that exist before the website does: signing in by a link, and what to do next. No script."""

from html import escape
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, RedirectResponse, Response

from orchestra.commands.bearer_texts import is_well_formed
from orchestra.commands.sign_in import SignIn, SignInRefused
from orchestra.errors import NotSignedIn
from orchestra.queries.addresses import API
from orchestra_service.answers import NO_STORE
from orchestra_service.asking import Asking
from orchestra_service.authentication import Authenticator, comes_from_another_site
from orchestra_service.cookies import SessionCookie
from orchestra_service.endpoint import Handlers
from orchestra_service.errors import CrossSite

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title} - Job Orchestra</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><main><h1>{title}</h1>
{body}
</main></body></html>
"""


class Pages:
    """The handlers for browsers."""

    def __init__(self, *, sign_in: SignIn, authenticator: Authenticator, cookie: SessionCookie) -> None:
        self._sign_in = sign_in
        self._authenticator = authenticator
        self._cookie = cookie

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", "/"): self.start,
            ("GET", "/sign-in"): self.ask,
            ("POST", "/sign-in"): self.enter,
        }

    async def start(self, asking: Asking) -> Response:
        """What to do next."""
        try:
            who = await self._authenticator.authenticate(asking.request)
        except NotSignedIn:
            return _page("Job Orchestra", "<p>Open the sign-in link that <code>orchestra up</code> has printed.</p>")
        return _page(
            "Job Orchestra",
            f"<p>You are signed in as {escape(who.name)}.</p>"
            "<p>Trigger a job: <code>orchestra trigger PROJECT/JOB --follow</code></p>"
            f'<ul><li><a href="{API}/runs">Runs</a></li><li><a href="{API}/jobs">Jobs</a></li>'
            f'<li><a href="{API}/workers">Workers</a></li></ul>',
        )

    async def ask(self, asking: Asking) -> Response:
        """One button: mail programs and scanners that open the link do not use it up."""
        link = asking.query("link").get("link", "")
        if not is_well_formed(link):
            return _refused()
        return _page(
            "Sign in",
            f'<form method="post" action="/sign-in"><input type="hidden" name="link" value="{escape(link)}">'
            '<button type="submit">Sign in</button></form>',
        )

    async def enter(self, asking: Asking) -> Response:
        """Begins the session and goes to the first page."""
        asking.query()
        if comes_from_another_site(asking.request):
            raise CrossSite
        fields = parse_qs(asking.body.decode("ascii", "replace"), max_num_fields=4)
        link = fields.get("link", [""])[0]
        try:
            if not is_well_formed(link):
                return _refused()
            session = await self._sign_in.by_link(link)
        except SignInRefused:
            return _refused()
        response = RedirectResponse("/", status_code=303, headers=NO_STORE)
        self._cookie.give(response, session.secret.text)
        return response


def _page(title: str, body: str, status: int = 200) -> Response:
    return HTMLResponse(_PAGE.format(title=escape(title), body=body), status_code=status, headers=NO_STORE)


def _refused() -> Response:
    body = "<p>This link was used, or is too old. Start <code>orchestra up</code> again, or ask an administrator.</p>"
    return _page("This link does not work", body, 403)
