"""All steps of one keeper, and what an agent may ask about them."""

import contextlib
import os
import select
from collections.abc import Mapping

from orchestra.clock import Clock
from orchestra_worker.cgroup import Cgroup
from orchestra_worker.cgroup_parent import CgroupParent
from orchestra_worker.keeper_files import (
    Claim,
    ClaimFile,
    boot_id,
    is_claimed_by,
    read_report,
    write_claim,
)
from orchestra_worker.keeper_log import NO_ROOM, DiskReserve, LogWriter
from orchestra_worker.keeper_protocol import KEEPER_LOST, StepReport, number, optional_number, report_document, text
from orchestra_worker.keeper_spawn import Order, SpawnFailed, make_pipe, order_from, spawn
from orchestra_worker.keeper_step import KeptStep
from orchestra_worker.process_tree import ProcessTree, become_subreaper, reap_orphans, started_ticks

ORPHAN_LOOK_SECONDS = 5.0
QUICK_SECONDS = 0.05
"""For so long after a start moves between control groups are kept quick: others may follow."""
QUICK_BEAT_SECONDS = 0.005
STEP_DESCRIPTORS = 5
"""Of a running step: its pipe, process, log, index and claim."""
SPARE_DESCRIPTORS = 24
"""For everything else: the agents, the looks into /proc, a step that is just being started."""


