"""Renders the templates: the theme's own first, then the package's. Everything is escaped."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from orchestra.clock import Clock, to_datetime
from orchestra.durations import duration_in_words
from orchestra.policy import Permission, Principal
from orchestra.web.asking import Asking
from orchestra_website.settings import WebsiteSettings
from orchestra_website.static_files import StaticFiles
from orchestra_website.words import (
    browser_text,
    day_text,
    duration_text,
    linked_text,
    moment_text,
    plain_text,
    relative_text,
    sentence_text,
    size_text,
)

THEMES = ("system", "light", "dark")
THEME_COOKIE = "orchestra-theme"


class Renderer:
    """Makes pages. Every template has `page`, everything that is the same for all of them."""

    def __init__(self, *, settings: WebsiteSettings, static_files: StaticFiles, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        loaders: list[BaseLoader] = [PackageLoader("orchestra_website")]
        if settings.theme_folder is not None:
            loaders.insert(0, FileSystemLoader(settings.theme_folder / "templates"))
        self._environment = Environment(
            loader=ChoiceLoader(loaders),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        filters: dict[str, Callable[..., str]] = {
            "duration": duration_text,
            "span": duration_in_words,
            "sentence": sentence_text,
            "size": size_text,
            "path": lambda text: quote(text, safe=""),
            "plain": plain_text,
            "browser": browser_text,
            "linked": linked_text,
        }
        self._environment.filters |= filters
        self._known: set[str] = set()
        self._environment.globals |= {"static": static_files.address, "version": version("job-orchestra")}

    async def page(
        self,
        asking: Asking,
        template: str,
        values: Mapping[str, object] | None = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        """The whole page as an answer."""
        if template in self._known:
            text = self.text(asking, template, values)
        else:
            # Compiled at its first use, with all that it includes: too long for the event loop.
            text = await asyncio.to_thread(self.text, asking, template, values)
            self._known.add(template)
        return HTMLResponse(text, status_code=status, headers={"vary": "Cookie", **(headers or {})})

    def text(self, asking: Asking, template: str, values: Mapping[str, object] | None = None) -> str:
        """The same as text, for parts of pages that follow one another on one connection."""
        frame = self._frame(asking)
        return self._environment.get_template(template).render(page=frame, **(values or {}))

    def zone_of(self, who: Principal | None) -> ZoneInfo:
        """In which this person reads instants; UTC for a zone that was chosen on a machine that knows more of them."""
        try:
            return ZoneInfo(who.zone if who is not None else "UTC")
        except ZoneInfoNotFoundError:
            return ZoneInfo("UTC")

    def _frame(self, asking: Asking) -> "PageFrame":
        who = asking.who_if_known
        chosen = asking.request.cookies.get(THEME_COOKIE, "")
        return PageFrame(
            title=self._settings.title,
            who=who,
            now=to_datetime(self._clock.now()),
            zone=self.zone_of(who),
            theme=chosen if chosen in THEMES else "system",
            path=asking.request.url.path,
            query=asking.request.url.query,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PageFrame:
    """What every page shows around its content."""

    title: str
    who: Principal | None
    now: datetime
    zone: ZoneInfo
    theme: str
    path: str
    query: str

    def may(self, permission: str) -> bool:
        """Whether the reader may do this anywhere; by the permission's name, such as `RUN`."""
        return self.who is not None and self.who.may(Permission[permission])

    def moment(self, at: datetime) -> str:
        """The instant in the reader's zone."""
        return moment_text(at, self.zone)

    def ago(self, at: datetime) -> str:
        """How far the instant is from now."""
        return relative_text(at, self.now)

    def day(self, at: datetime) -> str:
        """The instant as short as it is clear: the time today, the weekday within a week, else the date."""
        return day_text(at, self.now, self.zone)

    def since(self, begin: datetime, end: datetime | None) -> str:
        """How long it took, or takes until now."""
        return duration_text(((end or self.now) - begin).total_seconds())

    @property
    def here(self) -> str:
        """This page's own path and query, to come back to."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def link(self, path: str, **query: str) -> str:
        """A path with a query."""
        return f"{path}?{urlencode(query)}" if query else path
