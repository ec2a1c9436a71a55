"""The installation that is soaked: two masters and a service over PostgreSQL, and workers at sites with links of their
own."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.crashing_server import CrashingServer, crashing_server
from tests.faults.small_disk import SmallDisk, small_disk
from tests.support.distributed import Distributed, Part, database_proxy
from tests.support.journey import Program, marked_processes, running, wait_until
from tests.support.proxy import Proxy

SITE_WORKERS = 4
SLOTS = 2
MEBIBYTES = 400
"""Of the last worker's disk: more than a worker keeps in reserve."""
CALM = "calm"
"""The property of workers whose keepers nobody kills."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A few workers that reach each master by a link of its own."""

    links: Sequence[Proxy]
    workers: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Installation:
    """All that can be broken."""

    folder: Path
    instance: Distributed
    server: CrashingServer
    database_link: Proxy
    """Between the last master and the database."""
    sites: Sequence[Site]
    agents: dict[str, Program]
    disk: SmallDisk | None
    """Of the last worker; None where mounting is not allowed."""

    @property
    def elders(self) -> Sequence[str]:
        """Workers that are never killed with their keepers, and not at all in the second half."""
        return list(self.agents)[: elders_of(len(self.agents))]

    @property
    def programs(self) -> dict[str, Program]:
        """All that somebody would have to start again, by its name."""
        names = [f"master-{number}" for number in range(len(self.instance.masters))]
        parts = dict(zip([*names, "service"], self.instance.parts, strict=True))
        return {name: part.program for name, part in parts.items()} | self.agents

    def part(self, name: str) -> Part:
        """A master or the service."""
        return self.instance.service if name == "service" else self.instance.masters[int(name.rpartition("-")[2])]

    def keepers(self) -> dict[str, int]:
        """The process ids of the keepers, by worker."""
        found: dict[str, int] = {}
        for entry in Path("/proc").iterdir():
            words = _words_of(entry) if entry.name.isdigit() else []
            if b"orchestra_worker.keeper" in words:
                name = next((name for name in self.agents if str(self.folder / name).encode() in words), None)
                # A step that is just being started still looks like the keeper that starts it, and is younger.
                if name is not None:
                    found[name] = min(found.get(name, 1 << 30), int(entry.name))
        return found

    def jobs_alive(self) -> list[int]:
        """Processes of jobs."""
        return [
            pid
            for pid in marked_processes(str(self.folder))
            if b"ORCHESTRA_RUN=" in _read(Path(f"/proc/{pid}/environ"))
        ]

    def await_everybody(self) -> None:
        """Waits until all workers are connected."""

        def all_connected() -> bool:
            fleet = self.instance.fleet()
            return all(name in fleet and fleet[name].connected for name in self.agents)

        wait_until(all_connected, seconds=90, what="all workers to be connected")


@contextmanager
def installed(folder: Path, *, workers: int) -> Iterator[Installation]:
    """All of it, running."""
    with ExitStack() as stack:
        server, address = stack.enter_context(crashing_server())
        link, behind_link = stack.enter_context(database_proxy(server.folder, address))
        # The first master is given its address first.
        instance = stack.enter_context(Distributed(folder, address, databases=[address, behind_link], masters=2))
        names = [f"worker-{number:02}" for number in range(workers)]
        sites = [
            Site(
                links=[stack.enter_context(Proxy(("127.0.0.1", master.port))) for master in instance.masters],
                workers=names[first : first + SITE_WORKERS],
            )
            for first in range(0, workers, SITE_WORKERS)
        ]
        disk = None
        if os.geteuid() == 0:
            disk = stack.enter_context(small_disk(folder / names[-1], mebibytes=MEBIBYTES))
        agents: dict[str, Program] = {}
        made = Installation(
            folder=folder,
            instance=instance,
            server=server,
            database_link=link,
            sites=sites,
            agents=agents,
            disk=disk,
        )
        for number, name in enumerate(names):
            ports = [link.port for link in sites[number // SITE_WORKERS].links]
            calm = "yes" if number < elders_of(workers) else "no"
            agents[name] = instance.worker(name, slots=SLOTS, ports=ports, **{CALM: calm})
        stack.enter_context(running(*agents.values()))
        made.await_everybody()
        yield made


def elders_of(workers: int) -> int:
    """How many of so many workers are spared."""
    return max(1, workers // 5)


def _words_of(entry: Path) -> list[bytes]:
    return _read(entry / "cmdline").split(b"\0")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