class StepHouse:
    """The table of steps: running ones, and ended ones until the agent forgets them."""

    def __init__(self, *, name: str, reserve: DiskReserve, cgroups: CgroupParent | None, clock: Clock) -> None:
        self._name = name
        """Of this worker folder: another worker on this machine may have a step of the same name."""
        self._reserve = reserve
        self._cgroups = cgroups
        self._clock = clock
        self._poll: select.epoll | None = None
        self._open: dict[str, KeptStep] = {}
        """Those that run, and those whose end could not be written yet."""
        self._ended: dict[str, StepReport] = {}
        self._by_descriptor: dict[int, KeptStep] = {}
        self._pids: set[int] = set()
        self._boot = boot_id()
        self._ticks = started_ticks(os.getpid()) or 0
        self._news: list[dict[str, object]] = []
        # With control groups nobody can escape, and orphans may go to init as usual.
        self._adopts = cgroups is None and become_subreaper()
        self._orphan_look_at = 0.0
        self._quick_until = 0.0
        self._quick_beat_at = 0.0
        self._steps_max = max(1, (os.sysconf("SC_OPEN_MAX") - SPARE_DESCRIPTORS) // STEP_DESCRIPTORS)

    def attach(self, poll: select.epoll) -> None:
        """Says where the descriptors of steps are to be watched."""
        self._poll = poll

    @property
    def is_busy(self) -> bool:
        """Whether any step runs."""
        return bool(self._open)

    def wake_at(self) -> float | None:
        """When `tick` is due next, without any other event."""
        due = [moment for step in self._open.values() if (moment := step.wake_at()) is not None]
        if self._adopts and self._open:
            due.append(self._orphan_look_at)
        if self._quick_beat_at < self._quick_until:
            due.append(self._quick_beat_at)
        return min(due) if due else None

    def take_event(self, descriptor: int) -> bool:
        """Works on a step's pipe or process if the descriptor is one; False if it is not."""
        step = self._by_descriptor.get(descriptor)
        if step is None:
            return False
        if descriptor == step.pidfd:
            step.main_ended()
        else:
            step.pump()
        return True

    def tick(self) -> None:
        """Does what is due."""
        self._move_on()
        now = self._clock.monotonic()
        if self._cgroups is not None and self._quick_beat_at < self._quick_until and now >= self._quick_beat_at:
            self._quick_beat_at = now + QUICK_BEAT_SECONDS
            self._cgroups.keep_quick()
        for name, step in list(self._open.items()):
            step.tick(now)
            if step.is_over:
                self._pids.discard(step.pid)
                self._end(name, step, now)
            elif step.take_hint(now):
                self._news.append({"event": "output", "step": name, "length": step.report().log_length})
        if self._adopts and self._open and now >= self._orphan_look_at:
            # Daemonised processes that ended in the meantime would stay as zombies of ours.
            self._orphan_look_at = now + ORPHAN_LOOK_SECONDS
            reap_orphans(self._pids)

    def read_on(self) -> None:
        """Ends every hold: the agent that asked for them is gone."""
        for step in self._open.values():
            step.hold(0.0)

    def take_news(self) -> list[dict[str, object]]:
        """What has happened since the last call, for the agent."""
        news, self._news = self._news, []
        return news

    def obey(self, request: Mapping[str, object]) -> list[StepReport]:
        """Does what the agent asks; raises ValueError for what it cannot ask, OSError if nothing could be done."""
        verb = text(request, "do")
        if verb == "steps":
            running = {name: step.report() for name, step in self._open.items()}
            return list({**running, **self._ended}.values())
        if verb == "spawn":
            return [self._spawn(order_from(request))]
        name = text(request, "step")
        step = self._open.get(name)
        if verb == "forget":
            self._ended.pop(name, None)
            if step is not None and step.is_over:
                # Its end found no room on the disk; now nobody needs it any more.
                self._close(name, step)
        elif verb == "deadline":
            if step is not None:
                step.set_deadline(optional_number(request, "deadline"), text(request, "reason"))
        elif verb == "hold":
            if step is not None:
                step.hold(number(request, "seconds"))
        elif verb == "stop":
            if step is not None:
                if self._cgroups is not None:
                    # Not in the group of a step that may have to be killed as a whole.
                    self._cgroups.ready()
                step.stop(text(request, "reason"), number(request, "grace_seconds"))
        else:
            raise ValueError(f"the keeper cannot {verb!r}")
        return []

    def _move_on(self) -> None:
        """Leaves the group of a step that was just started, once its start was answered."""
        if self._cgroups is not None:
            self._cgroups.move_on()

    def _spawn(self, order: Order) -> StepReport:
        known = self._open.get(order.step)
        if known is not None:
            return known.report()
        found = self._ended.get(order.step) or read_report(order.folder, order.number)
        if found is None:
            return self._start(order)
        if found.state == "running" and is_claimed_by(order.folder, order.number, os.getpid()):
            # Ours, over and forgotten, and its end is gone: only that it was started is known.
            return found._replace(state="unknown", reason=KEEPER_LOST)
        return found

    def _start(self, order: Order) -> StepReport:
        if len(self._open) >= self._steps_max:
            # The next descriptor might be the one by which an agent, or the end of another step, would be heard of.
            raise ValueError(f"this machine's limit of open files allows the worker {self._steps_max} steps at once")
        with contextlib.ExitStack() as undo:
            log = LogWriter(folder=order.folder, reserve=self._reserve, clock=self._clock)
            undo.callback(log.close)
            reader, writer = make_pipe()
            undo.callback(os.close, reader)
            # Kept for the process's descriptor: when it runs it is too late to find that there is none left.
            spare = os.dup(reader)
            undo.callback(os.close, spare)
            with contextlib.ExitStack() as always:
                always.callback(os.close, writer)
                cgroup = self._cgroups.ready() if self._cgroups is not None else None
                # All that may be refused for want of room or descriptors is done before the claim: then nothing is
                # claimed.
                claim = self._write_claim(order, log, cgroup)
                if self._cgroups is not None:
                    # Even if nothing can be started: a claim names it, so that it may never be another step's.
                    self._cgroups.give()
                try:
                    pid = spawn(order, marker=self._marker(order), output=writer)
                except SpawnFailed as failure:
                    if cgroup is not None:
                        cgroup.remove()
                    return self._not_started(order, log, claim, str(failure))
            undo.pop_all()
        os.close(spare)
        tree = ProcessTree(
            marker=self._marker(order),
            leader=pid,
            cgroup=cgroup,
            has_orphans=self._has_orphans if self._adopts else None,
        )
        step = KeptStep(
            order,
            pid=pid,
            pidfd=os.pidfd_open(pid),
            pipe=reader,
            watch=self._watch,
            unwatch=self._unwatch,
            log=log,
            tree=tree,
            claim=claim,
            clock=self._clock,
        )
        claim.add_process(pid, step.started_at)
        self._open[order.step] = step
        if cgroup is not None:
            now = self._clock.monotonic()
            self._quick_until, self._quick_beat_at = now + QUICK_SECONDS, now + QUICK_BEAT_SECONDS
        self._pids.add(pid)
        self._watch(step.pidfd, step)
        self._watch(reader, step)
        return step.report()

    def _write_claim(self, order: Order, log: LogWriter, cgroup: Cgroup | None) -> ClaimFile:
        claim = Claim(
            step=order.step,
            number=order.number,
            marker=self._marker(order),
            keeper=os.getpid(),
            keeper_ticks=self._ticks,
            boot=self._boot,
            log_start=log.start,
            cgroup="" if cgroup is None else cgroup.path,
        )
        try:
            return write_claim(order.folder, claim)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            # A run that has begun goes on with its next step, though its output finds no room.
            self._reserve.free()
            return write_claim(order.folder, claim)

    def _marker(self, order: Order) -> str:
        return f"{order.step}@{self._name}"

    def _not_started(self, order: Order, log: LogWriter, claim: ClaimFile, reason: str) -> StepReport:
        now = self._clock.now()
        report = StepReport(
            step=order.step,
            number=order.number,
            state="ended",
            pid=None,
            log_start=log.start,
            log_length=log.length,
            exit_code=None,
            reason=reason,
            started_at=None,
            ended_at=now,
        )
        self._ended[order.step] = report
        self._news.append(_ended_message(report))
        with contextlib.suppress(OSError):
            # Without it the claim says that the keeper was lost: nothing was executed in either case.
            claim.add_end(report)
        claim.close()
        return report

    def _end(self, name: str, step: KeptStep, now: float) -> None:
        if name not in self._ended:
            report = step.report()
            if not step.write_exit(now):
                self._reserve.free()
                step.write_exit(now)
            self._ended[name] = report
            self._news.append(_ended_message(report))
        elif now >= (step.wake_at() or 0.0):
            step.write_exit(now)
        if step.is_written:
            self._close(name, step)

    def _close(self, name: str, step: KeptStep) -> None:
        step.close()
        del self._open[name]

    def _has_orphans(self) -> bool:
        return reap_orphans(self._pids)

    def _watch(self, descriptor: int, step: KeptStep) -> None:
        self._by_descriptor[descriptor] = step
        if self._poll is not None:
            self._poll.register(descriptor, select.EPOLLIN)

    def _unwatch(self, descriptor: int) -> None:
        del self._by_descriptor[descriptor]
        if self._poll is not None:
            self._poll.unregister(descriptor)


def _ended_message(report: StepReport) -> dict[str, object]:
    return {"event": "ended", "report": report_document(report)}
