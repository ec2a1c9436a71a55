"""`orchestra runs`, `orchestra run show`, `cancel` and `abort`."""

from typing import TYPE_CHECKING

import click

from orchestra.cli.invocation import Invocation
from orchestra.cli.lists import paging_options, show_list
from orchestra.cli.words import ApiCommand, NounGroup

if TYPE_CHECKING:
    from orchestra.cli.answers import Run


@click.group(cls=NounGroup)
def run() -> None:
    """List and show runs; without a verb, lists.

    \b
      orchestra runs --status failed,exception --since 2d
      orchestra run show 482 --why
    """


@run.command("list")
@click.option("--status", multiple=True, metavar="STATE[,STATE]", help="Only these states.")
@click.option("--project", metavar="NAME", help="Only this project.")
@click.option("--job", "jobs", multiple=True, metavar="JOB", help="Only this job; may repeat.")
@click.option("--worker", metavar="NAME", help="Only what ran on this worker.")
@click.option("--source", metavar="SOURCE", help="Only what this created.")
@click.option("--param", "parameters", multiple=True, metavar="NAME=VALUE", help="Only with this parameter.")
@click.option("--result", "results", multiple=True, metavar="NAME=VALUE", help="Only with this result.")
@click.option("--since", metavar="WHEN", help="Created since: 2d, or 2026-03-01.")
@click.option("--until", metavar="WHEN", help="Created until.")
@click.option("--took-min", metavar="DURATION", help="Only what took at least so long: 90s, 5m.")
@click.option("--sort", type=click.Choice(["id", "-id"]), default="-id", show_default=True, help="The order.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the numbers.")
@paging_options
@click.pass_obj
def list_runs(
    call: Invocation,
    *,
    status: tuple[str, ...],
    project: str | None,
    jobs: tuple[str, ...],
    worker: str | None,
    source: str | None,
    parameters: tuple[str, ...],
    results: tuple[str, ...],
    since: str | None,
    until: str | None,
    took_min: str | None,
    sort: str,
    quiet: bool,
    limit: int,
    cursor: str | None,
) -> None:
    """List runs, the newest first."""
    from orchestra.cli.answers import Page, Run
    from orchestra.cli.formats import instant_option
    from orchestra.cli.parameters import split_pairs
    from orchestra.network.client import api

    now = call.beat.today()
    query: dict[str, str | int | list[str] | None] = {
        "status": list(status) or None,
        "project": project,
        "job": [job.rpartition("/")[2] for job in jobs] or None,
        "worker": worker,
        "source": source,
        "created_after": instant_option(since, now) if since else None,
        "created_before": instant_option(until, now) if until else None,
        "took_min": took_min,
        "sort": sort,
        "limit": limit,
        "cursor": cursor,
    }
    # `--job ops/backup` names the project too, as everywhere else.
    projects = {job.partition("/")[0] for job in jobs if "/" in job}
    if len(projects) == 1 and project is None:
        query["project"] = projects.pop()
    query |= {f"param.{name}": value for name, value in split_pairs(parameters, "--param")}
    query |= {f"result.{name}": value for name, value in split_pairs(results, "--result")}
    answer = call.client().get(api("runs"), query)
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    page = answer.read(Page[Run])
    if quiet:
        for item in page.items:
            call.screen.line(str(item.id))
        return
    headings = ["run", "state", "job", "source", "worker", "created", "took", "reason"]
    show_list(call, page, headings, [_row(call, item) for item in page.items], nothing="no run matches")


@run.command("show")
@click.argument("number", type=int, metavar="RUN")
@click.option("--why", is_flag=True, help="Only why it is not running.")
@click.pass_obj
def show(call: Invocation, *, number: int, why: bool) -> None:
    """Show one run: what it did, and why it waits if it waits."""
    from orchestra.cli.answers import Elements, Run, Waiting
    from orchestra.cli.run_page import run_lines, waiting_lines
    from orchestra.network.client import api

    path = api("runs", number, "waiting") if why else api("runs", number)
    answer = call.client().get(path)
    if call.screen.as_json:
        call.screen.json(answer.body)
    elif why:
        call.screen.write("\n".join(waiting_lines(answer.read(Waiting))) + "\n")
    else:
        found = answer.read(Run)
        # By itself: only one run in many is a pipeline.
        of_run = call.client().get(api("runs", number, "elements")).read(Elements) if found.is_pipeline else None
        lines = run_lines(call, found, call.client().server, of_run.elements if of_run else ())
        call.screen.write("\n".join(lines) + "\n")


@click.command(cls=ApiCommand)
@click.argument("number", type=int, metavar="RUN")
@click.option("--reason", metavar="TEXT", help="Why; it is kept with the run.")
@click.pass_obj
def cancel(call: Invocation, *, number: int, reason: str | None) -> None:
    """Withdraw a run that has not started; one that runs is aborted instead."""
    _stop(call, "cancel", number, reason)


@click.command(cls=ApiCommand)
@click.argument("number", type=int, metavar="RUN")
@click.option("--reason", metavar="TEXT", help="Why; it is kept with the run.")
@click.pass_obj
def abort(call: Invocation, *, number: int, reason: str | None) -> None:
    """Stop a run wherever it is: withdrawn if it waits, ended with all its processes if it runs."""
    _stop(call, "abort", number, reason)


def _stop(call: Invocation, verb: str, number: int, reason: str | None) -> None:
    from orchestra.cli.answers import Run
    from orchestra.cli.exits import EXIT_OF_RUN
    from orchestra.network.client import api

    answer = call.client().post(api("runs", number, verb), {"reason": reason} if reason else {})
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    found = answer.read(Run)
    if found.state in EXIT_OF_RUN:
        call.screen.line(f"Run #{found.id} is {found.state}.")
    else:
        # "Stop requested" is never shown as "stopped".
        call.screen.line(f"Run #{found.id} is {found.state}, its stop is requested. See: orchestra run show {found.id}")


def _row(call: Invocation, item: "Run") -> list[str]:
    from orchestra.cli.formats import elapsed, length_in_words, local_time

    took = elapsed(item.started_at, item.ended_at, call.beat.today())
    state = f"{item.state} {item.progress:.0%}" if item.progress is not None and not item.ended_at else item.state
    return [
        f"#{item.id}",
        state,
        f"{item.project}/{item.job}",
        item.source or "",
        item.worker or "",
        local_time(item.created_at, call.screen.zone),
        length_in_words(took),
        item.reason or "",
    ]
