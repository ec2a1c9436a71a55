"""`orchestra schedules`, and what can be asked and done about one; expressions are explained without a server."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import click

from orchestra.cli.invocation import Invocation
from orchestra.cli.lists import paging_options, show_list
from orchestra.cli.words import NounGroup

if TYPE_CHECKING:
    from orchestra.timetable import Timetable

Function = TypeVar("Function", bound=Callable[..., object])

_JOB_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*")


@click.group(cls=NounGroup)
def schedule() -> None:
    """List, show, try and explain schedules; without a verb, lists."""


@schedule.command("list")
@click.option("--project", metavar="NAME", help="Only this project.")
@paging_options
@click.pass_obj
def list_schedules(call: Invocation, *, project: str | None, limit: int, cursor: str | None) -> None:
    """List schedules with their next and last time."""
    from orchestra.cli.answers import Page, Schedule
    from orchestra.cli.formats import local_time
    from orchestra.network.client import api

    answer = call.client().get(api("schedules"), {"project": project, "limit": limit, "cursor": cursor})
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    page = answer.read(Page[Schedule])
    zone = call.screen.zone
    rows = [
        [
            f"{item.project}/{item.job}",
            item.sentence or item.expression,
            item.zone,
            local_time(item.next_fire_at, zone) if item.enabled and item.next_fire_at else "not scheduled",
            f"{local_time(item.last_tick.due_at, zone)}: {item.last_tick.decision}" if item.last_tick else "never",
        ]
        for item in page.items
    ]
    show_list(call, page, ["job", "when", "zone", "next", "last"], rows, nothing="no schedule yet")


@schedule.command("show")
@click.argument("name", metavar="PROJECT/JOB")
@click.pass_obj
def show(call: Invocation, *, name: str) -> None:
    """Show a job's schedule, what it does on difficult days, and its last decisions."""
    from orchestra.cli.answers import Page, ScheduleDetail, Tick
    from orchestra.cli.formats import length_in_words, local_time
    from orchestra.cli.terminal import plain
    from orchestra.identifiers import split_job
    from orchestra.network.client import api

    project, job = split_job(name)
    answer = call.client().get(api("projects", project, "jobs", job, "schedule"))
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    found, zone = answer.read(ScheduleDetail), call.screen.zone
    ticks = (
        call.client().get(api("projects", project, "jobs", job, "schedule", "ticks"), {"limit": 10}).read(Page[Tick])
    )
    call.screen.line(plain(f"{found.project}/{found.job}: {found.sentence}"))
    call.screen.line(plain(f"  {found.expression}  {found.zone}"))
    if not found.enabled:
        call.screen.line(plain(f"  not scheduled: {found.disabled_because or 'disabled'}"))
    if found.paused is not None:
        end = local_time(found.paused.until, zone) if found.paused.until else "it is resumed"
        why = f": {found.paused.reason}" if found.paused.reason else ""
        call.screen.line(plain(f"  paused by {found.paused.by} until {end}{why}"))
    for sentence in (*found.policies, *(f"Beware: {warning}." for warning in found.warnings)):
        call.screen.line(plain(f"  {sentence}"))
    call.screen.table(["next"], [[local_time(instant, zone)] for instant in found.next])
    rows = [
        [
            local_time(tick.due_at, zone),
            length_in_words(tick.lateness_seconds),
            plain(tick.decision or ""),
            _run(tick.run),
        ]
        for tick in ticks.items
    ]
    if rows:
        call.screen.table(["due", "decided after", "decision", "run"], rows)


def _expression_options(function: Function) -> Function:
    """EXPRESSION and --zone."""
    function = click.option("--zone", default="UTC", show_default=True, help="By whose clocks.")(function)
    return click.argument("expression", metavar="EXPRESSION")(function)


