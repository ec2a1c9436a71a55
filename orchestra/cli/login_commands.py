"""`orchestra login`, `logout` and `whoami`: the servers that a person works with, by name."""

import click

from orchestra.cli.errors import CommandFailed
from orchestra.cli.exits import ExitCode
from orchestra.cli.invocation import Invocation
from orchestra.cli.words import ApiCommand

_CONTEXT = "default"
_STDIN = "-"


@click.command(cls=ApiCommand)
@click.argument("url")
@click.option("--name", default=_CONTEXT, show_default=True, help="What to call this server.")
@click.pass_obj
def login(call: Invocation, *, url: str, name: str) -> None:
    """Remember a server and a token for it; the token is asked for, or comes by --token-file (- is stdin).

    \b
      orchestra login https://jobs.example.org
      orchestra login https://jobs.example.org --name prod --token-file prod.token
    """
    from orchestra.cli.answers import Me
    from orchestra.configuration import (
        Connection,
        Contexts,
        checked_token,
        normal_server,
        read_contexts,
        write_contexts,
    )
    from orchestra.network.client import api

    server = normal_server(url)
    token = checked_token(_asked_token(call), "what was given")
    connection = Connection(server=server, token=token, source="login")
    client = call.client_for(connection)
    try:
        me = client.get(api("me")).read(Me)
    finally:
        client.close()
    path = call.around().configuration_file
    servers = dict(read_contexts(path).servers) | {name: connection}
    write_contexts(path, Contexts(current=name, servers=servers))
    if call.screen.as_json:
        call.screen.json_of({"server": server, "context": name, "user": me.name})
        return
    call.screen.line(f"Signed in to {server} as {me.name} (kept as {name!r} in {path}). Next: orchestra runs")


def _asked_token(call: Invocation) -> str:
    if call.token_file == _STDIN:
        import sys

        return sys.stdin.readline().strip()
    if call.token_file:
        from orchestra.configuration import read_token_file

        return read_token_file(call.folder / call.token_file)
    if not call.interactive:
        raise CommandFailed("nobody can be asked for the token here", remedy="give --token-file FILE (- is stdin)")
    answer: str = click.prompt("Token", hide_input=True, err=True)
    return answer.strip()


@click.command(cls=ApiCommand)
@click.option("--name", help="Which server; else the current one.")
@click.pass_obj
def logout(call: Invocation, *, name: str | None) -> None:
    """Forget a server's token on this machine; the token itself lives on until it is revoked or expires."""
    from orchestra.configuration import Contexts, read_contexts, write_contexts

    path = call.around().configuration_file
    contexts = read_contexts(path)
    chosen = name or contexts.current or _CONTEXT
    if chosen not in contexts.servers:
        raise CommandFailed(f"no server is kept as {chosen!r}", code=ExitCode.NOT_FOUND)
    left = {key: value for key, value in contexts.servers.items() if key != chosen}
    current = contexts.current if contexts.current in left else next(iter(left), None)
    write_contexts(path, Contexts(current=current, servers=left))
    if call.screen.as_json:
        call.screen.json_of({"context": chosen, "removed": True})
        return
    call.screen.line(f"{chosen!r} is forgotten here. To end the token everywhere: orchestra token revoke ID")


@click.command(cls=ApiCommand)
@click.pass_obj
def whoami(call: Invocation) -> None:
    """Say who the token belongs to, and at which server."""
    from orchestra.cli.answers import Me
    from orchestra.cli.terminal import plain
    from orchestra.network.client import api

    answer = call.client().get(api("me"))
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    me = answer.read(Me)
    connection = call.connection()
    roles = ", ".join(plain(str(role)) for role in me.roles) or "no role"
    call.screen.line(f"{plain(me.name)} ({roles}) at {connection.server}, from {connection.source}")
