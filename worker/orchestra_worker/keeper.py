"""The keeper: one small process per worker that starts the steps, reads their output and outlives the agent.

Start it with `python -I -X utf8 -m orchestra_worker.keeper FOLDER [--no-cgroups]`. It takes the folder's lock,
listens, and goes on in the background; the call returns 0 as soon as agents can connect, or 3 if another keeper holds
the folder. It ends by itself when it has no step and its agent has taken its leave, or when it has had neither for a
while. It has a single thread and uses the standard library only, because its memory is there on every machine.
"""

import contextlib
import fcntl
import os
import select
import signal
import socket
import sys
from collections.abc import Callable

from orchestra.clock import Clock, SystemClock
from orchestra_worker.cgroup_parent import CgroupParent
from orchestra_worker.keeper_files import OWNER_ONLY
from orchestra_worker.keeper_house import StepHouse
from orchestra_worker.keeper_link import AgentLink, listen
from orchestra_worker.keeper_log import DiskReserve
from orchestra_worker.keeper_protocol import (
    EXIT_FOLDER_IN_USE,
    KEEPER_VERSION,
    LOCK_NAME,
    NO_CGROUPS,
    SOCKET_NAME,
    optional_integer,
    report_document,
)
from orchestra_worker.process_tree import started_ticks

IDLE_SECONDS = 30.0
COMPLAINTS_BYTES_MAX = 64 << 10
SUSPENSION_LOOK_SECONDS = 1.0
"""The selector's clock stops while the machine sleeps, the deadlines' does not: so they are awaited in pieces."""


