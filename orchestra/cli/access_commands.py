"""`orchestra users`, `orchestra user create|disable|enable` and `orchestra token create|list|revoke`."""

import click

from orchestra.cli.invocation import Invocation
from orchestra.cli.lists import paging_options, show_list
from orchestra.cli.words import NounGroup


@click.group(cls=NounGroup)
def user() -> None:
    """List, create, disable and enable users; without a verb, lists."""


@user.command("list")
@paging_options
@click.pass_obj
def list_users(call: Invocation, *, limit: int, cursor: str | None) -> None:
    """List users."""
    from orchestra.cli.answers import Page, User
    from orchestra.cli.formats import local_time
    from orchestra.network.client import api

    answer = call.client().get(api("users"), {"limit": limit, "cursor": cursor})
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    page = answer.read(Page[User])
    rows = [
        [
            item.name,
            "enabled" if item.enabled else "disabled",
            " ".join(str(role) for role in item.roles),
            "password" if item.has_password else "tokens only",
            local_time(item.created_at, call.screen.zone),
        ]
        for item in page.items
    ]
    show_list(call, page, ["user", "state", "roles", "signs in by", "created"], rows, nothing="no user yet")


@user.command("create")
@click.argument("name")
@click.option("--role", "roles", multiple=True, metavar="ROLE[@PROJECT]", help="viewer, operator@ops, …; may repeat.")
@click.option("--password-file", metavar="FILE", help="A file that holds the password; - is stdin.")
@click.pass_obj
def create_user(call: Invocation, *, name: str, roles: tuple[str, ...], password_file: str | None) -> None:
    """Create a user; without a password, the user signs in by tokens.

    \b
      orchestra user create ana --role operator@ops
    """
    from orchestra.cli.answers import User
    from orchestra.cli.parameters import read_line
    from orchestra.network.client import api

    content: dict[str, object] = {"name": name, "roles": [_role(text) for text in roles]}
    if password_file:
        content["password"] = read_line(call, password_file, "--password-file")
    answer = call.client().post(api("users"), content)
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    made = answer.read(User)
    call.screen.line(f"User {made.name} is created. Next: orchestra token create NAME --user {made.name}")


@user.command("disable")
@click.argument("name")
@click.pass_obj
def disable_user(call: Invocation, *, name: str) -> None:
    """Take all power from a user at once: password, tokens and sessions."""
    _switch(call, name, enabled=False)


@user.command("enable")
@click.argument("name")
@click.pass_obj
def enable_user(call: Invocation, *, name: str) -> None:
    """Give it back."""
    _switch(call, name, enabled=True)


def _switch(call: Invocation, name: str, *, enabled: bool) -> None:
    from orchestra.cli.answers import User
    from orchestra.network.client import api

    answer = call.client().patch(api("users", name), {"enabled": enabled})
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    found = answer.read(User)
    word, other = ("enabled", "disable") if found.enabled else ("disabled", "enable")
    call.screen.line(f"User {found.name} is {word}. Undo: orchestra user {other} {found.name}")


def _role(text: str) -> dict[str, str]:
    role, _, project = text.partition("@")
    return {"role": role} | ({"project": project} if project else {})


@click.group(cls=NounGroup)
def token() -> None:
    """List, create and revoke tokens; without a verb, lists."""


@token.command("list")
@paging_options
@click.pass_obj
def list_tokens(call: Invocation, *, limit: int, cursor: str | None) -> None:
    """List tokens; their secrets are not kept anywhere."""
    from orchestra.cli.answers import Page, Token
    from orchestra.cli.formats import local_time
    from orchestra.network.client import api

    answer = call.client().get(api("tokens"), {"limit": limit, "cursor": cursor})
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    page = answer.read(Page[Token])
    zone = call.screen.zone
    rows = [
        [
            str(item.id),
            item.name,
            item.user or "",
            item.kind,
            item.prefix,
            "revoked" if item.revoked_at else local_time(item.expires_at, zone) if item.expires_at else "never",
            local_time(item.last_used_at, zone) if item.last_used_at else "never",
        ]
        for item in page.items
    ]
    show_list(
        call, page, ["id", "name", "user", "kind", "prefix", "expires", "last used"], rows, nothing="no token yet"
    )


@token.command("create")
@click.argument("name")
@click.option("--user", "owner", metavar="USER", help="For this user, not for me.")
@click.option("--kind", type=click.Choice(["user", "worker"]), default="user", show_default=True, help="What it opens.")
@click.option("--expires", "expires", type=click.IntRange(1), metavar="DAYS", help="Valid for so many days.")
@click.option("--output", metavar="FILE", help="Write the secret into a new file of mode 0600, not to stdout.")
@click.pass_obj
def create_token(
    call: Invocation, *, name: str, owner: str | None, kind: str, expires: int | None, output: str | None
) -> None:
    """Create a token; its secret is shown this once.

    \b
      orchestra token create ci --expires 90
      orchestra token create atlas --kind worker --output atlas.token
    """
    from orchestra.cli.answers import Token
    from orchestra.cli.errors import CommandFailed
    from orchestra.configuration import write_private
    from orchestra.network.client import api

    content: dict[str, object] = {"name": name, "kind": kind}
    if owner:
        content["user"] = owner
    if expires:
        content["expires_days"] = expires
    path = call.folder / output if output else None
    # Before the token is made: a secret that cannot be stored would be lost.
    if path is not None and (path.exists() or not path.parent.is_dir()):
        raise CommandFailed(f"{output} exists, or its folder does not", remedy="give another --output")
    answer = call.client().post(api("tokens"), content)
    made = answer.read(Token)
    if path is not None:
        write_private(path, f"{made.secret}\n")
        call.screen.line(f"Token {made.id} ({made.name}) is created, its secret is in {output}")
        if kind == "worker":
            start = f"orchestra worker start --master {call.client().server} --name {name} --token-file {output}"
            call.screen.note(f"Next, on the worker's machine: {start}")
    elif call.screen.as_json:
        call.screen.json(answer.body)
    else:
        call.screen.line(made.secret or "")
        call.screen.note(f"Token {made.id} ({made.name}) is created. Its secret is shown this once: keep it now.")


@token.command("revoke")
@click.argument("number", type=int, metavar="ID")
@click.pass_obj
def revoke(call: Invocation, *, number: int) -> None:
    """Take a token's power away, for good."""
    from orchestra.network.client import api

    call.client().delete(api("tokens", number))
    if call.screen.as_json:
        call.screen.json_of({"id": number, "revoked": True})
        return
    call.screen.line(f"Token {number} is revoked.")
