"""Where the server is: the order of the sources, and a token that never goes to a stranger."""

import stat
from pathlib import Path

import pytest

from orchestra.configuration import (
    ConfigurationUnusable,
    Connection,
    Contexts,
    NoServer,
    Surroundings,
    find_connection,
    normal_server,
    read_contexts,
    write_connection_file,
    write_contexts,
    write_private,
)

ONE, TWO, THREE = ("orc_u_" + pair * 32 for pair in ("11", "22", "33"))


def around(folder: Path, **environment: str) -> Surroundings:
    """Surroundings in a test folder."""
    return Surroundings(environment=environment, folder=folder, home=folder / "home")


def with_local_server(folder: Path, server: str = "http://127.0.0.1:7780") -> Path:
    """A data folder as `orchestra up` leaves it."""
    data = folder / "data"
    data.mkdir()
    write_private(data / "administrator.token", ONE + "\n")
    return write_connection_file(data, server=server, token_file=data / "administrator.token")


def with_contexts(folder: Path, **servers: tuple[str, str]) -> None:
    """A configuration file as `orchestra login` leaves it."""
    made = {name: Connection(server=url, token=token, source="") for name, (url, token) in servers.items()}
    write_contexts(around(folder).configuration_file, Contexts(current=next(iter(servers)), servers=made))


def test_nothing_anywhere_is_said_so(tmp_path: Path) -> None:
    """And an empty environment is no accident."""
    with pytest.raises(NoServer):
        find_connection(around(tmp_path))


def test_the_sources_are_asked_in_their_order(tmp_path: Path) -> None:
    """Flag, environment, data folder, configuration file."""
    with_contexts(tmp_path, default=("https://far.example", TWO))
    assert find_connection(around(tmp_path)).server == "https://far.example"

    with_local_server(tmp_path)
    near = find_connection(around(tmp_path))
    assert (near.server, near.token) == ("http://127.0.0.1:7780", ONE)

    named = around(tmp_path, ORCHESTRA_SERVER="env.example:1", ORCHESTRA_TOKEN=THREE)
    assert find_connection(named).server == "http://env.example:1"
    assert find_connection(named).token == THREE
    assert find_connection(named, server="https://flag.example").server == "https://flag.example"


def test_a_token_of_a_file_never_goes_to_another_server(tmp_path: Path) -> None:
    """Only to the server that the same file names."""
    with_local_server(tmp_path)
    with_contexts(tmp_path, prod=("https://far.example", TWO))

    assert find_connection(around(tmp_path), server="https://stranger.example").token is None
    assert find_connection(around(tmp_path), server="https://far.example/").token == TWO
    assert find_connection(around(tmp_path), server="127.0.0.1:7780").token == ONE


def test_another_data_folder_can_be_named(tmp_path: Path) -> None:
    """By the variable that `orchestra up` obeys too."""
    with_local_server(tmp_path)

    assert find_connection(around(tmp_path / "data", ORCHESTRA_DATA=str(tmp_path / "data"))).token == ONE


def test_a_connection_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """A cloned or unpacked folder must not choose where our token goes."""
    path = with_local_server(tmp_path)
    path.chmod(0o644)

    with pytest.raises(ConfigurationUnusable, match="must belong to you with mode 0600"):
        find_connection(around(tmp_path))


def test_a_connection_file_cannot_point_at_other_files(tmp_path: Path) -> None:
    """Nor can a link in its folder."""
    path = with_local_server(tmp_path)
    write_private(tmp_path / "secret", TWO)
    write_private(path, 'server = "http://evil.example"\ntoken_file = "../secret"\n')
    with pytest.raises(ConfigurationUnusable, match="outside the folder"):
        find_connection(around(tmp_path))

    (tmp_path / "data" / "link").symlink_to(tmp_path / "secret")
    write_private(path, 'server = "http://evil.example"\ntoken_file = "link"\n')
    with pytest.raises(ConfigurationUnusable, match="outside the folder"):
        find_connection(around(tmp_path))


def test_what_has_not_the_form_of_a_token_is_never_sent(tmp_path: Path) -> None:
    """A private key, say; and it is not shown either."""
    (tmp_path / "id_ed25519").write_text("-----BEGIN OPENSSH PRIVATE KEY-----")

    with pytest.raises(ConfigurationUnusable, match="holds no token") as refused:
        find_connection(around(tmp_path), server="http://evil.example", token_file="id_ed25519")
    assert "BEGIN" not in str(refused.value)


def test_contexts_come_back_as_they_were_written(tmp_path: Path) -> None:
    """Whatever they are called, readable by their owner only."""
    with_contexts(tmp_path, **{'odd "name" ü': ("https://one.example", ONE), "two": ("http://two:1", TWO)})
    path = around(tmp_path).configuration_file

    contexts = read_contexts(path)

    assert contexts.current == 'odd "name" ü'
    assert {name: entry.token for name, entry in contexts.servers.items()} == {'odd "name" ü': ONE, "two": TWO}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert find_connection(around(tmp_path, ORCHESTRA_CONTEXT="two")).token == TWO


def test_a_token_is_not_in_the_text_of_its_connection(tmp_path: Path) -> None:
    """So that no log or traceback shows it."""
    assert ONE not in repr(Connection(server="http://one", token=ONE, source="flag"))


@pytest.mark.parametrize("text", ["server = ", "server = 7", "\xff", "[contexts.x]\nserver = 3", "contexts = 3"])
def test_a_bad_file_is_named(tmp_path: Path, text: str) -> None:
    """With the reason, in one sentence."""
    path = around(tmp_path).configuration_file
    path.parent.mkdir(parents=True)
    path.write_text(text, "latin-1")

    if text == "server = 7":
        assert read_contexts(path).servers == {}
        return
    with pytest.raises(ConfigurationUnusable, match=r"config\.toml cannot be used"):
        read_contexts(path)


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("localhost:7780", "http://localhost:7780"),
        ("https://jobs.example/", "https://jobs.example"),
        ("http://[::1]:7780", "http://[::1]:7780"),
        ("https://host/prefix/", "https://host/prefix"),
    ],
)
def test_an_address_is_brought_into_one_form(text: str, server: str) -> None:
    """So that the same server is recognised."""
    assert normal_server(text) == server


@pytest.mark.parametrize("text", ["", "ftp://host", "http://", "http://user:secret@host", "http://host?token=x", "a b"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """Credentials in an address too."""
    with pytest.raises(ConfigurationUnusable):
        normal_server(text)


def test_a_file_that_cannot_be_replaced_stays_and_leaves_no_draft(tmp_path: Path) -> None:
    """A crash or a full disk leaves the old text."""
    target = tmp_path / "folder"
    target.mkdir()
    (target / "inside").touch()

    with pytest.raises(OSError, match="folder"):
        write_private(target, "text")

    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
