"""A worker's machine: its disk, its keeper, and the processes of steps, which outlive the agent.

The keeper here keeps the promises of the real one (`orchestra_worker.keeper`): a claim before the start, output into
the attempt's log, the exit written down, the news told to the agent that is there.
"""

import asyncio
import contextlib
import json
import os
import random
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestra_worker.keeper_client import StepOrder
from orchestra_worker.keeper_protocol import KEEPER_LOST, MACHINE_RESTARTED, StepReport
from tests.simulation.clock import SimulatedClock
from tests.simulation.loop import SimulatedLoop
from tests.simulation.pipelined_jobs import FOUND, members_found
from tests.simulation.truth import Spawn, Truth

DRAIN_SECONDS = 1.0
"""How long a keeper waits for the output of what a step has left behind."""
END_SECONDS = 0.3
"""How long an agent needs to end what a dead keeper has left."""


@dataclass(kw_only=True)
class Disk:
    """What the worker's disk does."""

    chance: random.Random
    is_full: bool = False
    slow_seconds: float = 0.0
    refusals: int = 0

    def delay(self) -> float:
        """Of half a commit."""
        return 0.0001 + self.chance.random() * (0.003 + self.slow_seconds)


@dataclass(kw_only=True)
class Process:
    """One step that was started."""

    order: StepOrder
    spawn: Spawn
    log_start: int
    boot: int
    keeper: "KeeperProcess"
    is_over: bool = False
    report: StepReport | None = None
    """Its end, as the keeper has written it down."""
    stop_reason: str = ""
    ignores_term: bool = False
    leaves_something: bool = False
    """A descendant goes on writing after the step's own end."""
    waiting: list[bytes] = field(default_factory=list)
    """Output that is held back."""
    holds: int = 0
    """How often it was held back, or let go: only the newest counts."""
    is_held: bool = False
    deadlines: int = 0
    """How often its deadline was set: only the newest counts."""
    heard_at: float = 0.0
    """When it has printed last."""


class KeeperProcess:
    """One life of the keeper."""

    def __init__(self, machine: "Machine") -> None:
        self.machine = machine
        self.is_alive = True
        self.known: dict[str, Process] = {}
        """Steps that were not forgotten yet."""
        self.on_report: Callable[[StepReport], None] | None = None
        self.on_output: Callable[[str, int], None] | None = None
        self.on_death: Callable[[], None] | None = None

    def spawn(self, order: StepOrder) -> StepReport:
        """Starts the step unless it was ever claimed."""
        claimed = self.machine.claim(order.folder, order.number)
        if claimed is not None:
            self.known.setdefault(order.step, claimed)
            return self.machine.report(claimed)
        process = self.machine.start(order, self)
        self.known[order.step] = process
        return self.machine.report(process)


