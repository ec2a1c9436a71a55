"""`orchestra trigger` and `orchestra retry`: make a run, and stay with it if asked to."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from orchestra.cli.exits import ExitCode
from orchestra.cli.invocation import Invocation
from orchestra.cli.words import ApiCommand

if TYPE_CHECKING:
    from orchestra.cli.answers import Run
    from orchestra.network.client import Answer

Function = TypeVar("Function", bound=Callable[..., object])


def _seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    from orchestra.cli.formats import duration_option

    return duration_option(context, parameter, value)


def _staying_options(function: Function) -> Function:
    """The options of commands that can stay with the run that they made."""
    for decorate in (
        click.option(
            "--pass-exit-code", is_flag=True, help="With --wait or --follow: exit as the job's last step did."
        ),
        click.option("--timeout", callback=_seconds, metavar="TIME", help="Stop waiting after this (30m); exit 24."),
        click.option(
            "-f",
            "--follow",
            is_flag=True,
            help="Print the log (of a pipeline: its elements) until it is over; exit by its end.",
        ),
        click.option("-w", "--wait", is_flag=True, help="Wait until it is over; exit by its end."),
        click.option("--secret", "secrets", multiple=True, metavar="NAME=SOURCE", help="@FILE, @- or env:VARIABLE."),
    ):
        function = decorate(function)
    return function


@click.command(cls=ApiCommand)
@click.argument("job", metavar="PROJECT/JOB")
@click.option("-p", "--param", "pairs", multiple=True, metavar="NAME=VALUE", help="A parameter; may repeat.")
@click.option("--params", "file", metavar="@FILE", help="Parameters from a JSON file.")
@click.option("--priority", type=click.IntRange(-100, 100), help="Higher goes first.")
@click.option("--delay", callback=_seconds, metavar="TIME", help="Start so much later (10m).")
@click.option("--run-at", metavar="MOMENT", help="Start then: 2026-12-24T18:00, by this machine's clock.")
@click.option("--zone", metavar="NAME", help="By whose clocks --run-at is: Europe/Paris.")
@_staying_options
@click.pass_obj
def trigger(
    call: Invocation,
    *,
    job: str,
    pairs: tuple[str, ...],
    file: str | None,
    priority: int | None,
    delay: float | None,
    run_at: str | None,
    zone: str | None,
    secrets: tuple[str, ...],
    wait: bool,
    follow: bool,
    timeout: float | None,
    pass_exit_code: bool,
) -> int:
    """Run a job now, or later.

    \b
      orchestra trigger ops/backup --follow
      orchestra trigger ops/backup --run-at 2026-12-24T18:00 --zone Europe/Paris
      orchestra trigger ops/deploy -p env=staging --secret key=@key.txt --wait
    """
    from orchestra.cli.answers import Job
    from orchestra.cli.parameters import parameters_of_file, read_secrets, split_pairs, typed_parameters
    from orchestra.identifiers import split_job
    from orchestra.network.client import api

    project, name = split_job(job)
    start = _start(delay, run_at, zone)
    typed = split_pairs(pairs, "--param")
    given = parameters_of_file(call, file)
    hidden = read_secrets(call, secrets)
    client = call.client()
    shape = client.get(api("projects", project, "jobs", name)).read(Job) if typed else None
    content: dict[str, object] = {"parameters": given | typed_parameters(typed, shape), **start}
    if hidden:
        content["secrets"] = hidden
    if priority is not None:
        content["priority"] = priority
    answer = client.post(api("projects", project, "jobs", name, "runs"), content)
    return _stay(call, answer, wait=wait, follow=follow, timeout=timeout, pass_exit_code=pass_exit_code)


def _start(delay: float | None, run_at: str | None, zone: str | None) -> dict[str, object]:
    """What the server is told of --delay or --run-at; without a zone the clock of this machine counts, which only it
    knows."""
    from datetime import datetime

    if run_at is None:
        if zone is not None:
            raise click.UsageError("--zone is the zone of --run-at, which is not given")
        return {} if delay is None else {"delay_seconds": delay}
    if delay is not None:
        raise click.UsageError("give one of --delay and --run-at")
    if zone is not None:
        return {"run_at": run_at, "zone": zone}
    try:
        moment = datetime.fromisoformat(run_at)
    except ValueError:
        return {"run_at": run_at}
    return {"run_at": moment.astimezone().isoformat() if moment.tzinfo is None else run_at}


@click.command(cls=ApiCommand)
@click.argument("number", type=int, metavar="RUN")
@click.option("--failed-only", is_flag=True, help="Of a pipeline: use again what succeeded.")
@click.option("--from", "from_element", metavar="ELEMENT", help="Of a pipeline: do this and all after it again.")
@click.option("--newest", is_flag=True, help="Of a pipeline: by the newest definition, from the beginning.")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="Change a parameter; may repeat.")
@_staying_options
@click.pass_obj
def retry(
    call: Invocation,
    *,
    number: int,
    failed_only: bool,
    from_element: str | None,
    newest: bool,
    pairs: tuple[str, ...],
    secrets: tuple[str, ...],
    wait: bool,
    follow: bool,
    timeout: float | None,
    pass_exit_code: bool,
) -> int:
    """Run it again, as a new run linked to the old one. Secrets must be given again.

    \b
      orchestra retry 482 --follow
      orchestra retry 482 --set env=prod
      orchestra retry 500 --failed-only
      orchestra retry 500 --from deploy
    """
    from orchestra.cli.answers import Job, Run
    from orchestra.cli.parameters import read_secrets, split_pairs, typed_parameters
    from orchestra.network.client import api

    client = call.client()
    wishes = {"failed_only": failed_only, "from_element": from_element, "newest": newest}
    content: dict[str, object] = {name: wish for name, wish in wishes.items() if wish}
    changed = split_pairs(pairs, "--set")
    if changed:
        old = client.get(api("runs", number)).read(Run)
        shape = client.get(api("projects", old.project, "jobs", old.job)).read(Job)
        content["parameters"] = typed_parameters(changed, shape)
    hidden = read_secrets(call, secrets)
    if hidden:
        content["secrets"] = hidden
    answer = client.post(api("runs", number, "retry"), content)
    return _stay(call, answer, wait=wait, follow=follow, timeout=timeout, pass_exit_code=pass_exit_code)


def _stay(
    call: Invocation, answer: "Answer", *, wait: bool, follow: bool, timeout: float | None, pass_exit_code: bool
) -> int:
    from orchestra.cli.answers import Run

    run = answer.read(Run)
    if not (wait or follow or timeout is not None):
        _say_made(call, run, answer)
        return ExitCode.DONE
    try:
        is_existing = _is_existing(answer)
        if is_existing and not call.screen.as_json:
            call.screen.note(_existing_sentence(run))
        # A new run is followed from its very beginning, however late the stream is reached.
        first = None if is_existing else 1
        return stay_with(call, run, follow=follow, timeout=timeout, pass_exit_code=pass_exit_code, first_attempt=first)
    except KeyboardInterrupt:
        call.screen.note(detached_sentence(run.id))
        return ExitCode.INTERRUPTED


def stay_with(
    call: Invocation,
    run: "Run",
    *,
    follow: bool,
    timeout: float | None,
    pass_exit_code: bool,
    first_attempt: int | None = None,
) -> int:
    """Wait for the end of a run, printing its log if asked to, and say how it ended."""
    from orchestra.cli.follow import RunWatch, address_of, ending_lines, exit_of, waiting_sentence
    from orchestra.cli.pipeline_news import ElementNews

    server = call.client().server
    if not call.screen.as_json:
        call.screen.note(f"Run #{run.id} {run.project}/{run.job}: {address_of(run, server)}")
    watch = RunWatch(call=call, run=run.id, seconds_max=timeout, first_attempt=first_attempt)
    if not follow or call.screen.as_json:
        ending = watch.wait()
    elif run.is_pipeline:
        ending = watch.wait(on_look=ElementNews(call=call, run=run.id).tell)
    else:
        ending = watch.follow()
    if call.screen.as_json:
        call.screen.json(ending.body)
    elif ending.run is not None:
        call.screen.note("\n".join(ending_lines(call, ending.run, server)))
    else:
        call.screen.note(f"{waiting_sentence(run)}: it goes on. {_READ_ON.format(run=run.id)}")
    return exit_of(ending.run, pass_exit_code=pass_exit_code)


_READ_ON = "Follow: orchestra logs {run} -f. Stop: orchestra abort {run}"


def detached_sentence(run: int) -> str:
    """What is said when a person stops watching: the run is not touched by it."""
    return f"Run #{run} continues. {_READ_ON.format(run=run)}"


def _say_made(call: Invocation, run: "Run", answer: "Answer") -> None:
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    from orchestra.cli.formats import local_time

    if _is_existing(answer):
        call.screen.line(f"#{run.id}")
        call.screen.note(f"{_existing_sentence(run)} Follow: orchestra logs {run.id} -f")
        return
    replayed = " (this was asked before: the same run)" if "idempotency-replayed" in answer.headers else ""
    starts = f", it starts at {local_time(run.due_at, call.screen.zone)}" if run.state == "scheduled" else ""
    call.screen.line(f"#{run.id}")
    call.screen.note(
        f"Run #{run.id} {run.project}/{run.job} is {run.state}{starts}{replayed}. Follow: orchestra logs {run.id} -f"
    )


def _is_existing(answer: "Answer") -> bool:
    return "run-existing" in answer.headers


def _existing_sentence(run: "Run") -> str:
    return f"No new run: #{run.id} {run.project}/{run.job} has the same key and is {run.state}."
