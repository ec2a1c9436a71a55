"""One fault of each kind: who is hit, for how long, whether it was felt, and how it is mended."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import asyncpg

from tests.faults.fired import Fired
from tests.faults.soak.installation import Installation
from tests.faults.standstill import everything_of, frozen
from tests.support.journey import Program, end_keeper, keeper_of, wait_until
from tests.support.proxy import Direction, Proxy

LASTS_SECONDS = (1.0, 20.0)
DOWN_SECONDS_MAX = 3.0
"""Until somebody starts again what was killed."""
SERVES_SECONDS_MAX = 90.0
DATABASE, DATABASE_LINK, DISK = "the database", "the last master's database link", "the last worker's disk"
Fault = Callable[[random.Random], bool]
"""Happens to somebody by chance; false if there was nobody who would feel it now."""


@dataclass(frozen=True, kw_only=True)
class Struck:
    """A fault that was felt."""

    kind: str
    whom: str
    at_seconds: float
    """On the monotonic clock."""


class Breaking:
    """The faults; any number of them may happen at a time, each to somebody else.

    Once `spares` is true, nobody kills the first master, the service and the elders among the workers, so that there is
    somebody whose memory can be watched for long.
    """

    def __init__(self, made: Installation, *, fired: Fired, spares: Callable[[], bool]) -> None:
        self._made = made
        self._fired = fired
        self._spares = spares
        self._busy: set[str] = set()
        self._taking = threading.Lock()
        self.struck: list[Struck] = []
        self.ended_alone: list[str] = []
        """Programs that had ended before anybody killed them."""

    @property
    def kinds(self) -> Mapping[str, Fault]:
        """What can happen, by name."""
        found: dict[str, Fault] = {
            "kill a master": lambda chance: self._kill("kill a master", chance, self._masters()),
            "kill the service": lambda chance: self._kill("kill the service", chance, self._unspared(["service"])),
            "kill an agent": lambda chance: self._kill("kill an agent", chance, self._unspared(self._made.agents)),
            "end an agent in order": self._end_agent,
            "kill a keeper": self._kill_keeper,
            "freeze a master": lambda chance: self._freeze("freeze a master", chance, self._masters(all_of_them=True)),
            "freeze an agent": lambda chance: self._freeze("freeze an agent", chance, self._made.agents),
            "freeze a whole worker": self._freeze_worker,
            "cut links of a site": lambda chance: self._break("cut links of a site", chance, Proxy.cut),
            "freeze links of a site": lambda chance: self._break("freeze links of a site", chance, Proxy.freeze),
            "lose one way of links": self._lose_one_way,
            "stall links of a site": lambda chance: self._break("stall links of a site", chance, Proxy.stall),
            "cut a master off its database": self._cut_off,
            "freeze a master's database link": self._freeze_off,
            "end all database connections": self._end_connections,
            "crash the database": self._crash_database,
        }
        return found | ({"fill a worker's disk": self._fill_disk} if self._made.disk else {})

    def _masters(self, *, all_of_them: bool = False) -> Sequence[str]:
        names = [name for name in self._made.programs if name.startswith("master")]
        return names if all_of_them else self._unspared(names)

    def _unspared(self, names: Iterable[str]) -> Sequence[str]:
        spared = {"master-0", "service", *self._made.elders} if self._spares() else set[str]()
        return [name for name in names if name not in spared]

    def _kill(self, kind: str, chance: random.Random, names: Iterable[str]) -> bool:
        with self._victim(chance, names) as name:
            if name is None:
                return False
            program = self._made.programs[name]
            self._note_end_of(name, program)
            program.kill()
            self._happened(kind, name)
            time.sleep(chance.uniform(0, DOWN_SECONDS_MAX))  # the absence is the fault
            self._start_again(name, program)
        return True

    def _end_agent(self, chance: random.Random) -> bool:
        with self._victim(chance, self._unspared(self._made.agents)) as name:
            if name is None:
                return False
            program = self._made.agents[name]
            self._note_end_of(name, program)
            program.stop()
            self._happened("end an agent in order", name)
            self._start_again(name, program)
        return True

    def _kill_keeper(self, chance: random.Random) -> bool:
        elders = self._made.elders
        with self._victim(chance, [name for name in self._made.agents if name not in elders]) as name:
            if name is None:
                return False
            dead = end_keeper(self._made.folder / name)
            self._happened("kill a keeper", name)
            wait_until(
                lambda: keeper_of(self._made.folder / name) != dead,
                seconds=SERVES_SECONDS_MAX,
                what=f"another keeper of {name}",
            )
        return True

    def _freeze(self, kind: str, chance: random.Random, names: Iterable[str]) -> bool:
        with self._victim(chance, names) as name:
            if name is None:
                return False
            self._stand_still(kind, name, chance, [self._made.programs[name].pid])
        return True

    def _freeze_worker(self, chance: random.Random) -> bool:
        with self._victim(chance, self._made.agents) as name:
            if name is None:
                return False
            everything = everything_of(self._made.agents[name], self._made.folder / name)
            self._stand_still("freeze a whole worker", name, chance, everything)
        return True

    def _stand_still(self, kind: str, name: str, chance: random.Random, pids: Sequence[int]) -> None:
        with frozen(pids):
            self._happened(kind, name)
            time.sleep(chance.uniform(*LASTS_SECONDS))

    def _lose_one_way(self, chance: random.Random) -> bool:
        lost = frozenset({chance.choice(list(Direction))})
        return self._break("lose one way of links", chance, lambda link: link.freeze(lost))

    def _break(self, kind: str, chance: random.Random, change: Callable[[Proxy], None]) -> bool:
        sites = {f"site {number}": site for number, site in enumerate(self._made.sites)}
        with self._victim(chance, sites) as name:
            used = [link for link in sites[name].links if link.passing] if name is not None else []
            if name is None or not used:
                return False
            # All of them, or one, so that its workers may go to the other master.
            victims = used if chance.random() < 0.5 else [chance.choice(used)]
            self._break_for_a_while(kind, name, chance, victims, change)
        return True

    def _cut_off(self, chance: random.Random) -> bool:
        return self._part("cut a master off its database", chance, Proxy.cut)

    def _freeze_off(self, chance: random.Random) -> bool:
        return self._part("freeze a master's database link", chance, Proxy.freeze)

    def _part(self, kind: str, chance: random.Random, change: Callable[[Proxy], None]) -> bool:
        with self._victim(chance, [DATABASE_LINK]) as name:
            if name is None or not self._made.database_link.passing:
                return False
            self._break_for_a_while(kind, name, chance, [self._made.database_link], change)
        return True

    def _break_for_a_while(
        self, kind: str, name: str, chance: random.Random, links: Sequence[Proxy], change: Callable[[Proxy], None]
    ) -> None:
        try:
            for link in links:
                change(link)
            self._happened(kind, name)
            time.sleep(chance.uniform(*LASTS_SECONDS))
        finally:
            for link in links:
                link.mend()

    def _end_connections(self, chance: random.Random) -> bool:
        with self._victim(chance, [DATABASE]) as name:
            if name is None or self._made.instance.end_connections() == 0:
                return False
            self._happened("end all database connections", name)
        return True

    def _crash_database(self, chance: random.Random) -> bool:
        with self._victim(chance, [DATABASE]) as name:
            if name is None:
                return False
            self._made.server.crash()
            self._happened("crash the database", name)
            wait_until(self._database_answers, seconds=SERVES_SECONDS_MAX, what="the database to be back")
        return True

    def _database_answers(self) -> bool:
        with suppress(OSError, asyncpg.PostgresError):
            return bool(self._made.instance.rows("select 1"))
        return False

    def _fill_disk(self, chance: random.Random) -> bool:
        disk = self._made.disk
        with self._victim(chance, [list(self._made.agents)[-1]]) as name:
            if name is None or disk is None or disk.fill() == 0:
                return False
            try:
                self._happened("fill a worker's disk", name)
                time.sleep(chance.uniform(*LASTS_SECONDS))
            finally:
                disk.free()
        return True

    def _start_again(self, name: str, program: Program) -> None:
        """As whoever watches over programs does: one that cannot start, because of another fault, is started again."""
        if name in self._made.agents:
            program.start()
            return
        part = self._made.part(name)

        def serves() -> bool:
            if not part.is_running:
                part.start()
            return part.listens

        wait_until(serves, seconds=SERVES_SECONDS_MAX, what=f"{name} to serve again")

    def _note_end_of(self, name: str, program: Program) -> None:
        if program.process is not None and program.process.poll() is not None:
            self.ended_alone.append(name)

    def _happened(self, kind: str, whom: str) -> None:
        self._fired(kind)
        self.struck.append(Struck(kind=kind, whom=whom, at_seconds=time.monotonic()))

    @contextmanager
    def _victim(self, chance: random.Random, names: Iterable[str]) -> Iterator[str | None]:
        """Somebody to whom nothing happens yet, until the end of the block; None if there is nobody."""
        with self._taking:
            free = [name for name in names if name not in self._busy]
            name = chance.choice(free) if free else None
            if name is not None:
                self._busy.add(name)
        try:
            yield name
        finally:
            if name is not None:
                with self._taking:
                    self._busy.discard(name)
