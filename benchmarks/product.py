"""The product as its clients see it, and its embedded form: `orchestra up`, with one local worker and its keeper."""

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.floor import free_port
from benchmarks.peer import LOG_SCRIPT, STAMP_SCRIPT, Kind
from benchmarks.processes import Processes, wait_until
from benchmarks.subscription import Subscription
from orchestra.configuration import read_token_file
from orchestra.definition.reader import read_definition
from orchestra.network.client import API

CONNECTIONS = 16
IDLE_SECONDS_MAX = 2.0
"""The service closes what is idle for longer than some seconds, and a request may just be under way then."""
START_SECONDS_MAX = 60.0
RUNS_SECONDS_MAX = 600.0
PROJECT = "bench"
UNFINISHED = "scheduled,waiting,pending,assigned,running"
DEFINITION = f"""
orchestra: 1
project: {PROJECT}
jobs:
  "true": {{ command: [/bin/true] }}
  echo: {{ command: [echo, hello] }}
  script: {{ run: echo hello }}
  stamp:
    parameters: {{ argument: {{ type: string }} }}
    command: [/bin/sh, -c, {json.dumps(STAMP_SCRIPT)}, "{{parameters.argument}}"]
  log:
    parameters: {{ argument: {{ type: string }} }}
    run: {json.dumps(LOG_SCRIPT.replace("${0}", "${PARAM_ARGUMENT}"))}
"""

Json = dict[str, object]


