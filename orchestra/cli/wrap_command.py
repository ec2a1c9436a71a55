"""`orchestra wrap`: records a command that something else starts, without ever being in its way."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from orchestra.cli.invocation import Invocation
from orchestra.cli.words import ApiCommand

if TYPE_CHECKING:
    from orchestra.cli.wrap_spool import About, SpooledRun

_COMMAND_CHARACTERS_MAX = 1000
_LINE_CHARACTERS_MAX = 255


def _seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    from orchestra.cli.formats import duration_option

    return duration_option(context, parameter, value)


class _Keep:
    """Keeps what the command prints, as long as the disk takes it."""

    def __init__(self, run: "SpooledRun", tell: Callable[[], None], note: Callable[[str], None]) -> None:
        self._run = run
        self._tell = tell
        self._note = note
        self._is_full = False

    def __call__(self, content: bytes) -> None:
        """The next bytes. After the first trouble nothing is kept: behind a gap it would stand in the wrong place."""
        if self._is_full:
            return
        try:
            self._run.append(content)
        except OSError as error:
            self._is_full = True
            self._note(f"the rest of its output is not recorded: {error.strerror or error}")
        self._tell()


@click.command(cls=ApiCommand, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("job", metavar="PROJECT/JOB")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.option("-q", "--quiet", is_flag=True, help="Only record what it prints; print nothing.")
@click.option(
    "--patience", callback=_seconds, default="10s", show_default=True, metavar="TIME", help="For a server that is away."
)
@click.pass_obj
def wrap(call: Invocation, *, job: str, command: tuple[str, ...], quiet: bool, patience: float) -> int:
    """Run a command and record it as a run of a job that says `wrapped: true`.

    It runs whatever becomes of the server, prints what it prints, and its exit code is ours. What cannot be told now is
    kept, and the next wrap delivers it.

    \b
      0 2 * * *  orchestra wrap ops/backup -- ./backup.sh --all
    """
    from orchestra.cli.wrap_delivery import Delivery
    from orchestra.cli.wrap_spool import Spool, spool_folder
    from orchestra.cli.wrapped_process import WrappedProcess
    from orchestra.identifiers import split_job

    split_job(job)
    words = command[1:] if command[0] == "--" else command
    if not words:
        raise click.UsageError("name the command: orchestra wrap ops/backup -- ./backup.sh")

    def note(sentence: str) -> None:
        call.screen.note(f"orchestra wrap: {sentence}")

    spool = Spool(spool_folder(call.environment, call.home))
    try:
        run = spool.begin(_about(call, job, words))
    except OSError as error:
        note(f"this run is not recorded: {error}")
        return WrappedProcess(words, keep=lambda _: None, is_quiet=quiet).run()[0]
    delivery = Delivery(run, spool, connect=lambda: call.client_for(call.connection()), note=note)
    keep = _Keep(run, delivery.tell, note)
    process = WrappedProcess(words, keep=keep, begun=delivery.start, is_quiet=quiet)
    code, end = process.run()
    try:
        run.keep_end(end)
    except OSError as error:
        note(f"how it ended is not recorded: {error}")
    # Whoever has no patience left with us gets the command's exit code all the same.
    with suppress(KeyboardInterrupt):
        process.let_go()
        delivery.finish(patience)
    return code


def _about(call: Invocation, job: str, words: tuple[str, ...]) -> "About":
    import platform
    import secrets
    import shlex
    import time

    from orchestra.cli.wrap_spool import About
    from orchestra.errors import OrchestraError

    try:
        server = call.connection().server
    except OrchestraError:
        server = None
    command = "".join(each if each.isprintable() else " " for each in shlex.join(words))
    return About(
        key=secrets.token_hex(16),
        job=job,
        server=server,
        host=_line(platform.node()) or "unknown",
        account=_line(_user()) or "unknown",
        command=command[:_COMMAND_CHARACTERS_MAX],
        started_at=time.time(),
    )


def _user() -> str:
    import getpass
    import os

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _line(text: str) -> str:
    return "".join(each for each in text if each.isprintable())[:_LINE_CHARACTERS_MAX]
