"""The network between a worker and its master, which loses packets on one way or both: by our proxy, or for real
between two network namespaces."""

import os
import secrets
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.journey import PYTHON, Orchestra, Program
from tests.support.proxy import BOTH, Direction, Proxy

NOBODY = "02:00:00:00:00:63"
"""A hardware address that nobody has: packets to it leave, and are dropped where they arrive, without a word."""


class Wire(ABC):
    """Between one worker and the master."""

    prefix: tuple[str, ...] = ()
    """Before the worker's command line."""
    host = "127.0.0.1"
    port: int

    @abstractmethod
    def lose(self, lost: frozenset[Direction] = BOTH) -> None:
        """From now on packets vanish on these ways."""

    @abstractmethod
    def heal(self) -> None:
        """From now on packets arrive."""

    def worker(self, up: Orchestra, folder: Path, name: str, *, slots: int, **properties: str) -> Program:
        """A worker at the far end, not yet started."""
        words = [*self.prefix, PYTHON, "-m", "orchestra", "worker", "start", "--name", name]
        words += ["--folder", str(folder / name), "--token-file", str(up.data / "worker.token")]
        words += ["--master", f"ws://{self.host}:{self.port}", "--slots", str(slots)]
        for key, value in properties.items():
            words += ["--property", f"{key}={value}"]
        return Program(words, log=folder / f"{name}.log")


class ProxyWire(Wire):
    """Works everywhere: connections that were open while it lost something never come back to life."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.port = proxy.port

    def lose(self, lost: frozenset[Direction] = BOTH) -> None:
        """Swallows bytes."""
        self._proxy.freeze(lost)

    def heal(self) -> None:
        """Lets new connections through."""
        self._proxy.mend()


class NamespaceWire(Wire):
    """A pair of virtual interfaces: TCP itself resends, gives up, or goes on after the healing, as in reality."""

    def __init__(self, *, port: int) -> None:
        self.port = port
        self._name = f"orc{secrets.token_hex(4)}"
        self._net = f"10.{secrets.randbelow(120) + 100}.{secrets.randbelow(256)}"
        self.host = f"{self._net}.1"
        self.prefix = ("nsenter", f"--net=/run/netns/{self._name}")
        self._near, self._far = f"{self._name}n", f"{self._name}f"

    def open(self) -> None:
        """Makes the namespace and its interfaces."""
        _ip("netns", "add", self._name)
        _ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self._name)
        _ip("addr", "add", f"{self._net}.1/24", "dev", self._near)
        _ip("link", "set", self._near, "up")
        for words in (
            ("addr", "add", f"{self._net}.2/24", "dev", self._far),
            ("link", "set", self._far, "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", self._name, *words)
        self.heal()

    def close(self) -> None:
        """Takes both away."""
        subprocess.run(["ip", "netns", "del", self._name], check=False)
        subprocess.run(["ip", "link", "del", self._near], check=False, capture_output=True)

    def lose(self, lost: frozenset[Direction] = BOTH) -> None:
        """Sends packets to a hardware address that nobody has."""
        if Direction.TO_TARGET in lost:
            self._to_master(NOBODY)
        if Direction.FROM_TARGET in lost:
            self._to_worker(NOBODY)

    def heal(self) -> None:
        """Sends them to the right one."""
        self._to_master(_address(self._near))
        self._to_worker(_address(self._far, self._name))

    def _to_master(self, address: str) -> None:
        _ip("-n", self._name, "neigh", "replace", f"{self._net}.1", *_for_ever(address), self._far)

    def _to_worker(self, address: str) -> None:
        _ip("neigh", "replace", f"{self._net}.2", *_for_ever(address), self._near)


def _why_no_namespaces() -> str:
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "nsenter") if shutil.which(tool) is None]
    return f"{' and '.join(missing)} is not installed" if missing else ""


IN_NAMESPACE = pytest.mark.skipif(bool(_why_no_namespaces()), reason=_why_no_namespaces())
ELSE_BY_PROXY = () if _why_no_namespaces() else (pytest.mark.long,)
"""The smoke selection takes a proxy where there are no namespaces; `make faults` takes both."""


@contextmanager
def wire_to(up: Orchestra, kind: str) -> Iterator[Wire]:
    """`proxy` or `namespace`; with the latter the instance must listen on every address."""
    if kind == "proxy":
        with Proxy(("127.0.0.1", up.port)) as proxy:
            yield ProxyWire(proxy)
        return
    wire = NamespaceWire(port=up.port)
    try:
        wire.open()
        yield wire
    finally:
        wire.close()


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def _address(interface: str, namespace: str | None = None) -> str:
    place = ("-n", namespace) if namespace else ()
    words = _ip(*place, "-brief", "link", "show", "dev", interface).split()
    return words[2]


def _for_ever(address: str) -> tuple[str, ...]:
    return ("lladdr", address, "nud", "permanent", "dev")
