"""`orchestra init`, `validate` and `schema`: the definition file, without a server."""

from pathlib import Path

import click

from orchestra.cli.errors import CommandFailed
from orchestra.cli.invocation import Invocation
from orchestra.cli.terminal import LogGuard
from orchestra.cli.words import ApiCommand

DEFINITION_FILE = "orchestra.yaml"
EXAMPLES = ("backup", "build", "demo", "pipeline")


@click.command(cls=ApiCommand)
@click.option("--example", type=click.Choice(EXAMPLES), default="backup", show_default=True, help="What to begin with.")
@click.argument("file", default=DEFINITION_FILE)
@click.pass_obj
def init(call: Invocation, *, example: str, file: str) -> None:
    """Write a first definition file, with comments; an existing file is never overwritten."""
    text = example_text(example)
    path = call.folder / file
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise CommandFailed(f"{file} exists", remedy="give another file: orchestra init FILE") from None
    if call.screen.as_json:
        call.screen.json_of({"file": str(path), "example": example})
        return
    call.screen.line(f"{file} is written. Next: orchestra validate && orchestra apply")


@click.command(cls=ApiCommand)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.pass_obj
def validate(call: Invocation, *, files: tuple[str, ...]) -> int:
    """Check definition files, and say where what is wrong and how to repair it."""
    from orchestra.cli.exits import ExitCode
    from orchestra.definition.problems import DefinitionErrors
    from orchestra.definition.reader import examine_definition

    bad = False
    reports: list[dict[str, object]] = []
    for name in files or (DEFINITION_FILE,):
        text = read_file(call, name)
        try:
            reading = examine_definition(text, name)
            problems, hints, report = list(reading.problems), list(reading.hints), reading.report()
        except DefinitionErrors as error:
            problems, hints, report = list(error.problems), [], error.report()
        bad = bad or bool(problems)
        reports.append({"file": name, "valid": not problems, "problems": problems, "hints": hints})
        if call.screen.as_json:
            continue
        if report:
            call.screen.note(shown_report(report))
        if not problems:
            project, count = reading.definition.name, len(reading.definition.jobs)
            call.screen.line(f"{name} is valid: project {project}, {count} job{'' if count == 1 else 's'}")
    if call.screen.as_json:
        call.screen.json_of(reports)
    return ExitCode.FAILED if bad else ExitCode.DONE


@click.command(cls=ApiCommand)
@click.pass_obj
def schema(call: Invocation) -> None:
    """Print the JSON Schema of definition files, for editors."""
    from orchestra.definition.schema import definition_schema

    call.screen.json_of(definition_schema())


def read_file(call: Invocation, name: str) -> str:
    """The text of a definition file; raises CommandFailed with the next step."""
    try:
        return (call.folder / Path(name)).read_text("utf-8")
    except FileNotFoundError:
        raise CommandFailed(f"there is no file {name}", remedy="write one: orchestra init") from None
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{name} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise CommandFailed(f"{name} cannot be read: {error.strerror}") from None


def shown_report(report: str) -> str:
    """A report that quotes a file, without what would steer the terminal."""
    guard = LogGuard(colour=False)
    return guard.clean(report) + guard.end()


def example_text(name: str) -> str:
    """The text of one of the shipped examples."""
    from importlib.resources import files

    return files("orchestra.cli").joinpath("examples", f"{name}.yaml").read_text("utf-8")
