"""The oracle: compares what the database and the logs say with what really happened, promise by promise."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import Connection, Row, select

from orchestra.clock import seconds_between
from orchestra.lifecycle import AttemptState, RunState
from orchestra.limits import SECRET_BYTES_MIN
from orchestra.specification import JobSpecification, Overlap
from orchestra.storage.tables import attempts, job_versions, jobs, run_events, runs, schedule_ticks, schedules
from tests.simulation.jobs import SECRET
from tests.simulation.limit_judge import LimitJudge
from tests.simulation.limit_witness import limit_notes
from tests.simulation.pipeline_facts import PipelineFacts
from tests.simulation.pipeline_judge import PipelineJudge
from tests.simulation.pipeline_order import PipelineOrder
from tests.simulation.tick_judge import TickJudge
from tests.simulation.tick_witness import Pass, passes
from tests.simulation.timed_jobs import policy_of
from tests.support.clocks import START

if TYPE_CHECKING:
    from tests.simulation.truth import Spawn
    from tests.simulation.world import World


COMMIT_SECONDS_MAX = 0.1
"""From a reading of the clock until what it dates is committed, by a database that is well."""
_NEVER_RAN = (AttemptState.OFFERED, AttemptState.ACCEPTED, AttemptState.WITHDRAWN)


class Oracle:
    """Reads everything once, then judges."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._truth = world.truth

        def everything(connection: Connection) -> None:
            self._runs = {row.id: row for row in connection.execute(select(runs).order_by(runs.c.id))}
            self._attempts = list(connection.execute(select(attempts).order_by(attempts.c.run_id, attempts.c.number)))
            self._events = list(connection.execute(select(run_events)))
            self._ticks = list(connection.execute(select(schedule_ticks)))
            self._schedules = list(connection.execute(select(schedules)))
            self._passes: dict[int, list[Pass]] = passes(connection) if self._schedules else {}
            self._pipelines = PipelineFacts(connection)
            self._limit_notes = limit_notes(connection)
            self._job_names = {row.id: row.name for row in connection.execute(select(jobs.c.id, jobs.c.name))}
            self._overlaps = {row.job_id: policy_of(row.specification).overlap for row in self._schedules}
            versions = connection.execute(
                select(job_versions.c.id, job_versions.c.specification, jobs.c.name).join(
                    jobs, jobs.c.id == job_versions.c.job_id
                )
            )
            self._jobs: dict[int, tuple[str, JobSpecification]] = {
                row.id: (row.name, msgspec.json.decode(row.specification, type=JobSpecification)) for row in versions
            }

        world.server.file.read(everything)
        self._spawns: dict[tuple[int, int], list[Spawn]] = defaultdict(list)
        for spawn in self._truth.spawns:
            self._spawns[spawn.run, spawn.attempt].append(spawn)

    def violations(self) -> Iterator[str]:
        """Each broken promise as a sentence that begins with its name."""
        yield from self._liveness()
        yield from self._acceptance()
        yield from self._spawned_once()
        yield from self._no_overlap()
        yield from self._slots_kept()
        yield from self._true_ends()
        yield from self._stops_come_before_go()
        yield from self._logs()
        yield from self._ticks_decided()
        yield from self._pipelines_decided()
        yield from self._limits_kept()
        yield from self._nothing_lives_on()

    def _specification(self, run: Row[tuple[object, ...]]) -> JobSpecification:
        return self._jobs[run.job_version_id][1]

    def _liveness(self) -> Iterator[str]:
        ends = Counter(
            event.run_id
            for event in self._events
            if event.kind in ("succeeded", "failed", "aborted", "cancelled", "expired", "skipped", "broke")
        )
        for run in self._runs.values():
            if run.ended_at is not None and ends[run.id] != 1:
                yield f"R1: #{run.id} is {run.state} and has ended {ends[run.id]} times"
        for number, seen in self._truth.seen_over.items():
            row = self._runs[number]
            now = (row.id, row.state, row.reason, row.exit_code, row.ended_at, row.attempt, row.attempts_counted)
            if now != seen:
                yield f"R1: #{number} was over as {seen}, and is {now} now"

    def _acceptance(self) -> Iterator[str]:
        answered = set()
        for request in self._truth.requests:
            if len(set(request.answers)) != 1:
                yield f"R2: {request.key} was answered with {request.answers}"
            answered |= set(request.answers)
        by_people = {run.id for run in self._runs.values() if run.source != "schedule" and run.parent_id is None}
        if by_people != answered:
            yield f"R2: runs nobody was told of or that are missing: {sorted(by_people ^ answered)}"

    def _spawned_once(self) -> Iterator[str]:
        for (number, attempt), spawns in self._spawns.items():
            for step, count in Counter(spawn.step for spawn in spawns).items():
                if count > 1:
                    yield f"R3: #{number} attempt {attempt} step {step} was started {count} times"
        tried = Counter(number for number, _ in self._spawns)
        for number, count in tried.items():
            policy = self._specification(self._runs[number]).retry
            if count > policy.max_attempts:
                yield f"R3: #{number} was tried {count} times, {policy.max_attempts} are allowed"
        for run in self._runs.values():
            spawned, counted = tried[run.id], run.attempts_counted
            if spawned > counted:
                yield f"R3: #{run.id} was tried {spawned} times, {counted} were counted"
        made = Counter(each.run_id for each in self._attempts if each.state not in _NEVER_RAN)
        for run in self._runs.values():
            if run.attempts_counted > made[run.id]:
                yield f"R3: #{run.id} has counted {run.attempts_counted} attempts, {made[run.id]} were made"

    def _no_overlap(self) -> Iterator[str]:
        by_run: dict[int, list[Spawn]] = defaultdict(list)
        for spawn in self._truth.spawns:
            if self._specification(self._runs[spawn.run]).execution.disconnect_stop_seconds is not None:
                by_run[spawn.run].append(spawn)
        for number, spawns in by_run.items():
            for earlier in spawns:
                for later in spawns:
                    ended = self._world.loop.now if earlier.ended_at is None else earlier.ended_at
                    if later.attempt > earlier.attempt and later.began_at < ended:
                        yield f"R5: #{number} attempt {later.attempt} began while attempt {earlier.attempt} ran"

    def _slots_kept(self) -> Iterator[str]:
        """What was given up (its worker's journal lost, or out of contact for too long) is no run any more: when its
        worker is back, another may begin while that one is being ended."""
        given_up = {(each.run_id, each.number) for each in self._attempts if each.state == AttemptState.EXCEPTION}
        counted = {
            key: spawns for key, spawns in self._spawns.items() if key not in given_up | self._truth.excused.keys()
        }
        for worker in self._world.workers:
            changes = []
            for (number, attempt), spawns in counted.items():
                if spawns[0].host == worker.name:
                    slots = self._specification(self._runs[number]).matching.slots
                    ends = [_end(each, self._world) for each in spawns]
                    changes.append((min(each.began_at for each in spawns), slots, number, attempt))
                    changes.append((max(ends), -slots, number, attempt))
            taken = 0
            for at, slots, number, attempt in sorted(changes):
                taken += slots
                if slots > 0 and taken > worker.slots:
                    where = f"#{number} attempt {attempt} began on {worker.name} at {at:.3f}"
                    yield f"R13: {where}, where {taken} slots were taken then, of {worker.slots}"

    def _true_ends(self) -> Iterator[str]:
        for run in self._runs.values():
            name, specification = self._jobs[run.job_version_id]
            where = f"#{run.id} ({name}) {run.state} {run.reason!r}"
            spawns = self._spawns.get((run.id, run.attempt), [])
            asked = run.id in self._truth.stops or self._was_overtaken(run) or self._was_ended_with_others(run)
            if specification.pipeline is not None and run.state not in ("aborted", "cancelled"):
                continue  # It has no processes: what its elements make of it is judged apart.
            match RunState(run.state):
                case RunState.SUCCEEDED:
                    # A teardown that fails is told, and changes nothing.
                    needed = set(range(_steps(specification) - len(specification.execution.teardown)))
                    if not needed <= {spawn.step for spawn in spawns if spawn.exit_code == 0}:
                        yield f"R4: {where}, but its processes ended as {_codes(spawns)}"
                case RunState.FAILED:
                    was_late = run.reason.startswith("timed out") and all(spawn.was_stopped for spawn in spawns)
                    if all(spawn.exit_code == 0 for spawn in spawns) and not was_late:
                        yield f"R4: {where}, but its processes ended as {_codes(spawns)}"
                case RunState.ABORTED:
                    if not asked:
                        yield f"R12: {where}, but nobody asked for it"
                case RunState.CANCELLED:
                    if not asked and not run.reason.startswith("expired"):
                        yield f"R12: {where}, but nobody asked for it"
                    if spawns and not self._waited_for_a_retry(run.id, run.attempt):
                        yield f"R12: {where}, but it ran: {_codes(spawns)}"
                case RunState.EXCEPTION:
                    yield from self._excused(run, where, specification)
        for attempt in self._attempts:
            if attempt.state == AttemptState.EXCEPTION:
                run = self._runs[attempt.run_id]
                where = f"#{run.id} attempt {attempt.number} exception {attempt.reason!r}"
                yield from self._excused(run, where, self._specification(run), attempt=attempt.number)
            if attempt.state == AttemptState.WITHDRAWN and self._spawns.get((attempt.run_id, attempt.number)):
                yield f"R3: #{attempt.run_id} attempt {attempt.number} was withdrawn, but it ran"

    def _was_overtaken(self, run: "Row[tuple[object, ...]]") -> bool:
        """By a later instant of a schedule that stops what came before."""
        return self._overlaps.get(run.job_id) is Overlap.CANCEL_PREVIOUS and any(
            other.job_id == run.job_id and other.id > run.id for other in self._runs.values()
        )

    def _was_ended_with_others(self, run: "Row[tuple[object, ...]]") -> bool:
        """By its pipeline, that was stopped or ends with its first failure."""
        if run.parent_id is None:
            return False
        parent = self._pipelines.pipelines[run.parent_id]
        element = next(each for each in parent.elements() if each.name == run.element)
        return parent.run.stop_requested_at is not None or parent.pipeline.fail_fast or element.fail_fast

    def _stops_come_before_go(self) -> Iterator[str]:
        """Where clocks and commits can be compared: what is accepted after a stop was asked for must not go."""
        if self._truth.faults.keys() & {"clock set", "database away", "database slow", "master without database"}:
            return
        for attempt in self._attempts:
            asked_at = self._runs[attempt.run_id].stop_requested_at
            if asked_at is not None and attempt.accepted_at is not None:
                seconds = seconds_between(asked_at, attempt.accepted_at)
                if seconds > COMMIT_SECONDS_MAX:
                    yield f"R12: #{attempt.run_id} could go {seconds:.1f} s after it was asked to stop"

    def _waited_for_a_retry(self, run: int, number: int) -> bool:
        return any(
            (each.run_id, each.number) == (run, number)
            and each.state in (AttemptState.FAILED, AttemptState.EXCEPTION, AttemptState.WITHDRAWN)
            for each in self._attempts
        )

    def _excused(
        self, run: "Row[tuple[object, ...]]", where: str, specification: JobSpecification, attempt: int | None = None
    ) -> Iterator[str]:
        """Only what was destroyed under a run, or its own policy, may end it as exception."""
        number = run.attempt if attempt is None else attempt
        if (run.id, number) in self._truth.excused or (run.id, number) in self._truth.cut_off:
            return
        may_be_lost = specification.lost_after_seconds < 600
        may_be_stopped = specification.execution.disconnect_stop_seconds is not None
        if "out of contact" in where and (may_be_lost or may_be_stopped):
            silent = [worker.name for worker in self._world.workers if worker.name in where]
            silence = self._world.network.silence_seconds_max(silent)
            if "worker lost" in where and silence < specification.given_up_after_seconds / 2:
                yield f"R8/R9: {where}, but it was never silent for more than {silence:.0f} s"
            return
        # A failed set-up or teardown of the job's own.
        if "set-up" in where and specification.execution.setup:
            return
        yield f"R8/R9: {where}, but nothing was destroyed under it"

    def _logs(self) -> Iterator[str]:
        for attempt in self._attempts:
            key = (attempt.run_id, attempt.number)
            where = f"R6: #{key[0]} attempt {key[1]}"
            written = bytes(self._truth.output.get(key, b""))
            path = self._world.logs / str(attempt.run_id // 1000) / f"{attempt.run_id}-{attempt.number}.log"
            stored = path.read_bytes()[: attempt.log_length] if path.exists() else b""
            if len(stored) != attempt.log_length:
                yield f"{where}: {attempt.log_length} bytes are said, {len(stored)} are there"
            told = attempt.lost_bytes if key in self._truth.cut_off else 0
            if attempt.log_digest and key not in self._truth.excused and len(stored) + told != len(written):
                yield f"{where}: {len(stored)} bytes stored, {told} told as lost, {len(written)} written"
            if stored != _as_stored(written, len(stored), has_ended=bool(attempt.log_digest)):
                yield f"{where}: what is stored is not what was written"

    def _ticks_decided(self) -> Iterator[str]:
        made = {run.creation_key: run.id for run in self._runs.values() if run.source == "schedule"}
        for tick in self._ticks:
            key = f"tick {tick.schedule_id} {tick.due_at}"
            if tick.run_id != made.pop(key, None):
                yield f"R10: {key} was decided as {tick.decision!r} with run {tick.run_id}"
            if tick.decision.startswith("fired") != (tick.run_id is not None):
                yield f"R10: {key} was decided as {tick.decision!r} with run {tick.run_id}"
        if made:
            yield f"R10: runs without a tick: {made}"
        for schedule in self._schedules:
            policy = policy_of(schedule.specification)
            yield from TickJudge(schedule.id, policy).violations(self._passes.get(schedule.id, ()), since=START)
            if policy.overlap is not Overlap.ALLOW:
                yield from self._one_after_the_other(schedule.job_id)

    def _one_after_the_other(self, job: int) -> Iterator[str]:
        """What was given up may still be ended while the next one begins."""
        given_up = {(each.run_id, each.number) for each in self._attempts if each.state == AttemptState.EXCEPTION}
        ran = sorted(
            (min(each.began_at for each in spawns), *key, max(_end(each, self._world) for each in spawns))
            for key, spawns in self._spawns.items()
            if self._runs[key[0]].job_id == job and key not in given_up | self._truth.excused.keys()
        )
        for (_, run, _, ended_at), (began_at, following, _, _) in pairwise(ran):
            if following != run and began_at < ended_at:
                yield f"R10: #{following} began at {began_at:.3f}, while #{run} of the same job ran"

    def _pipelines_decided(self) -> Iterator[str]:
        for pipeline in self._pipelines.pipelines.values():
            if pipeline.run.ended_at is not None:
                yield from PipelineJudge(self._pipelines, pipeline, seed=self._world.seed).violations()
        yield from PipelineOrder(self._pipelines).violations()

    def _limits_kept(self) -> Iterator[str]:
        if self._limit_notes:
            yield from LimitJudge(
                self._world,
                notes=self._limit_notes,
                runs=self._runs,
                attempts=self._attempts,
                job_names=self._job_names,
                spawns=self._spawns,
            ).violations()
            yield from self._world.server.file.read(lambda connection: list(self._world.waits.violations(connection)))

    def _nothing_lives_on(self) -> Iterator[str]:
        for spawn in self._truth.spawns:
            if spawn.ended_at is None:
                yield f"R12: a process of #{spawn.run} attempt {spawn.attempt} lives on {spawn.host}"


def find_violations(world: "World") -> list[str]:
    """What of the promises was broken in this world."""
    return list(Oracle(world).violations())


def _end(spawn: "Spawn", world: "World") -> float:
    return world.loop.now if spawn.ended_at is None else spawn.ended_at


def _steps(specification: JobSpecification) -> int:
    execution = specification.execution
    return len(execution.setup) + len(execution.steps) + len(execution.teardown)


def _codes(spawns: "list[Spawn]") -> list[tuple[int, int | None]]:
    return [(spawn.step, spawn.exit_code) for spawn in spawns]


def _as_stored(written: bytes, length: int, *, has_ended: bool) -> bytes:
    """So many bytes of it without the secret; where a log has ended, with the beginning of one, without that too."""
    secret = SECRET.encode()
    if not has_ended:
        return written.replace(secret, b"*" * len(secret))[:length]
    kept = written[:length]
    starts = (secret[:cut] for cut in range(len(secret) - 1, SECRET_BYTES_MIN - 1, -1))
    cut = next((len(start) for start in starts if kept.endswith(start)), 0)
    return kept[: length - cut].replace(secret, b"*" * len(secret)) + b"*" * cut
