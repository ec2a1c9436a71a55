"""Puts the website together: the only place here that names concrete classes."""

from starlette.routing import BaseRoute, Mount

from orchestra.web.endpoint import Handlers, Nowhere, build_routes
from orchestra.web.parts import WebParts
from orchestra_website.admin_pages import AdminPages
from orchestra_website.definition_pages import DefinitionPages
from orchestra_website.help_pages import HelpPages
from orchestra_website.home_pages import HomePages
from orchestra_website.job_pages import JobPages
from orchestra_website.live_pages import LivePages
from orchestra_website.log_pages import LogPages
from orchestra_website.me_pages import MePages
from orchestra_website.pipeline_pages import PipelinePages
from orchestra_website.policy import POLICY
from orchestra_website.project_pages import ProjectPages
from orchestra_website.quarantine_pages import QuarantinePages
from orchestra_website.refusals import ErrorPages
from orchestra_website.renderer import Renderer
from orchestra_website.run_list_pages import RunListPages
from orchestra_website.run_pages import RunPages
from orchestra_website.schedule_calendar_pages import ScheduleCalendarPages
from orchestra_website.schedule_pages import SchedulePages
from orchestra_website.schedule_pause_pages import SchedulePausePages
from orchestra_website.search_pages import SearchPages
from orchestra_website.settings import WebsiteSettings
from orchestra_website.sign_in_pages import SignInPages
from orchestra_website.static_files import StaticFiles
from orchestra_website.token_pages import TokenPages
from orchestra_website.trigger_pages import TriggerPages
from orchestra_website.user_pages import UserPages
from orchestra_website.worker_pages import WorkerPages


def website_routes(parts: WebParts, settings: WebsiteSettings | None = None) -> list[BaseRoute]:
    """Every page, and the page for what is not there: give them last. Raises RouteWithoutPolicy."""
    chosen = settings or WebsiteSettings()
    static_files = StaticFiles(chosen.theme_folder)
    renderer = Renderer(settings=chosen, static_files=static_files, clock=parts.clock)
    refusals = ErrorPages(renderer=renderer, authenticator=parts.authenticator)
    groups: tuple[Handlers, ...] = (
        {("GET", "/static/{digest}/{name}"): static_files.serve},
        HelpPages(renderer=renderer).handlers,
        HomePages(parts=parts, renderer=renderer).handlers,
        ProjectPages(parts=parts, renderer=renderer).handlers,
        JobPages(parts=parts, renderer=renderer).handlers,
        QuarantinePages(parts=parts, renderer=renderer).handlers,
        TriggerPages(parts=parts, renderer=renderer).handlers,
        SearchPages(parts=parts, renderer=renderer).handlers,
        DefinitionPages(parts=parts, renderer=renderer).handlers,
        RunListPages(parts=parts, renderer=renderer).handlers,
        RunPages(parts=parts, renderer=renderer).handlers,
        PipelinePages(parts=parts, renderer=renderer).handlers,
        LogPages(parts=parts, renderer=renderer).handlers,
        LivePages(parts=parts, renderer=renderer).handlers,
        # Before the pages of one schedule, whose changes are any word.
        SchedulePausePages(parts=parts, renderer=renderer).handlers,
        SchedulePages(parts=parts, renderer=renderer).handlers,
        ScheduleCalendarPages(parts=parts, renderer=renderer).handlers,
        WorkerPages(parts=parts, renderer=renderer).handlers,
        SignInPages(parts=parts, renderer=renderer).handlers,
        AdminPages(parts=parts, renderer=renderer).handlers,
        UserPages(parts=parts, renderer=renderer).handlers,
        TokenPages(parts=parts, renderer=renderer).handlers,
        MePages(parts=parts, renderer=renderer).handlers,
    )
    handlers = {row: handler for group in groups for row, handler in group.items()}
    nowhere = Mount("/", app=Nowhere(door=parts.door, refusals=refusals))
    return [*build_routes(parts.door, POLICY, handlers, refusals), nowhere]
