"""Where the server is and which token it gets: flag, environment, data folder, configuration file, in this order."""

import json
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from orchestra.errors import OrchestraError

CONNECTION_FILE: Final = "connection.toml"
"""Written into the data folder by `orchestra up`, so that commands next to it need no options."""
DATA_FOLDER: Final = "data"
_TOKEN = re.compile(r"orc_[uw]_[0-9a-f]{64}")
_CONTEXT_DEFAULT = "default"


class NoServer(OrchestraError):
    """Nothing says where the server is."""

    def __str__(self) -> str:
        return (
            "no server is known: start one here with 'orchestra up', "
            "or name one with --server URL or 'orchestra login URL'"
        )


class ConfigurationUnusable(OrchestraError):
    """A configuration, connection or token file cannot be read or says something impossible."""

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(path, cause)
        self.path = path
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.path} cannot be used ({self.cause}): correct or remove it"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A server, the token for it, and which source named them (for `doctor` and for error messages)."""

    server: str
    token: str | None = field(repr=False)
    source: str


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the search looks at: the environment and two folders, passed in so that nothing is read unseen."""

    environment: Mapping[str, str]
    folder: Path
    """The current folder."""
    home: Path

    @property
    def configuration_file(self) -> Path:
        """The file of named contexts that `orchestra login` writes."""
        base = self.environment.get("XDG_CONFIG_HOME")
        return (Path(base) if base else self.home / ".config") / "orchestra" / "config.toml"

    @property
    def connection_file(self) -> Path:
        """The file that `orchestra up` writes into its data folder."""
        return self.folder / self.environment.get("ORCHESTRA_DATA", DATA_FOLDER) / CONNECTION_FILE


def find_connection(around: Surroundings, *, server: str | None = None, token_file: str | None = None) -> Connection:
    """The connection to use; raises NoServer if nothing names one and ConfigurationUnusable for a bad file.

    A token that a file names belongs to the server in the same file and is never sent to another one: only a token
    given by flag or environment goes wherever the person says.
    """
    given_server = server or around.environment.get("ORCHESTRA_SERVER")
    given_token = _given_token(around, token_file)
    if given_server:
        address = normal_server(given_server)
        source = "--server" if server else "ORCHESTRA_SERVER"
        if given_token is None:
            known = [found for found in _from_files(around, every=True) if found.server == address]
            return Connection(server=address, token=known[0].token if known else None, source=source)
        return Connection(server=address, token=given_token, source=source)
    found = _from_files(around, every=False)
    if not found:
        raise NoServer
    first = found[0]
    return first if given_token is None else Connection(server=first.server, token=given_token, source=first.source)


def normal_server(text: str) -> str:
    """An address without a trailing slash; `host:port` alone means http. Raises ConfigurationUnusable."""
    address = text.strip().rstrip("/")
    if "://" not in address:
        address = f"http://{address}"
    if not re.fullmatch(r"https?://(\[[0-9a-fA-F:.]+\]|[^/\s?#@:\[\]]+)(:\d{1,5})?(/[^\s?#]*)?", address):
        raise ConfigurationUnusable(repr(text), "a server is http://HOST:PORT or https://HOST")
    return address


def read_token_file(path: Path) -> str:
    """The token in a file; raises ConfigurationUnusable if it holds none, so that no other secret is sent as one."""
    try:
        text = path.read_text("ascii", errors="replace").strip()
    except OSError as error:
        raise ConfigurationUnusable(str(path), error.strerror or str(error)) from None
    return checked_token(text, str(path))


def checked_token(text: str, source: str) -> str:
    """The text, if it has the form of a token; raises ConfigurationUnusable naming the source, never the text."""
    if not _TOKEN.fullmatch(text):
        raise ConfigurationUnusable(source, "it holds no token: a token is orc_u_ and 64 hexadecimal digits")
    return text


def write_connection_file(folder: Path, *, server: str, token_file: Path) -> Path:
    """Leave the server's address for commands next to the data folder; the token file must lie in the same folder."""
    path = folder / CONNECTION_FILE
    write_private(path, f"server = {json.dumps(server)}\ntoken_file = {json.dumps(token_file.name)}\n")
    return path


@dataclass(frozen=True, kw_only=True)
class Contexts:
    """The named servers of a person, as `orchestra login` keeps them."""

    current: str | None = None
    servers: Mapping[str, Connection] = field(default_factory=dict)


def read_contexts(path: Path) -> Contexts:
    """The named contexts; none if the file is not there. Raises ConfigurationUnusable."""
    table = _read_toml(path)
    if table is None:
        return Contexts()
    named = table.get("contexts", {})
    if not isinstance(named, dict):
        raise ConfigurationUnusable(str(path), "'contexts' is no table")
    servers: dict[str, Connection] = {}
    for name, entry in named.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("server"), str):
            raise ConfigurationUnusable(str(path), f"the context {name!r} names no server")
        token = entry.get("token")
        servers[name] = Connection(
            server=normal_server(entry["server"]),
            token=checked_token(token, str(path)) if isinstance(token, str) else None,
            source=f"{path} ({name})",
        )
    current = table.get("current")
    return Contexts(current=current if isinstance(current, str) else None, servers=servers)


def write_contexts(path: Path, contexts: Contexts) -> None:
    """Store the contexts, readable by their owner only."""
    lines = [f"current = {json.dumps(contexts.current)}"] if contexts.current else []
    for name, connection in contexts.servers.items():
        lines += ["", f"[contexts.{json.dumps(name)}]", f"server = {json.dumps(connection.server)}"]
        if connection.token:
            lines.append(f"token = {json.dumps(connection.token)}")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, "\n".join(lines).lstrip() + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step with one of mode 0600: a reader, and a crash, sees the old text or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _given_token(around: Surroundings, token_file: str | None) -> str | None:
    path = token_file or around.environment.get("ORCHESTRA_TOKEN_FILE")
    if path:
        return read_token_file(around.folder / path)
    token = around.environment.get("ORCHESTRA_TOKEN")
    return checked_token(token.strip(), "ORCHESTRA_TOKEN") if token else None


def _from_files(around: Surroundings, *, every: bool) -> list[Connection]:
    """The connections that files name, best first; with `every` all contexts, else the current one only."""
    local = _read_connection_file(around.connection_file)
    found = [local] if local else []
    if found and not every:
        return found
    contexts = read_contexts(around.configuration_file)
    current = around.environment.get("ORCHESTRA_CONTEXT") or contexts.current or _CONTEXT_DEFAULT
    if current in contexts.servers:
        found.append(contexts.servers[current])
    if every:
        found += contexts.servers.values()
    return found


def _read_connection_file(path: Path) -> Connection | None:
    table = _read_toml(path)
    if table is None:
        return None
    # A folder that came from elsewhere (an archive, a clone) must not send our token, or any other file, to a stranger.
    status = path.stat()
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigurationUnusable(str(path), "it must belong to you with mode 0600")
    server, token_file = table.get("server"), table.get("token_file")
    if not isinstance(server, str):
        raise ConfigurationUnusable(str(path), "it names no server")
    token = None
    if isinstance(token_file, str):
        token_path = (path.parent / token_file).resolve()
        if token_path.parent != path.parent.resolve():
            raise ConfigurationUnusable(str(path), "its token_file lies outside the folder")
        token = read_token_file(token_path)
    return Connection(server=normal_server(server), token=token, source=str(path))


def _read_toml(path: Path) -> dict[str, object] | None:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationUnusable(str(path), error.strerror or str(error)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationUnusable(str(path), str(error)) from None
