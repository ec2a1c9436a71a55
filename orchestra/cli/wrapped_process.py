"""Runs somebody else's command and stays out of its way: its output goes where it went before, and is kept besides."""

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Final

from orchestra.cli.wrap_spool import End

_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_FROM_THE_TERMINAL: Final = (signal.SIGINT, signal.SIGQUIT)
_READ_BYTES: Final = 64 << 10
_DRAIN_SECONDS: Final = 2.0
"""After its end, for what a descendant still has in the pipe; who stays in the background is not waited for."""
NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126


class WrappedProcess:
    """One command. It is given our own input, and two pipes, which are read until both are closed."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        keep: Callable[[bytes], None],
        begun: Callable[[], None] = lambda: None,
        is_quiet: bool,
    ) -> None:
        self._command = command
        self._keep = keep
        self._begun = begun
        self._is_quiet = is_quiet
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: list[signal.Signals] = []
        self._is_let_go = False
        self._came_late = False

    def run(self) -> tuple[int, End]:
        """Runs it to its end: the exit code to end with, and what is told of it. Must be called by the main thread.

        `begun` is called as soon as it runs.
        """
        for number in _PASSED_ON:
            signal.signal(number, self._pass_on)
        begin = time.monotonic()
        try:
            process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except OSError as error:
            code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
            words = f"{self._command[0][:120]!r} cannot be started: {(error.strerror or str(error)).lower()}"
            with suppress(OSError):
                os.write(2, f"orchestra wrap: {words}\n".encode())
            self._begun()
            return code, End(took_seconds=0.0, trouble=words)
        self._process = process
        self._begun()
        for number in self._asked:
            process.send_signal(number)
        self._pump(process)
        status = process.wait()
        took = time.monotonic() - begin
        if status < 0:
            return 128 - status, End(took_seconds=took, signal=_name_of(-status))
        return status, End(took_seconds=took, exit_code=status)

    def let_go(self) -> None:
        """It is over and kept: from now on the first signal is meant for us, and raises KeyboardInterrupt."""
        self._is_let_go = True
        if self._came_late:
            _ignore_signals()
            raise KeyboardInterrupt

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        if self._is_let_go:
            _ignore_signals()
            raise KeyboardInterrupt
        asked = signal.Signals(number)
        if asked in _FROM_THE_TERMINAL and _is_in_front():
            # The terminal has sent it to the command as well.
            return
        if self._process is None:
            self._asked.append(asked)
        elif self._process.poll() is not None:
            self._came_late = True
        else:
            self._process.send_signal(asked)

    def _pump(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        ended, tell_end = os.pipe()
        # A wait that a selector can see, on every system.
        threading.Thread(target=_wait, args=(process, tell_end), name="wrapped process", daemon=True).start()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ, 1)
            selector.register(process.stderr, selectors.EVENT_READ, 2)
            selector.register(ended, selectors.EVENT_READ)
            deadline: float | None = None
            open_pipes = 2
            while open_pipes:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                for key, _ in selector.select(left):
                    if key.data is None:
                        selector.unregister(ended)
                        deadline = time.monotonic() + _DRAIN_SECONDS
                    elif not self._take(key.fd, key.data):
                        selector.unregister(key.fileobj)
                        open_pipes -= 1
        os.close(ended)

    def _take(self, pipe: int, own: int) -> bool:
        """Takes what is there; False at the end."""
        content = os.read(pipe, _READ_BYTES)
        if content and not self._is_quiet:
            _write(own, content)
        if content:
            self._keep(content)
        return bool(content)


def _ignore_signals() -> None:
    for number in _PASSED_ON:
        signal.signal(number, signal.SIG_IGN)


def _wait(process: subprocess.Popen[bytes], tell_end: int) -> None:
    process.wait()
    os.close(tell_end)


def _write(descriptor: int, content: bytes) -> None:
    # Whoever read our output may have gone: that is no reason to end the command, whose log is kept.
    with suppress(OSError):
        while content:
            content = content[os.write(descriptor, content) :]


def _is_in_front() -> bool:
    """Whether we are what a terminal's keys are meant for."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
