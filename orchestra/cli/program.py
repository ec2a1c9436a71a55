"""The program `orchestra`: its words, and the one place where an error becomes a message and an exit code."""

import sys
from collections.abc import Mapping, Sequence
from typing import Final

import click

from orchestra.cli.errors import CommandFailed
from orchestra.cli.exits import ExitCode, exit_of_status
from orchestra.cli.invocation import Invocation, system_invocation
from orchestra.cli.terminal import plain
from orchestra.cli.words import LazyGroup, Word
from orchestra.errors import OrchestraError

_START: Final = "Start"
_DEFINE: Final = "Define"
_RUN: Final = "Run"
_FLEET: Final = "Look at the fleet"
_PEOPLE: Final = "People"
_CARE: Final = "Care"
_STEP: Final = "Inside a step"

WORDS: Final[Mapping[str, Word]] = {
    "up": Word(place="orchestra.up.command:command", sentence="Start everything here, on one port.", section=_START),
    "master": Word(place="orchestra_master.__main__:command", sentence="Start a master.", section=_START),
    "service": Word(place="orchestra_service.__main__:command", sentence="Start an API service.", section=_START),
    "website": Word(place="orchestra_website.__main__:command", sentence="Start a website.", section=_START),
    "worker": Word(
        place="orchestra.cli.worker_commands:worker",
        sentence="Start a worker; list, show and steer workers.",
        section=_START,
        also=("workers",),
    ),
    "init": Word(place="orchestra.cli.file_commands:init", sentence="Write a first orchestra.yaml.", section=_DEFINE),
    "validate": Word(place="orchestra.cli.file_commands:validate", sentence="Check definitions.", section=_DEFINE),
    "schema": Word(place="orchestra.cli.file_commands:schema", sentence="Print the JSON Schema.", section=_DEFINE),
    "apply": Word(place="orchestra.cli.apply_command:apply", sentence="Show the plan, then do it.", section=_DEFINE),
    "trigger": Word(place="orchestra.cli.trigger_command:trigger", sentence="Run a job now.", section=_RUN),
    "run": Word(place="orchestra.cli.run_commands:run", sentence="List and show runs.", section=_RUN, also=("runs",)),
    "logs": Word(place="orchestra.cli.log_command:logs", sentence="Print or follow logs.", section=_RUN, also=("log",)),
    "cancel": Word(place="orchestra.cli.run_commands:cancel", sentence="Withdraw a waiting run.", section=_RUN),
    "abort": Word(place="orchestra.cli.run_commands:abort", sentence="Stop a run wherever it is.", section=_RUN),
    "retry": Word(place="orchestra.cli.trigger_command:retry", sentence="Run it again, as a new run.", section=_RUN),
    "approve": Word(
        place="orchestra.cli.pipeline_commands:approve", sentence="Say yes to a pipeline that asks.", section=_RUN
    ),
    "reject": Word(
        place="orchestra.cli.pipeline_commands:reject", sentence="Say no to a pipeline that asks.", section=_RUN
    ),
    "wrap": Word(place="orchestra.cli.wrap_command:wrap", sentence="Record what something else runs.", section=_RUN),
    "job": Word(
        place="orchestra.cli.job_commands:job",
        sentence="List, show, disable and enable jobs.",
        section=_FLEET,
        also=("jobs",),
    ),
    "schedule": Word(
        place="orchestra.cli.schedule_commands:schedule",
        sentence="List, show and try schedules.",
        section=_FLEET,
        also=("schedules",),
    ),
    "login": Word(place="orchestra.cli.login_commands:login", sentence="Remember a server.", section=_PEOPLE),
    "logout": Word(place="orchestra.cli.login_commands:logout", sentence="Forget a server.", section=_PEOPLE),
    "whoami": Word(place="orchestra.cli.login_commands:whoami", sentence="Who am I there?", section=_PEOPLE),
    "user": Word(
        place="orchestra.cli.access_commands:user",
        sentence="List, create, disable and enable users.",
        section=_PEOPLE,
        also=("users",),
    ),
    "token": Word(
        place="orchestra.cli.access_commands:token",
        sentence="List, create and revoke tokens.",
        section=_PEOPLE,
        also=("tokens",),
    ),
    "doctor": Word(place="orchestra.cli.doctor:doctor", sentence="Check this machine and server.", section=_CARE),
    "db": Word(place="orchestra.cli.database_commands:db", sentence="Upgrade or check the database.", section=_CARE),
    "version": Word(place="orchestra.cli.version_command:version", sentence="Print the version.", section=_CARE),
    "checkin": Word(
        place="orchestra.cli.step_commands:checkin", sentence='Say how far it is: 30% "building".', section=_STEP
    ),
    "result": Word(
        place="orchestra.cli.step_commands:result",
        sentence="Keep a result: result set KEY VALUE.",
        section=_STEP,
        also=("results",),
    ),
}

