"""The agent's side of the keeper: find or start it, give it steps, and hear how they end."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from orchestra.clock import Clock
from orchestra_worker.keeper_errors import KeeperAway, KeeperRefused
from orchestra_worker.keeper_files import read_report
from orchestra_worker.keeper_lost import StepPlace, end_lost_steps, end_unknown_steps
from orchestra_worker.keeper_protocol import (
    EXIT_FOLDER_IN_USE,
    KEEPER_VERSION,
    NO_CGROUPS,
    SOCKET_NAME,
    StepReport,
    decode_object,
    encode_line,
    integer,
    text,
)
from orchestra_worker.keeper_wire import KeeperMessage, KeeperWire, decode_message

__all__ = ["KeeperClient", "StepOrder", "StepPlace", "StepReport"]

CONNECT_SECONDS_MAX = 20.0
CONNECT_AGAIN_SECONDS = 0.02
ANSWER_SECONDS_MAX = 30.0
LEAVE_SECONDS_MAX = 1.0
DEATH_SECONDS_MAX = 2.0
"""The socket of a keeper that dies breaks first, its process is gone within this time."""

_encode = msgspec.json.Encoder().encode
"""Quicker than the keeper's own, which has nothing but the standard library."""


@dataclass(frozen=True, kw_only=True)
class StepOrder:
    """One process to run."""

    step: str
    """"<run>-<attempt>-<step number>", unique for ever; its processes carry it in ORCHESTRA_STEP."""
    folder: Path
    """The attempt's folder: `log`, `log.index`, `<number>.claim` and `<number>.exit` live here."""
    number: int
    argv: tuple[str, ...]
    """argv[0] is absolute and resolved."""
    directory: Path
    environment: Mapping[str, str]
    deadline: float | None
    """Seconds of the clock's `monotonic` at which the keeper itself ends the step."""
    deadline_reason: str
    grace_seconds: float
    timeout_seconds: float | None = None
    """From the step's start, held by the keeper itself: an agent that comes back begins nothing anew."""
    timeout_reason: str = ""
    silence_seconds: float | None = None
    """Without output and without a check-in, likewise."""
    silence_reason: str = ""


