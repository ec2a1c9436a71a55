"""The programs of a journey as real processes, and the few words with which a test steers and watches them."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from orchestra.configuration import read_token_file
from orchestra.definition.reader import read_definition
from orchestra.network.client import API, ApiClient
from tests.support.ports import free_port

PYTHON = sys.executable
START_SECONDS_MAX = 60.0
PATIENCE_SECONDS = 60.0
"""For what must happen, on a machine that is slow and busy with other tests; no promise is as long."""
T = TypeVar("T")


def wait_until(check: Callable[[], T | None], *, seconds: float = PATIENCE_SECONDS, what: str = "") -> T:
    """What the check gives as soon as it is true; fails the test after so many seconds, naming what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what or check}"
        time.sleep(0.02)


def lines_of(witness: Path) -> list[str]:
    """What the jobs have written down there so far."""
    return witness.read_text().splitlines() if witness.exists() else []


def await_lines(witness: Path, count: int, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Waits until the jobs have written down so many lines."""
    wait_until(lambda: len(lines_of(witness)) >= count, seconds=seconds, what=f"{count} lines")


class Run(msgspec.Struct, frozen=True):
    """What journeys look at of a run."""

    id: int
    state: str
    reason: str
    worker: str | None
    exit_code: int | None
    log_length: int
    attempt: int
    attempts_counted: int
    stop_requested: object | None = None
    attempts: tuple[Mapping[str, object], ...] = ()
    steps: tuple[Mapping[str, object], ...] = ()
    results: Mapping[str, object] = {}
    waiting: object | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing can change any more."""
        return self.state in ("succeeded", "failed", "aborted", "cancelled", "skipped", "exception")


class Worker(msgspec.Struct, frozen=True):
    """What journeys look at of a worker."""

    name: str
    connected: bool
    connected_at: str | None
    last_contact_at: str | None


class Workers(msgspec.Struct, frozen=True):
    """A page of workers."""

    items: tuple[Worker, ...]


class Program:
    """One process of ours, started in a session of its own."""

    def __init__(self, arguments: list[str], *, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._arguments = arguments
        self._environment = {**os.environ, **(environment or {})}
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    def below(self, *words: str) -> "Program":
        """The same program, to be started by another one, such as `prlimit` or `strace`."""
        return Program([*words, *self._arguments], log=self._log, environment=self._environment)

    def start(self) -> None:
        """Starts it (again); its output is appended to its log."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self.process is not None, "it was not started"
        return self.process.pid

    @property
    def output(self) -> str:
        """All it has said."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def kill(self) -> None:
        """`kill -9`: nothing is tidied."""
        assert self.process is not None, "it was not started"
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        assert self.process is not None, "it was not started"
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


class Instance:
    """What a test says to an instance and looks at, over its API, wherever its parts run.

    `data` is the folder with the first administrator's token and the workers'; `port` is where the API is.
    """

    data: Path
    port: int

    def __init__(self) -> None:
        self._clients: dict[str | None, ApiClient] = {}

    def close_clients(self) -> None:
        """Lets the connections go."""
        for client in self._clients.values():
            client.close()

    @property
    def address(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self) -> ApiClient:
        """A client with the first administrator's token."""
        return self.client(read_token_file(self.data / "admin.token"))

    def client(self, token: str | None) -> ApiClient:
        """A client with a token, the same one each time."""
        if token not in self._clients:
            self._clients[token] = ApiClient(
                server=self.address,
                token=token,
                new_key=lambda: secrets.token_hex(16),
                pause=time.sleep,
                user_agent="journey",
            )
        return self._clients[token]

    def apply(self, definition: str) -> None:
        """Puts a definition in force, as `orchestra.yaml` has it."""
        read = read_definition(definition, "orchestra.yaml")
        self.api.put(f"{API}/projects/{read.name}/definition", read)

    def trigger(self, job: str, parameters: Mapping[str, object] | None = None, **more: object) -> int:
        """Triggers `project/job` and gives the run's number."""
        project, _, name = job.partition("/")
        body = {"parameters": parameters or {}, **more}
        return self.api.post(f"{API}/projects/{project}/jobs/{name}/runs", body).read(Run).id

    def run(self, number: int) -> Run:
        """The run as it is now."""
        return self.api.get(f"{API}/runs/{number}").read(Run)

    def reach(self, number: int, *states: str, seconds: float = PATIENCE_SECONDS) -> Run:
        """Waits until the run is in one of the states."""

        def look() -> Run | None:
            run = self.run(number)
            assert run.state in states or not run.is_over, f"#{number} is {run.state}: {run.reason}"
            return run if run.state in states else None

        return wait_until(look, seconds=seconds, what=f"#{number} to be {' or '.join(states)}")

    def finish(self, number: int, *, seconds: float = PATIENCE_SECONDS) -> Run:
        """Waits until the run is over, however it ends."""

        def look() -> Run | None:
            run = self.run(number)
            return run if run.is_over else None

        return wait_until(look, seconds=seconds, what=f"#{number} to be over")

    def log(self, number: int, attempt: int | None = None) -> bytes:
        """The whole stored log."""
        which = f"attempts/{attempt}/log" if attempt else "log"
        return self.api.get(f"{API}/runs/{number}/{which}").body

    def copy_log(self, number: int, target: Path, *, piece_bytes: int = 8 << 20) -> None:
        """Downloads a log of any length into a file, piece by piece."""
        length = self.run(number).log_length
        with target.open("wb") as file:
            while (position := file.tell()) < length:
                wanted = {"Range": f"bytes={position}-{position + piece_bytes - 1}"}
                file.write(self.api.get(f"{API}/runs/{number}/log", headers=wanted).body)

    def fleet(self) -> Mapping[str, Worker]:
        """The workers by name."""
        return {worker.name: worker for worker in self.api.get(f"{API}/workers").read(Workers).items}

    def connected(self, name: str) -> bool:
        """Whether the worker is connected now."""
        worker = self.fleet().get(name)
        return worker is not None and worker.connected


class Orchestra(Instance):
    """`orchestra up` in a folder: master and service on one port, and local workers if it has slots."""

    def __init__(self, folder: Path, *, slots: int = 2, more: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.data = folder / "data"
        self.port = free_port()
        arguments = [PYTHON, "-m", "orchestra", "up", "--port", str(self.port), "--data", str(self.data)]
        self.program = Program([*arguments, "--slots", str(slots), *more], log=folder / "up.log")

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self.program.start()
        wait_until(self._answers, seconds=START_SECONDS_MAX, what="orchestra up to answer")

    def _answers(self) -> bool:
        assert self.program.process is not None, "it was not started"
        assert self.program.process.poll() is None, f"orchestra up ended:\n{self.program.output}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return all((self.data / name).exists() for name in ("connection.toml", "worker.token"))
        return False

    def stop(self) -> int:
        """Ends it as SIGTERM does, and gives its exit status."""
        self.close_clients()
        return self.program.stop()

    def worker(self, folder: Path, name: str, *, slots: int = 2, port: int | None = None, **properties: str) -> Program:
        """A worker agent of its own, not yet started; `port` is a proxy's instead of the master's."""
        arguments = [PYTHON, "-m", "orchestra", "worker", "start", "--name", name, "--folder", str(folder / name)]
        arguments += ["--master", f"ws://127.0.0.1:{port or self.port}", "--slots", str(slots)]
        arguments += ["--token-file", str(self.data / "worker.token")]
        for key, value in properties.items():
            arguments += ["--property", f"{key}={value}"]
        return Program(arguments, log=folder / f"{name}.log")


@contextlib.contextmanager
def started(orchestra: Orchestra, *programs: Program) -> Iterator[Orchestra]:
    """Everything started, and ended afterwards with all that it left behind."""
    orchestra.start()
    try:
        for program in programs:
            program.start()
        yield orchestra
    finally:
        for program in programs:
            if program.process is not None:
                program.stop()
        orchestra.stop()


def marked_processes(marker: str) -> list[int]:
    """The processes that have the text in their environment or arguments, those of the test itself left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if marker.encode() in (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def arguments_of(pid: int) -> bytes:
    """The command line of a process, each argument followed by a NUL; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def end_marked_processes(marker: str) -> None:
    """Kills all that `marked_processes` finds."""
    for pid in marked_processes(marker):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def keeper_of(worker_folder: Path) -> int:
    """The process id of the worker's keeper."""

    def look() -> list[int] | None:
        found = marked_processes(str(worker_folder))
        pids = [pid for pid in found if b"orchestra_worker.keeper" in arguments_of(pid)]
        # A step that is just being started still looks like the keeper that starts it.
        return pids if len(pids) == 1 else None

    return wait_until(look, what=f"one keeper of {worker_folder}")[0]


def end_keeper(folder: Path) -> int:
    """Kills the worker's keeper and gives its pid; one that is still being started has others for a moment."""

    def end() -> int | None:
        pid = keeper_of(folder)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        return pid

    return wait_until(end, what="a keeper to kill")


@contextlib.contextmanager
def running(*programs: Program) -> Iterator[None]:
    """The programs started, and ended afterwards."""
    try:
        for program in programs:
            program.start()
        yield
    finally:
        for program in programs:
            if program.process is not None:
                program.stop()
