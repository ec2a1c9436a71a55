"""`orchestra workers` and `orchestra worker start|show|jobs|disable|enable|drain|resume`."""

import click

from orchestra.cli.invocation import Invocation
from orchestra.cli.lists import paging_options, show_list
from orchestra.cli.words import NounGroup, loaded_command


class WorkerGroup(NounGroup):
    """The worker's verbs; `start` belongs to the worker's own part and is loaded by name when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, `start` first."""
        return ["start", *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command."""
        if cmd_name == "start":
            return loaded_command("worker start", "orchestra_worker.__main__:start")
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs with their sentences; the agent is not imported for help."""
        rows = [("start", "Start a worker on this machine.")]
        rows += [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=WorkerGroup)
def worker() -> None:
    """Start a worker here; list, show and steer workers; without a verb, lists."""


@worker.command("list")
@paging_options
@click.pass_obj
def list_workers(call: Invocation, *, limit: int, cursor: str | None) -> None:
    """List workers."""
    from orchestra.cli.answers import Page, Worker
    from orchestra.cli.formats import local_time
    from orchestra.network.client import api

    answer = call.client().get(api("workers"), {"limit": limit, "cursor": cursor})
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    page = answer.read(Page[Worker])
    rows = [
        [
            item.name,
            item.state,
            "connected"
            if item.connected
            else f"out of contact since {local_time(item.last_contact_at, call.screen.zone)}",
            f"{item.slots_used}/{item.slots}",
            " ".join(f"#{number}" for number in item.runs),
            " ".join(f"{name}={value}" for name, value in sorted(item.properties.items())),
        ]
        for item in page.items
    ]
    nothing = "no worker yet: start one with 'orchestra worker start --master URL --token-file FILE'"
    show_list(call, page, ["worker", "state", "contact", "slots", "runs", "properties"], rows, nothing=nothing)


@worker.command("show")
@click.argument("name")
@click.pass_obj
def show(call: Invocation, *, name: str) -> None:
    """Show one worker."""
    from orchestra.cli.answers import Worker
    from orchestra.cli.formats import byte_size, local_time
    from orchestra.cli.terminal import plain
    from orchestra.network.client import api

    answer = call.client().get(api("workers", name))
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    found = answer.read(Worker)
    contact = local_time(found.last_contact_at, call.screen.zone)
    rows = [
        ("state", call.screen.state(found.state) + (f": {plain(found.reason)}" if found.reason else "")),
        ("contact", f"connected, last heard {contact}" if found.connected else f"out of contact since {contact}"),
        ("slots", f"{found.slots_used} of {found.slots} in use"),
        ("runs", " ".join(f"#{number}" for number in found.runs)),
        ("version", plain(found.version or "")),
        ("load", "" if found.load is None else f"{found.load:.2f}"),
        ("free disk", byte_size(found.free_disk_bytes)),
        *((f"  {plain(key)}", plain(str(value))) for key, value in sorted(found.properties.items())),
    ]
    call.screen.line(plain(found.name))
    for title, text in rows:
        call.screen.line(f"  {title:<14} {text or '-'}")


@worker.command("jobs")
@click.argument("name")
@paging_options
@click.pass_obj
def jobs(call: Invocation, *, name: str, limit: int, cursor: str | None) -> None:
    """List which jobs a worker can do, and why not the others."""
    from orchestra.cli.answers import Page, WorkerJob
    from orchestra.cli.terminal import plain
    from orchestra.network.client import api

    answer = call.client().get(api("workers", name, "jobs"), {"limit": limit, "cursor": cursor})
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    page = answer.read(Page[WorkerJob])
    rows = [
        [
            f"{item.project}/{item.job}",
            "only this worker" if item.is_only else "yes" if item.matches else "no",
            plain(item.reason),
        ]
        for item in page.items
    ]
    show_list(call, page, ["job", "can it?", "why not, or not now"], rows, nothing="no job yet")


def _steering(verb: str, state: str, sentence: str) -> None:
    @worker.command(verb, help=sentence)
    @click.argument("name")
    @click.option("--reason", metavar="TEXT", help="Why; it is shown with the worker.")
    @click.pass_obj
    def steer(call: Invocation, *, name: str, reason: str | None) -> None:
        from orchestra.cli.answers import Worker
        from orchestra.network.client import api

        content = {"state": state} | ({"reason": reason} if reason else {})
        answer = call.client().patch(api("workers", name), content)
        if call.screen.as_json:
            call.screen.json(answer.body)
            return
        found = answer.read(Worker)
        busy = f"; {len(found.runs)} of its runs go on" if found.runs and state != "online" else ""
        undo = "" if state == "online" else f". Undo: orchestra worker {_UNDO[verb]} {name}"
        call.screen.line(f"{found.name} is {found.state}{busy}{undo}")


_UNDO = {"drain": "resume", "disable": "enable"}
for _verb, _state, _sentence in (
    ("drain", "draining", "Let a worker finish what it has and take nothing new."),
    ("resume", "online", "Let a draining worker take runs again."),
    ("disable", "disabled", "Give a worker nothing new, until somebody enables it."),
    ("enable", "online", "Let a disabled or quarantined worker take runs again."),
):
    _steering(_verb, _state, _sentence)