class KeeperClient:
    """A connection to the keeper of one worker folder.

    `on_report` is called once for each end of a step, also of one that ended while no agent was there (`steps` tells
    of it), `on_output` from time to time when a log grew, `on_lost` once when the connection broke, which is when the
    keeper died: call `lost_steps` then, and `connect` again. Calls raise KeeperAway while there is no keeper, and
    KeeperRefused when it could not do what was asked (nothing was started then).
    """

    def __init__(
        self,
        *,
        folder: Path,
        clock: Clock,
        on_report: Callable[[StepReport], None],
        on_output: Callable[[str, int], None],
        on_lost: Callable[[], None],
        use_cgroups: bool = True,
    ) -> None:
        self._folder = folder.absolute()
        self._clock = clock
        self._on_report = on_report
        self._on_output = on_output
        self._on_lost = on_lost
        self._options = () if use_cgroups else (NO_CGROUPS,)
        self._wire: KeeperWire | None = None
        self._listener: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Future[tuple[StepReport, ...]]] = {}
        self._announced: set[str] = set()
        """Ended steps that `on_report` has heard of: an end may be in an answer and in the news."""
        self._requests = 0
        self._pid = 0
        self._is_connecting = False
        """`connect` has begun and not succeeded: a keeper may be coming up."""

    @property
    def pid(self) -> int:
        """The keeper's process."""
        return self._pid

    async def connect(self) -> None:
        """Connects to the folder's keeper, and starts one if there is none; raises KeeperAway if that does not work.

        A keeper of another version has a socket and a lock of another name: it finishes its steps undisturbed beside
        the new one: `read_step` says by the files that they run, and later how they ended.
        """
        await self.close()
        self._is_connecting = True
        give_up_at = self._clock.monotonic() + CONNECT_SECONDS_MAX
        cause = "it never answered"
        while self._clock.monotonic() < give_up_at:
            try:
                await self._connect_once()
                self._is_connecting = False
                return
            except (OSError, EOFError, ValueError, TimeoutError) as error:
                cause = str(error) or type(error).__name__
            await self._start_keeper()
            await asyncio.sleep(CONNECT_AGAIN_SECONDS)
        raise KeeperAway(str(self._folder), cause)

    async def steps(self) -> tuple[StepReport, ...]:
        """The steps the keeper knows: those that run, and those that ended and are not forgotten yet."""
        return await self._ask({"do": "steps"})

    async def spawn(self, order: StepOrder) -> StepReport:
        """Starts the step, or answers how it stands if it was ever started."""
        request = {
            "do": "spawn",
            "step": order.step,
            "folder": str(order.folder),
            "number": order.number,
            "argv": order.argv,
            "directory": str(order.directory),
            "environment": dict(order.environment),
            "deadline": order.deadline,
            "deadline_reason": order.deadline_reason,
            "grace_seconds": order.grace_seconds,
            "timeout_seconds": order.timeout_seconds,
            "timeout_reason": order.timeout_reason,
            "silence_seconds": order.silence_seconds,
            "silence_reason": order.silence_reason,
        }
        (report,) = await self._ask(request)
        return report

    async def set_deadline(self, step: str, deadline: float | None, reason: str) -> None:
        """Moves or removes the moment at which the keeper itself ends the step."""
        await self._ask({"do": "deadline", "step": step, "deadline": deadline, "reason": reason})

    async def stop(self, step: str, reason: str, grace_seconds: float) -> None:
        """Ends the step's whole tree: asks at first, kills after the grace. Its report follows."""
        await self._ask({"do": "stop", "step": step, "reason": reason, "grace_seconds": grace_seconds})

    def hold(self, step: str, seconds: float) -> None:
        """Lets the keeper leave the step's output unread for so long, so that it has to wait; 0 reads on.

        Nobody answers. Without a keeper it does nothing, nor does a keeper that is too old to know of it.
        """
        with contextlib.suppress(KeeperAway):
            self._tell({"do": "hold", "step": step, "seconds": seconds})

    async def forget(self, step: str) -> None:
        """Lets the keeper drop an ended step; its files are the caller's to remove."""
        self._announced.discard(step)
        self._tell({"do": "forget", "step": step})

    async def lost_steps(self, places: Sequence[StepPlace]) -> tuple[StepReport, ...]:
        """Ends what is left of steps whose keeper is dead, and says what their files know.

        A step that was never claimed is left out: it may be spawned. One whose keeper lives (of another version, say)
        is "running".
        """
        return await end_lost_steps(places, clock=self._clock)

    async def end_unknown(self, folders: Sequence[Path]) -> None:
        """Ends what is left in the folders of attempts that nobody knows any more of steps whose keeper is dead."""
        await end_unknown_steps(folders, clock=self._clock)

    def read_step(self, folder: Path, number: int) -> StepReport | None:
        """What the files say of a step, keeper or not; None if it was never started."""
        return read_report(str(folder), number)

    async def leave(self) -> None:
        """Tells the keeper that this agent ends on purpose: it ends too as soon as no step runs, and is awaited for a
        moment if none does."""
        with contextlib.suppress(KeeperAway, KeeperRefused, TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS_MAX):
                while self._is_connecting:
                    # Ended while it was started: without a word it would wait for us for half a minute.
                    with contextlib.suppress(OSError, EOFError, ValueError):
                        await self._connect_once()
                        self._is_connecting = False
                    await asyncio.sleep(CONNECT_AGAIN_SECONDS)
                listener = self._listener
                reports = await self._ask({"do": "leave"})
                if listener is not None and not any(report.state == "running" for report in reports):
                    await asyncio.wait({listener})

    async def close(self) -> None:
        """Leaves the keeper alone: its steps go on."""
        listener, self._listener = self._listener, None
        if listener is not None and listener is not asyncio.current_task():
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener
        await self._disconnect()

    # --- connecting ---

    async def _connect_once(self) -> None:
        # Through the folder's descriptor, because the path may be longer than a socket's address may be.
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            connection.connect(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
            loop = asyncio.get_running_loop()
            _, wire = await loop.create_unix_connection(lambda: KeeperWire(on_line=self._hear), sock=connection)
        except BaseException:
            connection.close()
            raise
        finally:
            os.close(folder)
        self._wire = wire  # News may come in one piece with the greeting.
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                hello = decode_object(await wire.greeting)
            if text(hello, "event") != "hello" or integer(hello, "version") != KEEPER_VERSION:
                raise ValueError(f"it speaks version {hello.get('version')}, not {KEEPER_VERSION}")
            self._pid = integer(hello, "pid")
            death = os.pidfd_open(self._pid)
        except BaseException:
            self._wire = None
            wire.close()
            raise
        self._listener = asyncio.create_task(self._watch(wire, death), name="keeper link")

    async def _start_keeper(self) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-I",
                    "-X",
                    "utf8",
                    "-m",
                    "orchestra_worker.keeper",
                    str(self._folder),
                    *self._options,
                ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                cwd="/",
            )
        except OSError as error:
            raise KeeperAway(str(self._folder), str(error)) from error
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                _, complaint = await process.communicate()
        except TimeoutError:
            process.kill()
            raise KeeperAway(str(self._folder), "it did not come up") from None
        if process.returncode not in (0, EXIT_FOLDER_IN_USE):
            lines = complaint.decode("utf-8", "replace").strip().splitlines()
            raise KeeperAway(str(self._folder), lines[-1] if lines else f"it ended with {process.returncode}")

    async def _disconnect(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()
            await wire.closed.wait()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(KeeperAway(str(self._folder), "the connection broke"))
        self._answers.clear()

    # --- talking ---

    async def _ask(self, request: Mapping[str, object]) -> tuple[StepReport, ...]:
        answer = self._send(request)
        # By a timer of its own: asyncio's `timeout` costs as much as the rest of a call.
        timer = asyncio.get_running_loop().call_later(ANSWER_SECONDS_MAX, self._give_up, answer)
        try:
            return await answer
        finally:
            timer.cancel()

    def _give_up(self, answer: asyncio.Future[tuple[StepReport, ...]]) -> None:
        if not answer.done():
            answer.set_exception(KeeperAway(str(self._folder), f"it did not answer for {ANSWER_SECONDS_MAX:.0f} s"))

    def _send(self, request: Mapping[str, object]) -> asyncio.Future[tuple[StepReport, ...]]:
        self._requests += 1
        self._tell({**request, "id": self._requests})
        answer: asyncio.Future[tuple[StepReport, ...]] = asyncio.get_running_loop().create_future()
        self._answers[self._requests] = answer
        return answer

    def _tell(self, request: Mapping[str, object]) -> None:
        """Without an "id" it is not answered."""
        if self._wire is None:
            raise KeeperAway(str(self._folder), "there is no connection")
        self._wire.send(_encoded(request))

    async def _watch(self, wire: KeeperWire, death: int) -> None:
        try:
            await wire.closed.wait()
            await self._disconnect()
            # If it lives, it has only dropped us, and `lost_steps` will find its steps running.
            await _wait_readable(death, DEATH_SECONDS_MAX)
        finally:
            os.close(death)
        self._listener = None
        self._on_lost()

    def _hear(self, line: bytes) -> None:
        message = decode_message(line)
        if message.event is None:
            self._take_answer(message)
        elif message.event == "ended" and message.report is not None:
            self._announce(message.report.report())
        elif message.event == "output":
            self._on_output(message.step, message.length)
        elif message.event == "missed":
            # Its news did not fit into the socket: the answer to this tells what became of every step.
            self._send({"do": "steps"}).add_done_callback(self._catch_up)

    def _catch_up(self, answer: asyncio.Future[tuple[StepReport, ...]]) -> None:
        if answer.cancelled() or answer.exception() is not None:
            return
        for report in answer.result():
            if report.state == "running":
                self._on_output(report.step, report.log_length)

    def _take_answer(self, message: KeeperMessage) -> None:
        reports = tuple(document.report() for document in message.reports)
        answer = self._answers.pop(message.id, None) if message.id is not None else None
        if answer is not None and not answer.done():
            if message.error is None:
                answer.set_result(reports)
            else:
                answer.set_exception(KeeperRefused(message.error))
        for report in reports:
            if report.state == "ended":
                self._announce(report)

    def _announce(self, report: StepReport) -> None:
        if report.step not in self._announced:
            self._announced.add(report.step)
            self._on_report(report)


def _encoded(request: Mapping[str, object]) -> bytes:
    try:
        return _encode(request) + b"\n"
    except UnicodeEncodeError:
        # A name or a value of the machine that is no UTF-8.
        return encode_line(request)


async def _wait_readable(descriptor: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        async with asyncio.timeout(seconds):
            await readable.wait()
    except TimeoutError:
        pass
    finally:
        loop.remove_reader(descriptor)