class Machine:
    """One computer with a disk; `crash` is a power failure, `lose_keeper` kills the keeper alone."""

    def __init__(
        self,
        *,
        name: str,
        folder: Path,
        loop: SimulatedLoop,
        clock: SimulatedClock,
        truth: Truth,
        seed: int,
        has_long_steps: bool = False,
    ) -> None:
        self.name = name
        self.folder = folder
        self.loop = loop
        self.clock = clock
        self.truth = truth
        self.chance = random.Random(f"{seed} {name}")
        self.disk = Disk(chance=self.chance)
        self.keeper: KeeperProcess | None = None
        self.boots = 1
        self._seed = seed
        self._has_long_steps = has_long_steps
        self._claims: dict[tuple[str, int], Process] = {}
        self._synced: dict[Path, int] = {}

    @property
    def boot_id(self) -> str:
        """Names this run of the machine."""
        return f"{self.name}-boot-{self.boots}"

    # --- what steps do ---

    def claim(self, folder: Path, number: int) -> Process | None:
        """The claim of a step; it is gone with its folder."""
        process = self._claims.get((str(folder), number))
        if process is not None and not folder.is_dir():
            del self._claims[str(folder), number]
            return None
        return process

    def start(self, order: StepOrder, keeper: KeeperProcess) -> Process:
        """Claims the step, then starts it, by a plan that only the seed and its name decide."""
        run, attempt = (int(part) for part in order.folder.name.split("-"))
        spawn = Spawn(run=run, attempt=attempt, step=order.number, host=self.name, began_at=self.loop.now)
        self.truth.spawns.append(spawn)
        plan = random.Random(f"{self._seed} {order.step}")
        process = Process(
            order=order,
            spawn=spawn,
            log_start=self._log_length(order.folder),
            boot=self.boots,
            keeper=keeper,
            ignores_term=plan.random() < 0.2,
            heard_at=self.loop.now,
        )
        self._claims[str(order.folder), order.number] = process
        seconds = plan.choice((0.0, 0.01, 0.1, 1.0, 5.0, 20.0)) * (0.2 + plan.random())
        length = random.Random(f"{self._seed} {order.step} is long")
        if length.random() < 0.15:
            # Longer than a master waits for a worker that was to end it by itself.
            seconds *= 4
        if self._has_long_steps and length.random() < 0.5:
            seconds = 40.0 + 80.0 * length.random()
        pieces = plan.choice((0, 1, 1, 3, 8))
        for number in range(pieces):
            content = f"{order.step} {number} ".encode() + plan.randbytes(plan.choice((1, 30, 300, 5000)))
            self.loop.in_world(seconds * plan.random(), self._write, process, content)
        if "PARAM_TOKEN" in order.environment:
            # Told in two writes, and still not to be read by anybody.
            secret, at = order.environment["PARAM_TOKEN"].encode(), seconds * plan.random()
            self.loop.in_world(at, self._write, process, b"the token is " + secret[:7])
            self.loop.in_world(at + plan.choice((0.0, 0.5)), self._write, process, secret[7:] + b" now")
        if "PARAM_SIZE" in order.environment:
            found = {FOUND: members_found(order.environment["PARAM_SIZE"])}
            (order.folder / "results.json").write_text(json.dumps(found))
        if "PARAM_POISON" in order.environment:
            self.loop.in_world(0.5 * seconds, lambda: None if process.is_over else self.lose_keeper())
        exit_code = plan.choice((0, 0, 0, 0, 1, 75))
        # The time of an exit is after all of its output, which the pipe keeps in order.
        self.loop.in_world(seconds + 0.0001, self._exit, process, exit_code)
        if plan.random() < 0.1:
            # Something was left behind that still writes, as long as the keeper reads.
            process.leaves_something = True
            content = f"{order.step} left behind".encode()
            self.loop.in_world(seconds + 0.5 * DRAIN_SECONDS, self._write, process, content)
        self.set_deadline(process, order.deadline, order.deadline_reason)
        if order.timeout_seconds is not None:
            self.loop.in_world(order.timeout_seconds, self.stop, process, order.timeout_reason, order.grace_seconds)
        if order.silence_seconds is not None:
            self._listen(process, order.silence_seconds)
        return process

    def set_deadline(self, process: Process, deadline: float | None, reason: str) -> None:
        """The keeper ends the step by itself then."""
        process.deadlines += 1
        mine = process.deadlines
        if deadline is None:
            return

        def look() -> None:
            if process.deadlines == mine:
                self.stop(process, reason, process.order.grace_seconds)

        self.loop.in_world(max(0.0, deadline - self.clock.monotonic()), look)

    def stop(self, process: Process, reason: str, grace_seconds: float) -> None:
        """Asks the step to end, and kills it after the grace."""
        if process.is_over or not process.keeper.is_alive:
            return
        process.stop_reason = process.stop_reason or reason
        process.spawn.was_stopped = True
        wait = grace_seconds if process.ignores_term else 0.01
        self.loop.in_world(wait, self._end, process, -9 if process.ignores_term else -15)

    def hold(self, process: Process, seconds: float) -> None:
        """Leaves the output unread for so long; 0 reads on."""
        if process.is_over:
            return
        process.holds += 1
        mine = process.holds
        if seconds <= 0:
            self._read_on(process)
            return
        process.is_held = True
        self.truth.fault("step held back")

        def lapse() -> None:
            if process.holds == mine:
                self._read_on(process)

        self.loop.in_world(seconds, lapse)

    def report(self, process: Process) -> StepReport:
        """What the step's files say."""
        if process.report is not None:
            return process.report
        is_known = process.keeper.is_alive
        lost = KEEPER_LOST if process.boot == self.boots else MACHINE_RESTARTED
        return StepReport(
            step=process.order.step,
            number=process.order.number,
            state="running" if is_known else "unknown",
            pid=None,
            log_start=process.log_start,
            log_length=self._log_length(process.order.folder),
            exit_code=None,
            reason="" if is_known else lost,
            started_at=None,
            ended_at=None,
        )

    # --- what happens to the machine ---

    def lose_keeper(self) -> None:
        """The keeper dies; its steps go on unread until somebody ends them."""
        if self.keeper is None:
            return
        keeper, self.keeper = self.keeper, None
        keeper.is_alive = False
        self.truth.excuse_running(self.name, "keeper lost")
        for process in keeper.known.values():
            if process.report is None:
                self.truth.excused.setdefault((process.spawn.run, process.spawn.attempt), "keeper lost")
        if keeper.on_death:
            keeper.on_death()

    def end_lost(self, process: Process) -> None:
        """Ends what is left of a step whose keeper is dead."""
        if not process.keeper.is_alive and process.spawn.ended_at is None:
            process.spawn.was_stopped |= not process.is_over
            process.is_over = True
            process.spawn.ended_at = self.loop.now

    async def end_unknown(self, folders: Sequence[Path]) -> None:
        """Ends what is left of steps whose keeper is dead in the folders of attempts that no journal knows."""
        places = {str(folder) for folder in folders}
        left = [process for (folder, _), process in self._claims.items() if folder in places]
        if any(not process.keeper.is_alive and not process.is_over for process in left):
            await asyncio.sleep(END_SECONDS)
        for process in left:
            self.end_lost(process)

    def crash(self) -> None:
        """A power failure: every process is gone, and of the logs what was not synced."""
        self.lose_keeper()
        for key, state in self.journalled():
            if state == "started":
                self.truth.excused.setdefault(key, "power failure")
        for process in self._claims.values():
            if not process.is_over:
                process.is_over = True
                process.spawn.ended_at = self.loop.now
                process.spawn.was_stopped = True
                self.truth.excused[process.spawn.run, process.spawn.attempt] = "power failure"
        for path in sorted(self.folder.glob("attempts/*/log")):
            length = path.stat().st_size
            kept = self.chance.randint(min(self._synced.get(path, 0), length), length)
            os.truncate(path, kept)
            if kept < length:
                run, attempt = path.parent.name.split("-")
                self.truth.cut_off[int(run), int(attempt)] = length - kept
        self.boots += 1
        self.clock.reboot()

    def journalled(self) -> list[tuple[tuple[int, int], str]]:
        """The attempts that the agent's journal knows, with their states."""
        path = self.folder / "worker.db"
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(path)) as journal:
            rows = journal.execute("select run, attempt, state from attempts").fetchall()
        return [((run, attempt), state) for run, attempt, state in rows]

    def lose_journal(self) -> None:
        """The agent's journal is deleted while no agent runs."""
        for key, _ in self.journalled():
            self.truth.excused.setdefault(key, "journal lost")
        for file in self.folder.glob("worker.db*"):
            file.unlink()

    def note_synced(self) -> None:
        """What the logs hold now survives a power failure."""
        for path in self.folder.glob("attempts/*/log"):
            self._synced[path] = path.stat().st_size

    # --- inside ---

    def _listen(self, process: Process, silence_seconds: float) -> None:
        """Ends a step that is silent; who is held back is not."""
        if process.is_over:
            return
        if process.is_held:
            process.heard_at = self.loop.now
        rest = process.heard_at + silence_seconds - self.loop.now
        if rest > 0:
            self.loop.in_world(rest, self._listen, process, silence_seconds)
        else:
            self.stop(process, process.order.silence_reason, process.order.grace_seconds)

    def _write(self, process: Process, content: bytes) -> None:
        if process.report is not None or not process.keeper.is_alive or process.boot != self.boots:
            return
        if process.is_over and not process.leaves_something:
            return
        if process.is_held:
            process.waiting.append(content)
            return
        process.heard_at = self.loop.now
        folder = process.order.folder
        if not folder.is_dir():
            return
        with (folder / "log").open("ab") as log:
            log.write(content)
        self.truth.output.setdefault((process.spawn.run, process.spawn.attempt), bytearray()).extend(content)
        if process.keeper.on_output:
            process.keeper.on_output(process.order.step, self._log_length(folder))

    def _read_on(self, process: Process) -> None:
        """What has waited was in the pipe."""
        process.is_held = False
        waiting, process.waiting = process.waiting, []
        for content in waiting:
            self._write(process, content)

    def _exit(self, process: Process, exit_code: int) -> None:
        if not process.is_over:
            self._end(process, exit_code)

    def _end(self, process: Process, exit_code: int) -> None:
        """The main process is over; its end is told when its output is drained."""
        if process.is_over or process.boot != self.boots:
            return
        self._read_on(process)
        process.is_over = True
        process.spawn.exit_code = exit_code
        wait = DRAIN_SECONDS if process.leaves_something else 0.001
        self.loop.in_world(wait, self._report_end, process, exit_code)

    def _report_end(self, process: Process, exit_code: int) -> None:
        process.spawn.ended_at = process.spawn.ended_at or self.loop.now
        if not process.keeper.is_alive or process.boot != self.boots:
            return
        process.report = StepReport(
            step=process.order.step,
            number=process.order.number,
            state="ended",
            pid=None,
            log_start=process.log_start,
            log_length=self._log_length(process.order.folder),
            exit_code=exit_code,
            reason=process.stop_reason,
            started_at=None,
            ended_at=self.clock.now(),
        )
        if process.keeper.on_report:
            process.keeper.on_report(process.report)

    def _log_length(self, folder: Path) -> int:
        try:
            return (folder / "log").stat().st_size
        except FileNotFoundError:
            return 0
