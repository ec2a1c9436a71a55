"""Runs as a list: filters, order and page in the address, in the same words as API and command line."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from orchestra.clock import to_datetime
from orchestra.errors import InvalidFields
from orchestra.lifecycle import RunState
from orchestra.policy import Principal
from orchestra.queries.addresses import API
from orchestra.queries.run_filters import RunFilter, read_run_filter
from orchestra.queries.runs import RunPage, list_runs, require_project
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import BadQuery
from orchestra.web.parts import WebParts
from orchestra_website.renderer import Renderer

Pairs = Sequence[tuple[str, str]]
PAGE_SIZES = (25, 50, 100)
_PLACE = frozenset({"cursor", "sort", "limit"})
_OPTIONS = {"created_after": "--since", "created_before": "--until", "took_min": "--took-min"}
# What a browser's own field for an instant sends: the zone is the page's.
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chip:
    """A filter that is on, and the address of the list without it."""

    name: str
    value: str
    without: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RunList:
    """What the template shows."""

    path: str
    project: str | None
    found: RunPage
    wanted: RunFilter
    first: dict[str, str]
    """The first value of each filter, for the form."""
    chips: tuple[Chip, ...]
    parameters: str
    results: str
    sizes: tuple[tuple[int, str], ...]
    reversed: str
    newer: str | None
    older: str | None
    newest: str | None
    json: str
    command: str
    states: tuple[RunState, ...] = tuple(RunState)


class RunListPages:
    """The handlers for lists of runs."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {("GET", "/runs"): self.list, ("GET", "/projects/{project}/runs"): self.of_project}

    async def list(self, asking: Asking) -> Response:
        """All runs that the reader may see."""
        return await self._list(asking, None)

    async def of_project(self, asking: Asking) -> Response:
        """The runs of one project."""
        return await self._list(asking, asking.path("project"))

    async def _list(self, asking: Asking, project: str | None) -> Response:
        path = asking.request.url.path
        sent = asking.request.query_params.multi_items()
        pairs = plain_pairs(sent)
        if pairs != sent:
            return RedirectResponse(_address(path, pairs), status_code=303)
        if project is not None and any(name == "project" for name, _ in pairs):
            raise BadQuery([("/project", "is in the path already")])
        try:
            wanted = read_run_filter([*pairs, ("project", project)] if project is not None else pairs)
        except InvalidFields as error:
            raise BadQuery(error.problems) from None
        found = await self._database.read(lambda connection: _read(connection, asking.who, project, wanted))
        return await self._renderer.page(asking, "runs.html", {"list": _shown(path, project, pairs, wanted, found)})


def plain_pairs(sent: Pairs) -> list[tuple[str, str]]:
    """What a form sends in the words of the address: no empty fields, `param` "a=b" as `param.a`, times with zone."""
    pairs = []
    for name, value in sent:
        if name in ("param", "result") and "=" in value:
            inner, _, text = value.partition("=")
            pairs.append((f"{name}.{inner.strip()}", text.strip()))
        elif name in ("created_after", "created_before") and _LOCAL.fullmatch(value):
            pairs.append((name, f"{value}Z"))
        elif value:
            pairs.append((name, value))
    return pairs


def _read(connection: Connection, who: Principal, project: str | None, wanted: RunFilter) -> RunPage:
    if project is not None:
        require_project(connection, who, project)
    return list_runs(connection, who, wanted)


def _shown(path: str, project: str | None, pairs: Pairs, wanted: RunFilter, found: RunPage) -> RunList:
    filters = [(name, value) for name, value in pairs if name not in _PLACE]
    kept = [(name, value) for name, value in pairs if name != "cursor"]
    order = [] if wanted.oldest_first else [("sort", "id")]
    # Older and newer are words of time, next and previous words of the order.
    onward = _address(path, [*kept, ("cursor", found.next)]) if found.next else None
    back = _address(path, [*kept, ("cursor", found.previous)]) if found.previous else None
    api = [("project", project), *pairs] if project is not None else pairs
    return RunList(
        path=path,
        project=project,
        found=found,
        wanted=wanted,
        first=dict(reversed(filters)) | _local_instants(wanted),
        chips=tuple(
            Chip(name=name, value=value, without=_address(path, [each for each in kept if each != (name, value)]))
            for name, value in filters
        ),
        parameters=", ".join(f"{name}={text}" for name, text in wanted.parameters),
        results=", ".join(f"{name}={text}" for name, text in wanted.results),
        sizes=tuple((size, _address(path, [*_other(kept, "limit"), ("limit", str(size))])) for size in PAGE_SIZES),
        reversed=_address(path, [*_other(kept, "sort"), *order]),
        newer=onward if wanted.oldest_first else back,
        older=back if wanted.oldest_first else onward,
        newest=_address(path, kept) if len(kept) < len(pairs) else None,
        json=_address(f"{API}/runs", api),
        command=_command(api),
    )


def _other(pairs: Pairs, name: str) -> list[tuple[str, str]]:
    return [pair for pair in pairs if pair[0] != name]


def _address(path: str, pairs: Pairs) -> str:
    return f"{path}?{urlencode(pairs)}" if pairs else path


def _local_instants(wanted: RunFilter) -> dict[str, str]:
    """Instants as a browser's own field wants them: without zone."""
    instants = {"created_after": wanted.created_after, "created_before": wanted.created_before}
    return {
        name: to_datetime(at).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        for name, at in instants.items()
        if at is not None
    }


def _command(pairs: Pairs) -> str:
    """The same question on the command line."""
    words = ["orchestra", "runs"]
    alternatives: dict[str, list[str]] = {}
    for name, value in pairs:
        kind, _, rest = name.partition(".")
        if rest:
            words += [f"--{kind}", f"{rest}={value}"]
        elif name != "cursor":
            alternatives.setdefault(_OPTIONS.get(name, f"--{name}"), []).append(value)
    for option, values in alternatives.items():
        words += [option, ",".join(values)]
    return shlex.join(words)
