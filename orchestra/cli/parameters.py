"""Parameters and secrets as they are typed: `-p name=value` in the job's own types, `--secret name=@FILE`."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestra.cli.invocation import Invocation

if TYPE_CHECKING:
    from orchestra.cli.answers import Job

Value = str | int | float | bool | None


def typed_parameters(pairs: Sequence[tuple[str, str]], job: "Job | None") -> dict[str, Value]:
    """The texts in the types that the job declares; what does not fit stays text, and the server says what it wants."""
    types = {parameter.name: parameter.type for parameter in job.parameters} if job else {}
    return {name: _typed(text, types.get(name, "string")) for name, text in pairs}


def split_pairs(texts: Sequence[str], option: str) -> list[tuple[str, str]]:
    """`name=value` texts as pairs; UsageError for one without a name or an equals sign."""
    pairs = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{option} wants NAME=VALUE, not {text!r}")
        pairs.append((name, value))
    return pairs


def parameters_of_file(call: Invocation, text: str | None) -> dict[str, Value]:
    """The object in `--params @FILE` (`@-`: stdin), whose values have JSON's types already."""
    if text is None:
        return {}
    content = _content(call, text, "--params")
    try:
        values = json.loads(content)
    except ValueError as error:
        raise click.UsageError(f"--params: {text[1:]} is no JSON ({error})") from None
    if not isinstance(values, dict):
        raise click.UsageError(f"--params: {text[1:]} holds no JSON object")
    return values


def read_secrets(call: Invocation, texts: Sequence[str]) -> dict[str, str]:
    """Secrets from files, stdin or the environment: never from the command line, where every process can read them."""
    secrets = {}
    for name, source in split_pairs(texts, "--secret"):
        if source.startswith("@"):
            secrets[name] = _content(call, source, "--secret").removesuffix("\n").removesuffix("\r")
        elif source.startswith("env:"):
            secrets[name] = _variable(call.environment, source.removeprefix("env:"))
        else:
            sources = f"{name}=@FILE, {name}=@- or {name}=env:VARIABLE"
            raise click.UsageError(f"--secret {name}=… wants a source, not the secret itself: {sources}")
    return secrets


def read_line(call: Invocation, name: str, option: str) -> str:
    """The first line of a file (`-`: stdin), for a password."""
    return _content(call, f"@{name}", option).partition("\n")[0].removesuffix("\r")


def _variable(environment: Mapping[str, str], name: str) -> str:
    try:
        return environment[name]
    except KeyError:
        raise click.UsageError(f"--secret: the environment variable {name!r} is not set") from None


def _content(call: Invocation, source: str, option: str) -> str:
    if source == "@-":
        return sys.stdin.read()
    if not source.startswith("@"):
        raise click.UsageError(f"{option} wants @FILE or @-, not {source!r}")
    try:
        return (call.folder / Path(source[1:])).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{option}: {source[1:]} cannot be read ({error})") from None


def _typed(text: str, kind: str) -> Value:
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return float(text)
    except ValueError:
        return text
    if kind == "boolean":
        return {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}.get(text.lower(), text)
    return text