@schedule.command("next")
@_expression_options
@click.option("-n", "count", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many instants.")
@click.pass_obj
def next_instants(call: Invocation, *, expression: str, zone: str, count: int) -> None:
    """Print when something is due next.

    EXPRESSION is "30 2 * * *" or "every 15m", which needs no server, or the PROJECT/JOB of a schedule in force.
    """
    from orchestra.clock import from_datetime, rfc3339, to_datetime
    from orchestra.cron.occurrences import upcoming

    if _JOB_NAME.fullmatch(expression):
        _next_of_job(call, expression, count)
        return
    timetable = _read(expression, zone)
    instants = upcoming(timetable, from_datetime(call.beat.today()), count)
    if call.screen.as_json:
        call.screen.json_of({"next": [rfc3339(instant) for instant in instants]})
        return
    for instant in instants:
        call.screen.line(_by_clocks_of(to_datetime(instant), timetable.zone))
    if not instants:
        call.screen.note("it is never due")


def _next_of_job(call: Invocation, name: str, count: int) -> None:
    from orchestra.cli.answers import NextInstants
    from orchestra.cli.formats import local_time
    from orchestra.identifiers import split_job
    from orchestra.network.client import api

    project, job = split_job(name)
    answer = call.client().get(api("projects", project, "jobs", job, "schedule", "next"), {"n": count})
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    instants = answer.read(NextInstants).next
    for instant in instants:
        call.screen.line(local_time(instant, call.screen.zone))
    if not instants:
        call.screen.note("it is never due")


@schedule.command("pause")
@click.argument("name", metavar="PROJECT/JOB")
@click.option("--reason", metavar="TEXT", default="", help="Why; it is shown, and noted at what it skips.")
@click.option("--for", "length", metavar="DURATION", help="For so long, such as 2h; otherwise until it is resumed.")
@click.pass_obj
def pause(call: Invocation, *, name: str, reason: str, length: str | None) -> None:
    """Decide nothing about a schedule for a while; its policy says what is caught up afterwards."""
    from datetime import timedelta

    from orchestra.durations import parse_duration

    until = call.beat.today() + timedelta(seconds=parse_duration(length)) if length else None
    _steer(call, name, "pause", {"reason": reason, "until": until.isoformat() if until else None})


@schedule.command("resume")
@click.argument("name", metavar="PROJECT/JOB")
@click.pass_obj
def resume(call: Invocation, *, name: str) -> None:
    """End a schedule's pause now."""
    _steer(call, name, "resume", {})


def _steer(call: Invocation, name: str, action: str, content: dict[str, object]) -> None:
    from orchestra.cli.answers import ScheduleDetail
    from orchestra.cli.formats import local_time
    from orchestra.cli.terminal import plain
    from orchestra.identifiers import split_job
    from orchestra.network.client import api

    project, job = split_job(name)
    answer = call.client().post(api("projects", project, "jobs", job, "schedule", action), content)
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    found = answer.read(ScheduleDetail)
    if found.paused is None:
        call.screen.line(plain(f"{name} is not paused any more."))
    else:
        end = (
            f"until {local_time(found.paused.until, call.screen.zone)}" if found.paused.until else "until it is resumed"
        )
        call.screen.line(plain(f"{name} is paused {end}. Undo: orchestra schedule resume {name}"))


@schedule.command("explain")
@_expression_options
@click.option("--job", metavar="PROJECT/JOB", help="Whose name chooses the numbers of H.")
@click.pass_obj
def explain(call: Invocation, *, expression: str, zone: str, job: str | None) -> None:
    """Say what an expression means, and what it does when clocks change; needs no server."""
    import msgspec

    from orchestra.clock import from_datetime
    from orchestra.cron.preview import preview

    told = preview(_read(expression, zone, job), from_datetime(call.beat.today()))
    if call.screen.as_json:
        call.screen.json(msgspec.json.encode(told))
        return
    call.screen.line(told.sentence)
    for warning in told.warnings:
        call.screen.line(f"  beware: {warning}")
    for instant in told.next[:3]:
        call.screen.line(f"  next {_by_clocks_of(instant, told.zone)}")
    for day in told.clock_changes:
        call.screen.line(f"  {_by_clocks_of(day.at, told.zone)[:10]} {day.sentence}: {day.effect}")


def _read(expression: str, zone: str, job: str | None = None) -> "Timetable":
    from orchestra.cli.errors import CommandFailed
    from orchestra.definition.schedule_text import ScheduleRefused, read_schedule_text

    try:
        return read_schedule_text(expression, zone, job=job)
    except ScheduleRefused as refused:
        fault = refused.faults[0]
        place = "" if refused.mark is None else f" (from character {refused.mark[0] + 1})"
        what = "the zone" if fault.path[-1:] == ("zone",) else "the expression"
        raise CommandFailed(f"{what} {fault.sentence}{place}", remedy=fault.remedy) from None


def _by_clocks_of(moment: datetime, zone: str) -> str:
    from orchestra.cron.wall_clock import zone_of

    return moment.astimezone(zone_of(zone)).strftime("%Y-%m-%d %H:%M:%S %z")


def _run(number: int | None) -> str:
    return "-" if number is None else f"#{number}"