class ApiConnection:
    """One kept-alive connection that does no more than it must, so that the client does not become what is measured."""

    def __init__(self, port: int, token: str, prefix: str = API) -> None:
        self._address = ("127.0.0.1", port)
        self._prefix = prefix
        self._socket = self._opened()
        self._used_at = time.monotonic()
        self._head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        self._received = b""

    def exchange(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Sends a request and gives the body of the answer; raises RuntimeError unless it is a success."""
        if time.monotonic() - self._used_at > IDLE_SECONDS_MAX:
            self._socket.close()
            self._socket = self._opened()
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            self._receive()
        lines = self._received[:end].lower().split(b"\r\n")
        length = next(int(line[16:]) for line in lines if line.startswith(b"content-length: "))
        while len(self._received) < end + 4 + length:
            self._receive()
        answer = self._received[end + 4 : end + 4 + length]
        self._received = self._received[end + 4 + length :]
        self._used_at = time.monotonic()
        if not lines[0].split()[1].startswith(b"2"):
            raise RuntimeError(f"{method} {path}: {answer!r}")
        return answer

    def json(self, method: str, path: str, body: Json | None = None) -> Json:
        """The same, for objects."""
        answer = json.loads(self.exchange(method, path, json.dumps(body).encode() if body is not None else b""))
        assert isinstance(answer, dict), "every answer is an object"
        return answer

    def _opened(self) -> socket.socket:
        opened = socket.create_connection(self._address)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def _receive(self) -> None:
        content = self._socket.recv(65536)
        if not content:
            raise ConnectionError("the service has closed the connection")
        self._received += content


class Instance:
    """What every form of the product is for a client: one port of HTTP, and processes behind it."""

    name = "orchestra"

    def __init__(self, *, port: int, token: str, roots: Sequence[int], folder: Path) -> None:
        self._port, self._token = port, token
        self._subscription: Subscription | None = None
        self._api = self.connection()
        self._others = [self.connection() for _ in range(CONNECTIONS)]
        self.apply(DEFINITION)
        wait_until(self._worker_is_connected, seconds=START_SECONDS_MAX, what="the local worker")
        # The keeper is no child of ours: it is started by the worker, and leaves its session.
        self.keeper = _process_with("orchestra_worker.keeper", str(folder))
        self.worker = _process_with("orchestra_worker", "--name local", str(folder))
        self.roots = [*roots, self.keeper]
        self.run_many(Kind.ECHO, 100)

    def connection(self, prefix: str = API) -> ApiConnection:
        """One more connection; without the prefix to the pages."""
        return ApiConnection(self._port, self._token, prefix)

    def apply(self, text: str) -> None:
        """A definition file."""
        definition = read_definition(text, "bench.yaml")
        self._api.exchange("PUT", f"/projects/{definition.name}/definition", msgspec.json.encode(definition))

    def trigger(self, kind: Kind, argument: str = "") -> int:
        """One POST; the answer is there once the run is committed."""
        return _trigger(self._api, kind, argument)

    def subscribe(self) -> None:
        """Opens the stream of events."""
        self._subscription = Subscription(self._port, self._token)

    def told_at(self, run: int) -> int:
        """A run is over when its log's length and digest agree with what the worker has, and not before."""
        assert self._subscription is not None, "nobody has subscribed"
        return self._subscription.told_at(run)

    def run_many(self, kind: Kind, count: int) -> None:
        """One POST for each run, over several connections at a time; then all must have succeeded."""
        runs: list[int] = []
        shares = [count // CONNECTIONS + (number < count % CONNECTIONS) for number in range(CONNECTIONS)]
        threads = [
            threading.Thread(target=_trigger_all, args=(connection, kind, share, runs))
            for connection, share in zip(self._others, shares, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: self._all_are_over(runs), seconds=RUNS_SECONDS_MAX, every=0.05, what="all runs")
        assert len(runs) == count, f"{len(runs)} of {count} runs were taken"

    def check(self, kind: Kind, count: int, *, log_length: int) -> None:
        """Looks at the newest runs one by one: each has succeeded, and its log is stored."""
        cursor = ""
        while count > 0:
            page = self._api.json("GET", f"/runs?job={PROJECT}/{kind}&limit=200{cursor}")
            items, cursor = page["items"], f"&cursor={page['next']}"
            assert isinstance(items, list), "a page has items"
            for run in items[:count]:
                assert (run["state"], run["log_length"]) == ("succeeded", log_length), f"it did not go well: {run}"
            count -= len(items)

    def _worker_is_connected(self) -> bool:
        workers = self._api.json("GET", "/workers")["items"]
        assert isinstance(workers, list), "a page has items"
        return any(worker["connected"] for worker in workers)

    def _all_are_over(self, runs: Sequence[int]) -> bool:
        # The newest one is asked for first: a list must look through all that waits for other workers.
        if self._api.json("GET", f"/runs/{max(runs)}")["ended_at"] is None:
            return False
        return not self._api.json("GET", f"/runs?status={UNFINISHED}&project={PROJECT}&limit=1")["items"]


class Product(Instance):
    """A fresh embedded instance in the folder: `orchestra up`."""

    def __init__(self, processes: Processes, folder: Path, *, slots: int) -> None:
        port = free_port()
        arguments = ["-m", "orchestra", "up", "--port", str(port), "--data", str(folder), "--slots", str(slots)]
        self.up = processes.start([sys.executable, *arguments])
        connection_file = folder / "connection.toml"
        wait_until(connection_file.exists, seconds=START_SECONDS_MAX, what="orchestra up")
        super().__init__(port=port, token=read_token_file(folder / "admin.token"), roots=[self.up], folder=folder)


def _trigger(api: ApiConnection, kind: Kind, argument: str) -> int:
    body: Json = {"parameters": {"argument": argument}} if argument else {}
    run = api.json("POST", f"/projects/{PROJECT}/jobs/{kind}/runs", body)["id"]
    assert isinstance(run, int), "a run has a number"
    return run


def _trigger_all(api: ApiConnection, kind: Kind, count: int, runs: list[int]) -> None:
    for _ in range(count):
        runs.append(_trigger(api, kind, ""))


def _process_with(*words: str) -> int:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if _holds_all(command, words):
                    return int(entry.name)
    raise LookupError(f"no process has {' and '.join(words)} in its command")


def _holds_all(command: str, words: Sequence[str]) -> bool:
    return all(word in command for word in words)