HELP: Final = """Run jobs on a fleet of machines; what has started survives the network, the master and the agent.

\b
  orchestra up --demo                        try it: everything in one process
  orchestra init && orchestra apply          write a definition, put it in force
  orchestra trigger ops/backup --follow      run a job and watch it
  orchestra runs --status failed             what went wrong
"""


def main(arguments: Sequence[str] | None = None, invocation: Invocation | None = None) -> int:
    """Run one command and return its exit code; every error ends here, as a message without a traceback."""
    call = invocation or system_invocation()
    try:
        return _invoke(list(sys.argv[1:] if arguments is None else arguments), call)
    except Exception as error:
        if call.debug:
            raise
        return _report(call, _alone(error))
    except KeyboardInterrupt:
        call.screen.note("")
        return ExitCode.INTERRUPTED
    finally:
        call.close()


def _invoke(arguments: list[str], call: Invocation) -> int:
    group = LazyGroup(name="orchestra", words=WORDS, help=HELP)
    outcome = group.main(
        args=arguments,
        prog_name="orchestra",
        standalone_mode=False,
        obj=call,
        help_option_names=["-h", "--help"],
        max_content_width=100,
    )
    return outcome if isinstance(outcome, int) else ExitCode.DONE


def _alone(error: Exception) -> Exception:
    """A group of one error is that error: it only tells that a task of several had it."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _report(call: Invocation, error: Exception) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        call.screen.note(error.format_message())
        return ExitCode.USAGE
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "orchestra"
        return _say(call, error.format_message(), f"{path} --help", ExitCode.USAGE)
    if isinstance(error, click.Abort):
        call.screen.note("")
        return ExitCode.INTERRUPTED
    if isinstance(error, click.ClickException):
        return _say(call, error.format_message(), "", ExitCode.FAILED)
    if isinstance(error, BrokenPipeError):
        return _reader_gone()
    if isinstance(error, CommandFailed):
        return _say(call, str(error), error.remedy, error.code)
    if isinstance(error, OrchestraError):
        return _report_ours(call, error)
    if isinstance(error, OSError) and error.filename:
        return _say(call, f"{error.filename}: {error.strerror}", "", ExitCode.FAILED)
    told = f"{type(error).__name__}: {error}"
    return _say(call, f"this is a defect ({told})", "run it again with --debug and report it", ExitCode.FAILED)


def _report_ours(call: Invocation, error: OrchestraError) -> int:
    from orchestra.configuration import NoServer
    from orchestra.network.problems import AnswerUnreadable, RequestRefused, ServerUnreachable

    if isinstance(error, RequestRefused):
        return _report_refusal(call, error)
    if isinstance(error, ServerUnreachable):
        return _say(call, str(error), "start it, or check the address with 'orchestra doctor'", ExitCode.UNREACHABLE)
    if isinstance(error, AnswerUnreadable | NoServer):
        return _say(call, str(error), "", ExitCode.UNREACHABLE)
    return _say(call, str(error), "", ExitCode.FAILED)


def _report_refusal(call: Invocation, error: "OrchestraError") -> int:
    from orchestra.network.problems import RequestRefused

    assert isinstance(error, RequestRefused)
    problem = error.problem
    code = exit_of_status(problem.status)
    if call.screen.as_json:
        import msgspec

        call.screen.note(msgspec.json.encode(problem).decode())
        return code
    wrong = [f"{field.pointer}: {field.message}" for field in problem.errors]
    sentence = "\n".join([plain(str(error)), *(f"  {plain(line)}" for line in wrong if plain(line) not in str(error))])
    remedy = {
        401: "orchestra login URL, or give --token-file FILE",
        403: "orchestra whoami",
        429: "try again a little later",
    }.get(problem.status, "")
    if isinstance(problem.run, int):
        remedy = f"orchestra logs {problem.run} -f, or orchestra abort {problem.run}"
    if problem.status >= 500 and problem.instance:
        remedy = f"look for {plain(problem.instance)} in the server's log"
    return _say_lines(call, sentence, remedy, code)


def _say(call: Invocation, sentence: str, remedy: str, code: ExitCode) -> int:
    cleaned = "\n".join(plain(line) for line in sentence.splitlines())
    if call.screen.as_json:
        import json

        call.screen.note(json.dumps({"type": "about:blank", "title": cleaned, "detail": remedy, "exit_code": code}))
        return code
    return _say_lines(call, cleaned, remedy, code)


def _say_lines(call: Invocation, sentence: str, remedy: str, code: ExitCode) -> int:
    call.screen.note(f"error: {sentence}" + (f"\nhelp: {remedy}" if remedy else ""))
    return code


def _reader_gone() -> int:
    """`orchestra logs 482 | head`: nobody reads any more, which is no error worth a word."""
    import os

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return ExitCode.FAILED
