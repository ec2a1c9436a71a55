"""Workers: all of them, one with what it does and can do, steering it, and adding one."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from orchestra.commands.switches import next_states
from orchestra.commands.tokens import TokenRequest
from orchestra.errors import BadName, Conflict, ImpossibleTransition, InvalidFields, NotFound
from orchestra.identifiers import checked_name
from orchestra.lifecycle import WorkerState
from orchestra.queries.fleet import WorkerView, list_workers, show_worker
from orchestra.queries.run_filters import read_run_filter
from orchestra.queries.run_views import RunView
from orchestra.queries.runs import list_runs
from orchestra.queries.worker_jobs import WorkerJobView, list_worker_jobs
from orchestra.storage.paging import Page, PageAsked
from orchestra.web.answers import NO_STORE
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_website.renderer import Renderer

CHANGES = {
    "enable": WorkerState.ONLINE,
    "drain": WorkerState.DRAINING,
    "disable": WorkerState.DISABLED,
}
_RUNS_SHOWN = "10"
_HELD_SHOWN = "100"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    """What the page of one worker shows."""

    worker: WorkerView
    held: Page[RunView]
    recent: Page[RunView]
    jobs: Page[WorkerJobView]


class WorkerPages:
    """The handlers for workers."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock
        self._switches = parts.switches
        self._tokens = parts.tokens

    @property
    def handlers(self) -> Handlers:
        """By method and path. A worker may be called `add`, so adding one has a path of its own."""
        return {
            ("GET", "/workers"): self.list,
            ("GET", "/workers/{worker}"): self.show,
            ("GET", "/workers/{worker}/{change}"): self.ask_steer,
            ("POST", "/workers/{worker}/{change}"): self.steer,
            ("GET", "/add-worker"): self.ask_add,
            ("POST", "/add-worker"): self.add,
        }

    async def list(self, asking: Asking) -> Response:
        """A page of workers."""
        page, now = asking.page(), self._clock.now()
        found = await self._database.read(lambda connection: list_workers(connection, asking.who, page, now=now))
        return await self._renderer.page(asking, "workers.html", {"found": found, "asked": {}})

    async def show(self, asking: Asking) -> Response:
        """One worker, and which jobs it can do."""
        query = asking.query("cursor", "limit", "done")
        page = asking.page("done")
        found = await self._read(asking, asking.path("worker"), page)
        values = {
            "read": found,
            "worker": found.worker,
            "changes": _changes_from(found.worker.state),
            "done": query.get("done", ""),
        }
        return await self._renderer.page(asking, "worker.html", values)

    async def ask_steer(self, asking: Asking) -> Response:
        """The page before the change: what happens to each run of the worker."""
        asking.query()
        return await self._steer_form(asking)

    async def steer(self, asking: Asking) -> Response:
        """Drains, disables or enables the worker."""
        name, wanted, reason = asking.path("worker"), _change_of(asking), asking.form().text("reason")
        try:
            await self._switches.steer_worker(asking.who, name, state=wanted, reason=reason)
        except InvalidFields as error:
            problems = error.by_field
            return await self._steer_form(asking, problems=problems, reason=reason)
        except ImpossibleTransition:
            state = (await self._read_worker(asking, name)).state
            problems = [("reason", f"It is {state} meanwhile, and cannot become {wanted} from there: enable it first.")]
            return await self._steer_form(asking, problems=problems, reason=reason)
        address = f"/workers/{quote(name, safe='')}?done={asking.path('change')}"
        return RedirectResponse(address, status_code=303, headers=NO_STORE)

    async def ask_add(self, asking: Asking) -> Response:
        """The form for a worker's token; with a name, whether that worker has connected."""
        name = asking.query("name").get("name", "").strip()
        master = str(asking.request.base_url).rstrip("/")
        if not name:
            return await self._add_form(asking, master=master)
        checked_name("worker", name)
        now = self._clock.now()

        def read(connection: Connection) -> WorkerView | None:
            try:
                return show_worker(connection, asking.who, name, now=now)
            except NotFound:
                return None

        worker = await self._database.read(read)
        return await self._renderer.page(asking, "worker_awaited.html", {"name": name, "worker": worker})

    async def add(self, asking: Asking) -> Response:
        """Makes the token and shows it once, with the line that starts the worker."""
        form = asking.form()
        name, master = form.text("name"), form.text("master")
        problems = _address_problems(master)
        try:
            checked_name("worker", name)
            if not problems:
                made = await self._tokens.create(asking.who, TokenRequest(name=name, kind="worker"))
        except BadName as error:
            problems = [("name", str(error)), *problems]
        except Conflict as error:
            problems = [("name", str(error))]
        if problems:
            return await self._add_form(asking, name=name, master=master, problems=problems)
        values = {"name": name, "secret": made.secret, "line": _start_line(name, master, made.secret)}
        return await self._renderer.page(asking, "worker_made.html", values, headers=NO_STORE)

    async def _add_form(
        self, asking: Asking, *, name: str = "", master: str = "", problems: Sequence[tuple[str, str]] = ()
    ) -> Response:
        values = {"name": name, "master": master, "problems": problems}
        status = 422 if problems else 200
        return await self._renderer.page(asking, "worker_add.html", values, status=status, headers=NO_STORE)

    async def _steer_form(
        self, asking: Asking, *, problems: Sequence[tuple[str, str]] = (), reason: str = ""
    ) -> Response:
        wanted = _change_of(asking)
        found = await self._read(asking, asking.path("worker"), PageAsked(limit=1))
        values = {
            "worker": found.worker,
            "held": found.held,
            "change": asking.path("change"),
            "wanted": wanted,
            "is_possible": asking.path("change") in _changes_from(found.worker.state),
            "problems": problems,
            "reason": reason,
        }
        status = 422 if problems else 200
        return await self._renderer.page(asking, "worker_steer.html", values, status=status, headers=NO_STORE)

    async def _read_worker(self, asking: Asking, name: str) -> WorkerView:
        now = self._clock.now()
        return await self._database.read(lambda connection: show_worker(connection, asking.who, name, now=now))

    async def _read(self, asking: Asking, name: str, page: PageAsked) -> _Read:
        now, who = self._clock.now(), asking.who

        def read(connection: Connection) -> _Read:
            worker = show_worker(connection, who, name, now=now)
            # Only a name that is there comes so far: a comma in the path would mean two workers to the filter.
            held = read_run_filter([("worker", name), ("status", "assigned,running"), ("limit", _HELD_SHOWN)])
            return _Read(
                worker=worker,
                held=list_runs(connection, who, held),
                recent=list_runs(connection, who, read_run_filter([("worker", name), ("limit", _RUNS_SHOWN)])),
                jobs=list_worker_jobs(connection, who, name, page, now=now),
            )

        return await self._database.read(read)


def _changes_from(state: WorkerState) -> tuple[str, ...]:
    """What can be done with a worker in this state, by the words of the paths."""
    possible = next_states(state)
    return tuple(word for word, wanted in CHANGES.items() if wanted in possible)


def _change_of(asking: Asking) -> WorkerState:
    """What the worker shall be; raises NotFound for a word that is no change."""
    word = asking.path("change")
    if word not in CHANGES:
        raise NotFound("page", word[:40])
    return CHANGES[word]


def _address_problems(master: str) -> list[tuple[str, str]]:
    try:
        parts = urlsplit(master)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or not master.isprintable() or " " in master:
        return [("master", "Write an address such as https://orchestra.example:7780.")]
    return []


def _start_line(name: str, master: str, secret: str) -> str:
    """What is pasted into a shell on the new machine; the file's mode is right from its first byte."""
    file = f"{name}.token"
    keep = f"(umask 077; echo {shlex.quote(secret)} > {shlex.quote(file)})"
    start = f"orchestra worker start --master {shlex.quote(master)} --token-file {shlex.quote(file)}"
    return f"{keep} && {start} --name {shlex.quote(name)}"
