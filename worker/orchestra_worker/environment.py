"""What a step's process gets: its environment, its directory and its arguments. Never anything of the agent's own
secrets."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from orchestra.errors import OrchestraError
from orchestra.formatter import format_argument
from orchestra.protocol.messages import Offer
from orchestra.specification import PropertyValue, Step
from orchestra_worker.folders import WorkerFolder
from orchestra_worker.keeper_files import CHECK_INS_NAME

_FROM_THE_AGENT = ("PATH", "HOME", "LANG", "LANGUAGE", "TMPDIR", "USER", "LOGNAME", "SHELL", "TZ")
"""And LC_*: all that a step inherits. Everything else of the agent's environment may be a secret."""
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CannotStart(OrchestraError):
    """A step cannot be executed, and nothing of it was; told apart from a process that ends badly."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


def base_environment(agent: Mapping[str, str], *, tools: Path) -> dict[str, str]:
    """The environment that every job of this worker begins with; only `orchestra` (in `tools`) joins the PATH."""
    base = {name: value for name, value in agent.items() if name in _FROM_THE_AGENT or name.startswith("LC_")}
    path = [part for part in base.get("PATH", _DEFAULT_PATH).split(os.pathsep) if part]
    if sys.prefix != sys.base_prefix:
        # A job asked for the machine's python, not for the one that the agent happens to run in.
        path = [part for part in path if Path(part) != Path(sys.prefix) / "bin"]
    base["PATH"] = os.pathsep.join([str(tools), *path])
    base.setdefault("LANG", "C.UTF-8")
    base.setdefault("TMPDIR", "/tmp")  # noqa: S108 - the machine's own default
    return base


def step_environment(
    base: Mapping[str, str], offer: Offer, *, worker: str, folder: Path, socket: Path
) -> dict[str, str]:
    """The whole environment of an attempt's steps: base, the job's own, parameters, then our words, which win."""
    environment = dict(base)
    own_path = offer.execution.environment.get("PATH")
    environment.update(offer.execution.environment)
    if own_path is not None:
        # The job's PATH is its own affair, but `orchestra checkin` must go on working.
        environment["PATH"] = base["PATH"].split(os.pathsep, 1)[0] + os.pathsep + own_path
    for name, value in {**offer.parameters, **offer.secrets}.items():
        environment[parameter_variable(name)] = value_text(value)
    environment.update(
        ORCHESTRA_RUN=str(offer.run),
        ORCHESTRA_ATTEMPT=str(offer.attempt),
        ORCHESTRA_JOB=offer.job,
        ORCHESTRA_PROJECT=offer.project,
        ORCHESTRA_WORKER=worker,
        ORCHESTRA_RESULTS=str(folder / "results.json"),
        ORCHESTRA_CHECKINS=str(folder / CHECK_INS_NAME),
        ORCHESTRA_SOCKET=str(socket),
    )
    return environment


def parameter_variable(name: str) -> str:
    """`drain-for` → `PARAM_DRAIN_FOR`."""
    return "PARAM_" + "".join(letter if letter.isalnum() else "_" for letter in name.upper())


def value_text(value: PropertyValue) -> str:
    """A parameter as text, as a shell expects it: true, false, 3, 0.5."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def template_values(
    offer: Offer, environment: Mapping[str, str], results: Mapping[str, msgspec.Raw], *, worker: str
) -> dict[str, Mapping[str, PropertyValue]]:
    """Everything that a command's templates may name."""
    return {
        "parameters": {**offer.parameters, **offer.secrets},
        "environment": dict(environment),
        "results": {name: _plain(value) for name, value in results.items()},
        "run": {
            "number": offer.run,
            "attempt": offer.attempt,
            "job": offer.job,
            "project": offer.project,
            "worker": worker,
        },
    }


def _plain(value: msgspec.Raw) -> PropertyValue:
    """A result as a template has it: lists and objects as their JSON text."""
    decoded = msgspec.json.decode(value)
    return decoded if isinstance(decoded, (str, int, float, bool)) else bytes(value).decode()


def check_templates(steps: tuple[Step, ...], values: Mapping[str, Mapping[str, PropertyValue]]) -> None:
    """Raises what is wrong with any template, before anything is executed.

    Arguments that name a result are left for their own step: the result may not exist yet.
    """
    for step in steps:
        for argument in step.command or ():
            if "{results" not in argument:
                format_argument(argument, values)


def working_directory(folder: WorkerFolder, offer: Offer) -> Path:
    """Where the steps run: the job's directory, else the workspace of its project; raises CannotStart."""
    workspace = folder.workspace(offer.project)
    if offer.execution.directory is None:
        return workspace
    directory = workspace / offer.execution.directory
    if not directory.is_dir():
        found = "is no directory" if directory.exists() else "does not exist"
        raise CannotStart(f"the directory {str(directory)!r} {found}")
    return directory


def resolve_command(name: str, *, directory: Path, path: str) -> str:
    """The absolute path of a command: by the job's PATH, or in its directory if it has a slash; raises CannotStart."""
    if not name:
        raise CannotStart("command not found: the command's name is empty")
    parts = [""] if "/" in name else [part for part in path.split(os.pathsep) if part]
    # As texts, because a path object for each folder of a long PATH would cost more than the rest of a start.
    places = [os.path.join(directory, part, name) for part in parts]
    found = next((place for place in places if os.access(place, os.X_OK) and os.path.isfile(place)), None)
    if found is not None:
        return str(Path(found))
    existing = next((place for place in places if os.path.exists(place)), None)
    if existing is not None:
        raise CannotStart(f"not executable: {str(Path(existing))!r}")
    raise CannotStart(f"command not found: {name!r}")


def step_arguments(
    step: Step,
    *,
    script: Path,
    directory: Path,
    environment: Mapping[str, str],
    values: Mapping[str, Mapping[str, PropertyValue]],
) -> tuple[str, ...]:
    """The argument list of a step, argv[0] resolved; a `run:` text is written to `script` first. Raises
    OrchestraError."""
    if step.run is not None:
        _write_script(script, step.run)
        return ("/bin/sh", "-e", str(script))
    if not step.command:
        raise CannotStart("the step has neither run nor command")
    arguments = [format_argument(argument, values) for argument in step.command]
    if any("\0" in argument for argument in arguments):
        raise CannotStart("an argument holds a NUL character, which no command can receive")
    command = resolve_command(arguments[0], directory=directory, path=environment.get("PATH", ""))
    return (command, *arguments[1:])


def _write_script(script: Path, text: str) -> None:
    """Makes the script file whole or not at all; one that exists may be being read by a shell and is left alone."""
    if script.exists():
        return
    beside = script.with_name(script.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o700)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    beside.replace(script)
