"""The life of one step in the keeper: its output is pumped, its deadline held, its tree ended, its end written down."""

import os
from collections.abc import Callable

from orchestra.clock import Clock, Instant
from orchestra.limits import LEFTOVER_GRACE_SECONDS, STEP_DRAIN_SECONDS
from orchestra_worker.keeper_files import CHECK_INS_NAME, ClaimFile
from orchestra_worker.keeper_log import LogWriter
from orchestra_worker.keeper_protocol import StepReport
from orchestra_worker.keeper_silence import Silence
from orchestra_worker.keeper_spawn import Order
from orchestra_worker.process_tree import ProcessTree

LOOK_AGAIN_SECONDS = 0.01
KILL_SECONDS_MAX = 2.0
"""What survives SIGKILL for so long hangs in the kernel; the step ends without it."""
HANGING_LOOK_SECONDS = 1.0
EXIT_AGAIN_SECONDS = 1.0
HINT_SECONDS = 0.05
DRAIN_BYTES_MAX = 64 << 20
READ_BUFFER = bytearray(256 << 10)
"""One for all steps: the keeper has a single thread."""


class KeptStep:
    """One step from its spawn to its end. The keeper calls `pump`, `main_ended` and `tick`, and asks `wake_at`."""

    def __init__(
        self,
        order: Order,
        *,
        pid: int,
        pidfd: int,
        pipe: int,
        watch: Callable[[int, "KeptStep"], None],
        unwatch: Callable[[int], None],
        log: LogWriter,
        tree: ProcessTree,
        claim: ClaimFile,
        clock: Clock,
    ) -> None:
        self.order = order
        self.pid = pid
        self.pidfd = pidfd
        self.pipe: int | None = pipe
        self.is_over = False
        self.is_written = False
        self._watch = watch
        self._unwatch = unwatch
        self._log = log
        self._tree = tree
        self._claim = claim
        self._clock = clock
        self.started_at = clock.now()
        self._ended_at: Instant | None = None
        self._exit_code: int | None = None
        self._reason = ""
        self._deadline = order.deadline
        self._deadline_reason = order.deadline_reason
        now = clock.monotonic()
        self._limit_at = None if order.timeout_seconds is None else now + order.timeout_seconds
        self._silence: Silence | None = None
        if order.silence_seconds is not None:
            check_ins = f"{order.folder}/{CHECK_INS_NAME}"
            self._silence = Silence(seconds=order.silence_seconds, check_ins=check_ins, now=now)
        self._kill_at: float | None = None
        self._killed_first: float | None = None
        self._look_at: float | None = None
        self._has_terminated_leftovers = False
        self._hint_at: float | None = None
        self._hint_not_before = now + HINT_SECONDS
        self._write_exit_at = 0.0
        self._held_until: float | None = None

    # --- what happens ---

    def pump(self) -> bool:
        """Takes what is in the pipe, once; False if there was nothing. At the pipe's end `pipe` is None."""
        if self.pipe is None:
            return False
        try:
            count = os.readv(self.pipe, [READ_BUFFER])
        except BlockingIOError:
            return False
        if count == 0:
            self._close_pipe()
            if self._ended_at is not None:
                self._look_at = 0.0
            return False
        self._log.write(memoryview(READ_BUFFER)[:count])
        if self._silence is not None:
            self._silence.heard(self._clock.monotonic())
        if self._hint_at is None:
            self._hint_at = max(self._hint_not_before, self._clock.monotonic())
        return True

    def main_ended(self) -> None:
        """Notes how the main process ended, if it has, without collecting it: its pid and group cannot be used
        again."""
        result = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if result is None:
            return
        self._unwatch(self.pidfd)
        # What is in the pipe was written before; a descendant that writes on has no more than the drain for it.
        self._read_on()
        self._exit_code = result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
        self._ended_at = self._clock.now()
        # With the pipe at its end there is nothing to wait for; else a descendant may have more to say.
        self._look_at = 0.0 if self.pipe is None else self._clock.monotonic() + STEP_DRAIN_SECONDS

    def hold(self, seconds: float) -> None:
        """Leaves the output unread for so long, so that whoever writes has to wait; 0 reads on.

        It ends by itself, and with the main process: an agent that is gone, or asleep, holds nobody back.
        """
        if seconds <= 0:
            self._read_on()
        elif self.pipe is not None and self._ended_at is None:
            if self._held_until is None:
                # Not only without events: a hang-up is told whether one asks for it or not.
                self._unwatch(self.pipe)
            self._held_until = self._clock.monotonic() + seconds

    def set_deadline(self, deadline: float | None, reason: str) -> None:
        """Moves the moment at which the keeper itself ends the step."""
        self._deadline = deadline
        self._deadline_reason = reason

    def stop(self, reason: str, grace_seconds: float) -> None:
        """Asks the whole tree to end, and kills it after the grace; a later stop can only shorten that."""
        kill_at = self._clock.monotonic() + max(grace_seconds, 0.0)
        if self._kill_at is not None:
            self._kill_at = min(self._kill_at, kill_at)
            return
        if self._ended_at is None:
            self._reason = reason
        self._kill_at = kill_at
        self._tree.terminate()

    # --- time ---

    def wake_at(self) -> float | None:
        """When `tick` is due next, without any other event."""
        if self.is_over:
            return None if self.is_written else self._write_exit_at
        due = [self._hint_at, self._look_at]
        if self._ended_at is None:
            due.append(self._held_until)
            if self._kill_at is None:
                due += [self._deadline, self._limit_at]
                if self._silence is not None and self._held_until is None:
                    due.append(self._silence.look_at)
            else:
                due.append(self._kill_at)
        return min((moment for moment in due if moment is not None), default=None)

    def tick(self, now: float) -> None:
        """Does what is due."""
        if self.is_over:
            return
        if self._held_until is not None and now >= self._held_until:
            self._read_on()
        if self._ended_at is not None:
            if self._look_at is not None and now >= self._look_at:
                self._end_leftovers(now)
        elif self._kill_at is not None:
            if now >= self._kill_at:
                self._kill(now)
        elif self._deadline is not None and now >= self._deadline:
            self.stop(self._deadline_reason, self.order.grace_seconds)
        elif self._limit_at is not None and now >= self._limit_at:
            self.stop(self.order.timeout_reason, self.order.grace_seconds)
        # Whoever is held back may have much to say.
        elif self._silence is not None and self._held_until is None and self._silence.is_too_long(now):
            self.stop(self.order.silence_reason, self.order.grace_seconds)

    def take_hint(self, now: float) -> bool:
        """Whether it is time to say that the log grew; said at most once each 50 ms."""
        if self._hint_at is None or now < self._hint_at:
            return False
        self._hint_at = None
        self._hint_not_before = now + HINT_SECONDS
        return True

    def report(self) -> StepReport:
        """What is known now."""
        return StepReport(
            step=self.order.step,
            number=self.order.number,
            state="ended" if self.is_over else "running",
            pid=self.pid,
            log_start=self._log.start,
            log_length=self._log.length,
            exit_code=self._exit_code if self.is_over else None,
            reason=self._reason if self.is_over else "",
            started_at=self.started_at,
            ended_at=self._ended_at if self.is_over else None,
            lost=self._log.lost,
        )

    def write_exit(self, now: float) -> bool:
        """Tries to put the end on the disk; if there is no room it is tried again."""
        try:
            self._claim.add_end(self.report())
        except OSError:
            self._write_exit_at = now + EXIT_AGAIN_SECONDS
        else:
            self.is_written = True
        return self.is_written

    def close(self) -> None:
        """Lets the claim go, once its end is in it or nobody needs it any more."""
        self._claim.close()

    # --- the end ---

    def _end_leftovers(self, now: float) -> None:
        self._look_at = now + LOOK_AGAIN_SECONDS
        if not self._tree.has_leftovers():
            self._finish()
        elif not self._has_terminated_leftovers:
            self._has_terminated_leftovers = True
            self._tree.terminate()
            grace_ends = now + LEFTOVER_GRACE_SECONDS
            self._kill_at = grace_ends if self._kill_at is None else min(self._kill_at, grace_ends)
        elif self._kill_at is not None and now >= self._kill_at:
            self._kill(now)
            if self._hangs(now):
                self._finish()

    def _kill(self, now: float) -> None:
        self._tree.kill()
        if self._killed_first is None:
            self._killed_first = now
        self._kill_at = now + (HANGING_LOOK_SECONDS if self._hangs(now) else LOOK_AGAIN_SECONDS)

    def _hangs(self, now: float) -> bool:
        return self._killed_first is not None and now >= self._killed_first + KILL_SECONDS_MAX

    def _finish(self) -> None:
        taken = self._log.length
        while self.pump() and self._log.length < taken + DRAIN_BYTES_MAX:
            pass
        self._close_pipe()
        self.is_over = True
        os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        self._tree.remove()
        self._log.close()

    def _read_on(self) -> None:
        if self._held_until is not None:
            self._held_until = None
            if self._silence is not None:
                self._silence.heard(self._clock.monotonic())
            if self.pipe is not None:
                self._watch(self.pipe, self)

    def _close_pipe(self) -> None:
        if self.pipe is not None:
            # Closing it would not do: a process that is just being spawned has a copy for a moment, the poll would go
            # on telling of this number, and the next descriptor that gets it would be believed to have something.
            self._unwatch(self.pipe)
            os.close(self.pipe)
            self.pipe = None
