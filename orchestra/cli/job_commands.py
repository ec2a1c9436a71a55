"""`orchestra jobs`, `orchestra job show|workers|disable|enable|release`."""

from typing import TYPE_CHECKING

import click

from orchestra.cli.invocation import Invocation
from orchestra.cli.lists import paging_options, show_list
from orchestra.cli.words import NounGroup

if TYPE_CHECKING:
    from orchestra.network.client import Answer


@click.group(cls=NounGroup)
def job() -> None:
    """List, show, disable, enable and release jobs; without a verb, lists."""


@job.command("list")
@click.option("--project", metavar="NAME", help="Only this project.")
@paging_options
@click.pass_obj
def list_jobs(call: Invocation, *, project: str | None, limit: int, cursor: str | None) -> None:
    """List jobs."""
    from orchestra.cli.answers import Job, Page
    from orchestra.cli.job_page import job_state
    from orchestra.network.client import api

    answer = call.client().get(api("jobs"), {"project": project, "limit": limit, "cursor": cursor})
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    page = answer.read(Page[Job])
    rows = [
        [
            f"{item.project}/{item.name}",
            job_state(item),
            f"#{item.last_run.id} {item.last_run.state}" if item.last_run else "never",
            item.description,
        ]
        for item in page.items
    ]
    nothing = "no job yet: write one with 'orchestra init', put it in force with 'orchestra apply'"
    show_list(call, page, ["job", "state", "last run", "description"], rows, nothing=nothing)


@job.command("show")
@click.argument("name", metavar="PROJECT/JOB")
@click.pass_obj
def show_job(call: Invocation, *, name: str) -> None:
    """Show one job: when it runs, what it takes, which workers can do it."""
    from orchestra.cli.answers import JobDetail
    from orchestra.cli.job_page import job_lines

    answer = _asked(call, name)
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    for line in job_lines(call, answer.read(JobDetail)):
        call.screen.line(line)


@job.command("workers")
@click.argument("name", metavar="PROJECT/JOB")
@click.pass_obj
def workers(call: Invocation, *, name: str) -> None:
    """List which workers can do a job, and why not the others."""
    from orchestra.cli.answers import JobDetail
    from orchestra.cli.job_page import match_lines

    found = _asked(call, name).read(JobDetail)
    if call.screen.as_json:
        call.screen.json_of(found.workers)
        return
    for line in match_lines(found):
        call.screen.line(line)


@job.command("disable")
@click.argument("name", metavar="PROJECT/JOB")
@click.option("--reason", metavar="TEXT", help="Why; people who trigger it will read this.")
@click.pass_obj
def disable(call: Invocation, *, name: str, reason: str | None) -> None:
    """Let a job make no new runs; what runs goes on."""
    _switch(call, name, {"enabled": False} | ({"reason": reason} if reason else {}))


@job.command("enable")
@click.argument("name", metavar="PROJECT/JOB")
@click.pass_obj
def enable(call: Invocation, *, name: str) -> None:
    """Let a job make runs again."""
    _switch(call, name, {"enabled": True})


@job.command("release")
@click.argument("name", metavar="PROJECT/JOB")
@click.option("--reason", metavar="TEXT", help="Why; it is kept in the audit.")
@click.pass_obj
def release(call: Invocation, *, name: str, reason: str | None) -> None:
    """Let a job out of quarantine: what waits of it starts."""
    from orchestra.cli.answers import Job
    from orchestra.identifiers import split_job
    from orchestra.network.client import api

    project, short = split_job(name)
    content: dict[str, object] = {"reason": reason} if reason else {}
    answer = call.client().post(api("projects", project, "jobs", short, "release"), content)
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    found = answer.read(Job)
    name = f"{found.project}/{found.name}"
    call.screen.line(f"{name} is released: what waits of it may start, and lost attempts are counted anew.")


def _asked(call: Invocation, name: str) -> "Answer":
    from orchestra.identifiers import split_job
    from orchestra.network.client import api

    project, short = split_job(name)
    return call.client().get(api("projects", project, "jobs", short))


def _switch(call: Invocation, name: str, content: dict[str, object]) -> None:
    from orchestra.cli.answers import Job
    from orchestra.identifiers import split_job
    from orchestra.network.client import api

    project, short = split_job(name)
    answer = call.client().patch(api("projects", project, "jobs", short), content)
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    found = answer.read(Job)
    word, other = ("enabled", "disable") if found.enabled else ("disabled", "enable")
    call.screen.line(f"{found.project}/{found.name} is {word}. Undo: orchestra job {other} {name}")