class Keeper:
    """The loop: steps and agent on one epoll."""

    def __init__(
        self, *, listener: socket.socket, house: StepHouse, clock: Clock, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._listener = listener
        self._house = house
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._idle_since = clock.monotonic()
        self._link: AgentLink | None = None
        self._link_events = 0
        self._is_left = False
        """The agent has ended on purpose, and nobody has come since."""
        self._poll = select.epoll()
        self._poll.register(listener.fileno(), select.EPOLLIN)
        self._wakeup, signals = socket.socketpair()
        signals.setblocking(False)
        signal.set_wakeup_fd(signals.fileno(), warn_on_full_buffer=False)
        self._signals = signals
        self._poll.register(self._wakeup.fileno(), select.EPOLLIN)
        house.attach(self._poll)

    def run(self) -> None:
        """Works until there has been nothing to do for a while."""
        while not self._is_done():
            for descriptor, events in self._poll.poll(self._patience()):
                self._dispatch(descriptor, events)
            if self._link is not None:
                # Everything at once: each call wakes the agent. Before the tick, whose moves between groups may wait.
                self._link.flush()
            self._house.tick()
            self._send_news()
        self._listener.close()

    def ask_to_end(self) -> None:
        """Makes it end as soon as no step runs, agent or not (a machine that shuts down sends SIGTERM)."""
        self._idle_seconds = -1.0

    def _is_done(self) -> bool:
        now = self._clock.monotonic()
        is_needed = self._house.is_busy or (self._link is not None and self._idle_seconds >= 0 and not self._is_left)
        if is_needed:
            self._idle_since = now
            return False
        return self._is_left or now - self._idle_since >= self._idle_seconds

    def _patience(self) -> float | None:
        now = self._clock.monotonic()
        wake_at = self._house.wake_at()
        if wake_at is not None:
            return min(max(wake_at - now, 0.0), SUSPENSION_LOOK_SECONDS)
        if self._link is None and not self._house.is_busy:
            return max(self._idle_since + self._idle_seconds - now, 0.0)
        return None

    def _dispatch(self, descriptor: int, events: int) -> None:
        if self._house.take_event(descriptor):
            return
        if descriptor == self._listener.fileno():
            # Whatever keeps an agent from being heard ends no step.
            with contextlib.suppress(OSError):
                self._welcome(self._listener.accept()[0])
        elif descriptor == self._wakeup.fileno():
            self._wakeup.recv(64)
        elif self._link is not None and descriptor == self._link.fileno() and events & ~select.EPOLLOUT:
            for request in self._link.receive():
                answer = self._answer(request)
                if "id" in request:
                    self._link.answer(answer)

    def _welcome(self, connection: socket.socket) -> None:
        # The newest agent wins: the old one's process may be gone without the socket having noticed.
        self._drop_link()
        self._is_left = False
        self._link = AgentLink(connection)
        self._link_events = select.EPOLLIN
        self._poll.register(self._link.fileno(), self._link_events)
        self._link.answer({"event": "hello", "version": KEEPER_VERSION, "pid": os.getpid()})

    def _send_news(self) -> None:
        news = self._house.take_news()
        if self._link is None:
            return
        for message in news:
            self._link.push(message)
        self._link.flush()
        if self._link.is_broken:
            self._drop_link()
            return
        wanted = select.EPOLLIN | (select.EPOLLOUT if self._link.wants_to_send else 0)
        if wanted != self._link_events:
            self._link_events = wanted
            self._poll.modify(self._link.fileno(), wanted)

    def _drop_link(self) -> None:
        if self._link is not None:
            self._poll.unregister(self._link.fileno())
            self._link.close()
            self._link = None
            self._house.read_on()

    def _answer(self, request: dict[str, object]) -> dict[str, object]:
        number: int | None = None
        try:
            number = optional_integer(request, "id")
            if request.get("do") == "leave":
                self._is_left = True
                request = {"do": "steps"}
            reports = self._house.obey(request)
        except (ValueError, OSError) as error:
            return {"id": number, "error": str(error) or type(error).__name__}
        return {"id": number, "reports": [report_document(report) for report in reports]}


def main(arguments: list[str]) -> int:
    """Takes the folder, goes into the background and keeps its steps."""
    folder = os.path.realpath(arguments[0])
    lock = os.open(f"{folder}/{LOCK_NAME}", os.O_RDWR | os.O_CREAT, OWNER_ONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return EXIT_FOLDER_IN_USE
    listener = listen(folder)
    os.chdir("/")
    _go_into_background(folder)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    clock = SystemClock()
    wants_cgroups = NO_CGROUPS not in arguments[1:]
    # Unique on this machine as long as the folder is there; a hash of its path would cost megabytes of OpenSSL.
    here = os.stat(folder)
    name = f"{here.st_dev:x}-{here.st_ino:x}"
    # A claim names its group for ever, so that no later keeper may use the name again.
    series = f"{os.getpid()}-{started_ticks(os.getpid())}"
    cgroups = CgroupParent.make(f"orchestra-{name}", series=series) if wants_cgroups else None
    house = StepHouse(name=name, reserve=DiskReserve(folder=folder, clock=clock), cgroups=cgroups, clock=clock)
    keeper = Keeper(listener=listener, house=house, clock=clock)
    signal.signal(signal.SIGTERM, _calling(keeper.ask_to_end))
    keeper.run()
    with contextlib.suppress(FileNotFoundError):
        # Still under the lock: no other keeper can have made its socket here. The folder itself may be gone.
        os.unlink(f"{folder}/{SOCKET_NAME}")
    if cgroups is not None:
        cgroups.close()
    return 0


def _go_into_background(folder: str) -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    if os.fork():
        # The caller may go on: what connects now waits in the listener's queue.
        os._exit(0)
    with contextlib.suppress(OSError):
        os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    complaints = os.open(f"{folder}/keeper.stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND, OWNER_ONLY)
    if os.fstat(complaints).st_size > COMPLAINTS_BYTES_MAX:
        os.ftruncate(complaints, 0)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(complaints, 2)
    os.close(null)
    os.close(complaints)


def _calling(function: Callable[[], None]) -> Callable[[int, object], None]:
    def called(_number: int, _frame: object) -> None:
        function()

    return called


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
