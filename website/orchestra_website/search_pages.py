"""One box for everything: a number goes to its run, filters go to the list of runs, other words look for names."""

import re
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from orchestra.queries.search import Found, find_by_name, may_see_run
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_website.renderer import Renderer

_NUMBER = re.compile(r"#?([1-9][0-9]{0,17})", re.ASCII)
_QUALIFIER = re.compile(r"(status|project|job|worker|source|param\.[\w.-]{1,64}|result\.[\w.-]{1,64}):(\S+)", re.ASCII)
_TEXT_CHARACTERS_MAX = 200


class SearchPages:
    """The handler of the search box."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {("GET", "/search"): self.search}

    async def search(self, asking: Asking) -> Response:
        """Goes there if it is clear where, else shows what fits."""
        text = asking.query("q").get("q", "").strip()[:_TEXT_CHARACTERS_MAX]
        number = _NUMBER.fullmatch(text)
        if number is not None:
            run = int(number[1])
            if await self._database.read(lambda connection: may_see_run(connection, asking.who, run)):
                return RedirectResponse(f"/runs/{run}", status_code=303)
        filters, others = _split(text)
        if filters and not others:
            return RedirectResponse(f"/runs?{urlencode(filters)}", status_code=303)
        found: Found | None = None
        name = others.removeprefix("#")
        if name:
            found = await self._database.read(lambda connection: find_by_name(connection, asking.who, name))
        values = {
            "text": text,
            "found": found,
            "run": int(number[1]) if number else None,
            "runs_path": f"/runs?{urlencode(filters)}" if filters else "",
            "filters": " ".join(f"{key}:{value}" for key, value in filters),
        }
        return await self._renderer.page(asking, "search.html", values)


def _split(text: str) -> tuple[list[tuple[str, str]], str]:
    """The filters among the words, and the other words."""
    filters: list[tuple[str, str]] = []
    others = []
    for word in text.split():
        qualifier = _QUALIFIER.fullmatch(word)
        if qualifier is None:
            others.append(word)
        else:
            filters.append((qualifier[1], qualifier[2]))
    return filters, " ".join(others)
