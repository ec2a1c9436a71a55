"""How a call is parsed: lazily loaded groups, nouns in either number, and the options that every command has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

import click

from orchestra.cli.errors import CommandFailed
from orchestra.cli.invocation import Invocation


@dataclass(frozen=True, kw_only=True)
class Word:
    """A command that is loaded when it is called: where it is, and the sentence that help shows without loading it."""

    place: str
    """`module:attribute`."""
    sentence: str
    section: str = "Commands"
    also: tuple[str, ...] = ()
    """Other spellings: the other number of a noun."""


def _note(attribute: str) -> Callable[[click.Context, click.Parameter, str | bool | None], None]:
    def noted(context: click.Context, _parameter: click.Parameter, value: str | bool | None) -> None:
        invocation = context.find_object(Invocation)
        if value is None or value is False or invocation is None:
            return
        if attribute == "utc":
            invocation.screen.use_utc()
        elif attribute in ("as_json", "raw"):
            setattr(invocation.screen, attribute, value)
        else:
            setattr(invocation, attribute, value)

    return noted


def _common_options() -> list[click.Parameter]:
    def flag(name: str, attribute: str, sentence: str) -> click.Option:
        return click.Option([name], is_flag=True, expose_value=False, callback=_note(attribute), help=sentence)

    def value(name: str, attribute: str, metavar: str, sentence: str) -> click.Option:
        return click.Option([name], expose_value=False, callback=_note(attribute), metavar=metavar, help=sentence)

    return [
        value("--server", "server", "URL", "The server to speak to (else ORCHESTRA_SERVER, ./data, your login)."),
        value("--token-file", "token_file", "FILE", "A file that holds the token for it."),
        flag("--json", "as_json", "Print what the API answers."),
        flag("--utc", "utc", "Show times in UTC."),
        flag("--debug", "debug", "Show a traceback if something breaks."),
    ]


class ApiCommand(click.Command):
    """A command that has the common options behind its own."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's parameters, then the common ones, then --help."""
        own = super().get_params(ctx)
        taken = {name for parameter in own for name in parameter.opts}
        common = [option for option in _common_options() if not taken & set(option.opts)]
        return [*own[:-1], *common, own[-1]]


class NounGroup(click.Group):
    """The commands of one noun; without a verb it lists."""

    command_class = ApiCommand

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`runs`, `runs --status failed` and `runs list --status failed` are the same."""
        wants_help = bool(args) and args[0] in ("-h", "--help")
        if "list" in self.commands and not wants_help and (not args or args[0].startswith("-")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


class LazyGroup(click.Group):
    """A group whose commands are named by words and imported only when they are called."""

    def __init__(self, *, name: str, words: Mapping[str, Word], help: str) -> None:  # noqa: A002 - click's own name
        super().__init__(name, help=help)
        self._words = words
        self._other = {other: word for word, entry in words.items() for other in entry.also}

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The common options are understood in front of the command too."""
        own = super().get_params(ctx)
        return [*own[:-1], *_common_options(), own[-1]]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every word, in the order of the table."""
        return list(self._words)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None for an unknown word."""
        word = self._words.get(self._other.get(cmd_name, cmd_name))
        if word is None:
            return None
        return loaded_command(cmd_name, word.place)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but suggesting from the words, which are not loaded."""
        if args[0] not in self._words and args[0] not in self._other and not args[0].startswith("-"):
            raise click.exceptions.NoSuchCommand(args[0], possibilities=[*self._words, *self._other], ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The words by section, from the table: nothing is imported for help."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, word in self._words.items():
            sections.setdefault(word.section, []).append((name, word.sentence))
        spelt = {name: ", ".join([name, *word.also]) for name, word in self._words.items()}
        width = max(len(text) for text in spelt.values())
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl([(spelt[name].ljust(width), sentence) for name, sentence in rows])


def loaded_command(name: str, place: str) -> click.Command:
    """The command at `module:attribute`; raises CommandFailed with one sentence if its part is not installed."""
    module, _, attribute = place.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise not_installed(name, error) from error
    if not isinstance(found, click.Command):
        raise TypeError(f"{place} is no command")
    return found


def not_installed(command: str, error: ModuleNotFoundError) -> CommandFailed:
    """What to tell a person whose installation lacks a part."""
    missing = (error.name or "").partition(".")[0]
    if missing.startswith("orchestra"):
        return CommandFailed(f"'{command}' is not part of this installation ({error.name} is missing)")
    return CommandFailed(
        f"'{command}' needs the server extra, which is not installed ({missing} is missing)",
        remedy="install it from your checkout: pip install '.[server]'",
    )
