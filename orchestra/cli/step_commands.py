"""`orchestra checkin` and `orchestra result set`: what a job says about itself, inside a step."""

import re

import click

from orchestra.cli.invocation import Invocation
from orchestra.cli.words import ApiCommand, NounGroup


@click.command(cls=ApiCommand)
@click.argument("words", nargs=-1, required=True, metavar='[PERCENT%] ["TEXT"]')
@click.pass_obj
def checkin(call: Invocation, *, words: tuple[str, ...]) -> None:
    """Say how far the job is, inside a step.

    \b
      orchestra checkin 30% "building"
      orchestra checkin "waiting for the lock"
    """
    from orchestra.job_context import checkin as keep

    progress, text = _read(words)
    keep(progress, text)
    if call.screen.as_json:
        call.screen.json_of({"progress": progress, "text": text})


def _read(words: tuple[str, ...]) -> tuple[float | None, str]:
    share = re.fullmatch(r"(\d+(?:\.\d+)?)%", words[0])
    if share is None:
        return None, " ".join(words)
    progress = float(share[1]) / 100
    if progress > 1:
        raise click.UsageError(f"{words[0]} is more than everything")
    return progress, " ".join(words[1:])


@click.group(cls=NounGroup)
def result() -> None:
    """Keep results of the job, inside a step."""


@result.command("set")
@click.argument("key")
@click.argument("value")
@click.option("--parse", is_flag=True, help="The value is JSON: a number, true, a list …; else it is text.")
@click.pass_obj
def set_value(call: Invocation, *, key: str, value: str, parse: bool) -> None:
    """Keep a result under a name; a later one of the same name replaces it.

    \b
      orchestra result set version 1.4.2
      orchestra result set passed 118 --parse
    """
    import json

    from orchestra.job_context import set_result

    kept: object = value
    if parse:
        try:
            kept = json.loads(value)
        except ValueError as error:
            raise click.UsageError(f"{value!r} is no JSON ({error})") from None
    set_result(key, kept)
    if call.screen.as_json:
        call.screen.json_of({key: kept})
