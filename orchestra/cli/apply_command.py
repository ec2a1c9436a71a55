"""`orchestra apply`: show what a definition changes, ask, and put it in force in one transaction."""

from typing import TYPE_CHECKING, Final

import click

from orchestra.cli.errors import CommandFailed
from orchestra.cli.exits import ExitCode
from orchestra.cli.file_commands import DEFINITION_FILE, read_file, shown_report
from orchestra.cli.invocation import Invocation
from orchestra.cli.words import ApiCommand

if TYPE_CHECKING:
    from orchestra.cli.answers import Plan
    from orchestra.network.client import ApiClient
    from orchestra.specification import ProjectDefinition

_SIGNS: Final = {"add": "+", "change": "~", "remove": "-", "keep": " "}


@click.command(cls=ApiCommand)
@click.argument("file", required=False)
@click.option("-f", "--file", "named", metavar="FILE", help=f"The same as FILE.  [default: {DEFINITION_FILE}]")
@click.option("--diff", is_flag=True, help="Only show the plan.")
@click.option("--exit-code", is_flag=True, help="With --diff: exit 7 if there are differences.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def apply(call: Invocation, *, file: str | None, named: str | None, diff: bool, exit_code: bool, yes: bool) -> int:
    """Show the plan, then put the definition in FILE in force, all or nothing."""
    from orchestra.cli.answers import Applied
    from orchestra.network.client import api

    if file is not None and named is not None:
        raise click.UsageError("one definition at a time: FILE or --file FILE")
    name = file or named or DEFINITION_FILE
    definition = _read(call, name)
    client = call.client()
    path = api("projects", definition.name, "definition")
    # No absolute path: the source is shown to others, whom this machine's folders do not concern.
    version = _version_in_force(client, definition.name)
    planned = client.put(path, definition, {"dry_run": "true", "source": name})
    plan = planned.read(Applied).plan
    changes = [change for change in plan.changes if change.action != "keep"]
    if not call.screen.as_json:
        _show(call, plan)
    if diff or not changes:
        if call.screen.as_json:
            call.screen.json(planned.body)
        elif not changes:
            call.screen.note("Nothing to change.")
        return ExitCode.DIFFERENCES if changes and diff and exit_code else ExitCode.DONE
    if not yes and not _agreed(call):
        call.screen.note("Nothing was changed.")
        return ExitCode.FAILED
    # What was agreed to is what happens: a definition that changed in the meantime is refused.
    headers = {"If-Match": f'"{version}"'} if version else {}
    answer = client.put(path, definition, {"source": name}, headers=headers)
    if call.screen.as_json:
        call.screen.json(answer.body)
        return ExitCode.DONE
    applied = answer.read(Applied)
    digest = f", version {applied.version[:12]}" if applied.version else ""
    count = "1 change" if len(changes) == 1 else f"{len(changes)} changes"
    call.screen.note(f"Applied: {count}{digest}. {_next_step(definition)}")
    return ExitCode.DONE


def _read(call: Invocation, name: str) -> "ProjectDefinition":
    from orchestra.definition.problems import DefinitionErrors
    from orchestra.definition.reader import read_definition

    try:
        return read_definition(read_file(call, name), name)
    except DefinitionErrors as error:
        if not call.screen.as_json:
            call.screen.note(shown_report(error.report()))
            raise CommandFailed("nothing was applied", remedy=f"repair {name}, then apply again") from None
        raise


def _version_in_force(client: "ApiClient", project: str) -> str | None:
    from orchestra.cli.answers import Page, Project
    from orchestra.network.client import api

    cursor: str | None = None
    while True:
        page = client.get(api("projects"), {"limit": 200, "cursor": cursor}).read(Page[Project])
        found = [item.version for item in page.items if item.name == project]
        if found or not page.next:
            return found[0] if found else None
        cursor = page.next


def _show(call: Invocation, plan: "Plan") -> None:
    from orchestra.cli.formats import local_time
    from orchestra.cli.terminal import plain

    for change in plan.changes:
        if change.action == "keep":
            continue
        detail = f": {plain(change.detail)}" if change.detail else ""
        call.screen.line(f"{_SIGNS.get(change.action, '?')} {plain(change.kind)} {plain(change.name)}{detail}")
    for fire in plan.next:
        if fire.at:
            call.screen.line(f"  {plain(fire.job)} fires next {local_time(fire.at, call.screen.zone)}")
    for warning in plan.warnings:
        call.screen.line(f"  beware: {plain(warning)}")


def _agreed(call: Invocation) -> bool:
    if not call.interactive or call.screen.as_json:
        raise CommandFailed("nobody can be asked here", remedy="look at the plan, then: orchestra apply --yes")
    return click.confirm("Apply?", default=False, err=True)


def _next_step(definition: "ProjectDefinition") -> str:
    if not definition.jobs:
        return "Next: orchestra jobs"
    return f"Next: orchestra trigger {definition.name}/{definition.jobs[0].name} --follow"
