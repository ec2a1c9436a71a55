"""`orchestra version`."""

import click

from orchestra.cli.invocation import Invocation, program_version
from orchestra.cli.words import ApiCommand


@click.command(cls=ApiCommand)
@click.pass_obj
def version(call: Invocation) -> None:
    """Print the version of this program."""
    from orchestra.limits import PROTOCOL_VERSIONS

    if call.screen.as_json:
        call.screen.json_of({"version": program_version(), "protocol": list(PROTOCOL_VERSIONS)})
        return
    call.screen.line(f"orchestra {program_version()} (protocol {', '.join(map(str, PROTOCOL_VERSIONS))})")
