"""Home: what needs attention first, then what runs, what is next and what was last; at the start the first steps."""

from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from orchestra.policy import Permission
from orchestra.queries.overview import FirstSteps, Overview, first_steps, show_overview
from orchestra.web.answers import NO_STORE
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_website.renderer import Renderer

DISMISSED_COOKIE = "orchestra-first-steps"
_STEPS = 4
_YEAR_SECONDS = 365 * 86_400


class HomePages:
    """The handlers of the first page."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {("GET", "/"): self.show, ("POST", "/first-steps"): self.dismiss}

    async def show(self, asking: Asking) -> Response:
        """The first page."""
        asking.query()
        now = self._clock.now()
        # The steps are an administrator's: others could do few of them.
        is_guided = asking.who.may(Permission.DEFINE) and asking.request.cookies.get(DISMISSED_COOKIE) != "dismissed"

        def read(connection: Connection) -> tuple[Overview, FirstSteps | None]:
            return (
                show_overview(connection, asking.who, now=now),
                first_steps(connection) if is_guided else None,
            )

        overview, steps = await self._database.read(read)
        values = {
            "overview": overview,
            "attention": overview.attention,
            "steps": steps if steps is not None and steps.done < _STEPS else None,
            "server": str(asking.request.base_url).rstrip("/"),
        }
        return await self._renderer.page(asking, "home.html", values)

    async def dismiss(self, asking: Asking) -> Response:
        """Hides the first steps in this browser, or shows them again."""
        hidden = asking.form().text("show") != "again"
        response = RedirectResponse("/", status_code=303, headers=NO_STORE)
        if hidden:
            secure = asking.request.url.scheme == "https"
            response.set_cookie(
                DISMISSED_COOKIE, "dismissed", max_age=_YEAR_SECONDS, samesite="lax", httponly=True, secure=secure
            )
        else:
            response.delete_cookie(DISMISSED_COOKIE)
        return response
