"""Puts the website together: the only place here that names concrete classes."""

from starlette.routing import BaseRoute, Mount

from orchestra.commands.definition_changes import DefinitionChanges
from orchestra.web.endpoint import Handlers, Nowhere, build_routes
from orchestra.web.log_lines import LogLines
from orchestra.web.parts import WebParts
from orchestra_website.admin_pages import AdminPages
from orchestra_website.definition_pages import DefinitionPages
from orchestra_website.help_pages import HelpPages
from orchestra_website.home_pages import HomePages
from orchestra_website.job_pages import JobPages
from orchestra_website.live_pages import LivePages
from orchestra_website.log_pages import LogPages
from orchestra_website.me_pages import MePages
from orchestra_website.policy import POLICY
from orchestra_website.project_pages import ProjectPages
from orchestra_website.refusals import ErrorPages
from orchestra_website.renderer import Renderer, WebsiteSettings
from orchestra_website.run_list_pages import RunListPages
from orchestra_website.run_pages import RunPages
from orchestra_website.schedule_calendar_pages import ScheduleCalendarPages
from orchestra_website.schedule_pages import SchedulePages
from orchestra_website.search_pages import SearchPages
from orchestra_website.sign_in_pages import SignInPages
from orchestra_website.static_files import StaticFiles
from orchestra_website.token_pages import TokenPages
from orchestra_website.trigger_pages import TriggerPages
from orchestra_website.user_pages import UserPages
from orchestra_website.worker_pages import WorkerPages

_KEY_BYTES = 16


def website_routes(parts: WebParts, settings: WebsiteSettings | None = None) -> list[BaseRoute]:
    """Every page, and the page for what is not there: give them last. Raises RouteWithoutPolicy."""
    chosen = settings or WebsiteSettings()
    static_files = StaticFiles(chosen.theme_folder)
    renderer = Renderer(settings=chosen, static_files=static_files, clock=parts.clock)
    refusals = ErrorPages(renderer=renderer, authenticator=parts.authenticator)
    groups: tuple[Handlers, ...] = (
        {("GET", "/static/{digest}/{name}"): static_files.serve},
        *_job_pages(parts, renderer),
        *_run_pages(parts, renderer),
        *_fleet_pages(parts, renderer),
        *_people_pages(parts, renderer),
    )
    handlers = {row: handler for group in groups for row, handler in group.items()}
    nowhere = Mount("/", app=Nowhere(door=parts.door, refusals=refusals))
    return [*build_routes(parts.door, POLICY, handlers, refusals), nowhere]


def _job_pages(parts: WebParts, renderer: Renderer) -> tuple[Handlers, ...]:
    return (
        HomePages(renderer=renderer, database=parts.database, clock=parts.clock).handlers,
        ProjectPages(renderer=renderer, database=parts.database, clock=parts.clock).handlers,
        JobPages(renderer=renderer, database=parts.database, clock=parts.clock, switches=parts.switches).handlers,
        TriggerPages(
            renderer=renderer,
            database=parts.database,
            clock=parts.clock,
            triggers=parts.triggers,
            sealing=parts.sealing,
            new_key=lambda: parts.door.random_bytes(_KEY_BYTES).hex(),
        ).handlers,
        SearchPages(renderer=renderer, database=parts.database).handlers,
        HelpPages(renderer=renderer).handlers,
        DefinitionPages(
            renderer=renderer, changes=DefinitionChanges(database=parts.database, clock=parts.clock)
        ).handlers,
    )


def _run_pages(parts: WebParts, renderer: Renderer) -> tuple[Handlers, ...]:
    lines = LogLines(parts.logs)
    return (
        RunListPages(renderer=renderer, database=parts.database).handlers,
        RunPages(
            renderer=renderer,
            database=parts.database,
            clock=parts.clock,
            lines=lines,
            triggers=parts.triggers,
            stops=parts.stops,
            sealing=parts.sealing,
            new_key=lambda: parts.door.random_bytes(_KEY_BYTES).hex(),
        ).handlers,
        LogPages(renderer=renderer, database=parts.database, clock=parts.clock, lines=lines).handlers,
        LivePages(
            renderer=renderer,
            database=parts.database,
            clock=parts.clock,
            logs=parts.logs,
            lines=lines,
            signals=parts.signals,
            authenticator=parts.authenticator,
        ).handlers,
    )


def _fleet_pages(parts: WebParts, renderer: Renderer) -> tuple[Handlers, ...]:
    return (
        SchedulePages(renderer=renderer, database=parts.database, clock=parts.clock, switches=parts.switches).handlers,
        ScheduleCalendarPages(renderer=renderer, database=parts.database, clock=parts.clock).handlers,
        WorkerPages(
            renderer=renderer,
            database=parts.database,
            clock=parts.clock,
            switches=parts.switches,
            tokens=parts.tokens,
        ).handlers,
    )


def _people_pages(parts: WebParts, renderer: Renderer) -> tuple[Handlers, ...]:
    return (
        SignInPages(
            renderer=renderer, sign_in=parts.sign_in, authenticator=parts.authenticator, cookie=parts.cookie
        ).handlers,
        AdminPages(renderer=renderer, database=parts.database, clock=parts.clock, logs=parts.logs).handlers,
        UserPages(
            renderer=renderer,
            database=parts.database,
            clock=parts.clock,
            accounts=parts.accounts,
            authenticator=parts.authenticator,
        ).handlers,
        TokenPages(
            renderer=renderer,
            database=parts.database,
            clock=parts.clock,
            tokens=parts.tokens,
            authenticator=parts.authenticator,
        ).handlers,
        MePages(
            renderer=renderer,
            database=parts.database,
            clock=parts.clock,
            accounts=parts.accounts,
            profile=parts.profile,
            tokens=parts.tokens,
            authenticator=parts.authenticator,
            cookie=parts.cookie,
        ).handlers,
    )
