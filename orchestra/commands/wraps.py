"""Recording runs that something else starts: `orchestra wrap` says that one began, what it printed, how it ended.

Whatever is said may be said again: the caller's key names the run, the offset the place of each byte, and an end that
is there already stays. So a wrap can keep what it could not deliver, and deliver it days later.
"""

import asyncio

import msgspec
from sqlalchemy import Connection

from orchestra.clock import Clock, Instant, after
from orchestra.errors import Conflict, InvalidFields, NotFound
from orchestra.identifiers import RunId
from orchestra.lifecycle import TERMINAL_STATES, RunEvent, RunState
from orchestra.limits import EXIT_CODE_MAX, WRAP_CHUNK_BYTES_MAX, WRAP_TEXT_CHARACTERS_MAX, WRAPPED_SECONDS_MAX
from orchestra.logs.store import LogPiece, LogStore
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import run_address
from orchestra.queries.runs import project_of_run
from orchestra.storage.audit import record_change
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.jobs import JobRecord, find_job
from orchestra.storage.new_runs import NewRun, run_of
from orchestra.storage.run_events import RunEventRow, add_run_events
from orchestra.storage.wraps import (
    ATTEMPT,
    NewWrap,
    WrapEnd,
    WrapRecord,
    create_wrapped_run,
    end_wrap,
    find_wrap,
    hear_wrap,
)

_KEY_CHARACTERS = range(16, 65)


class WrapStart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a command was started elsewhere."""

    key: str
    """Made by who started it, for this run alone: the same key is the same run, however often it is said."""
    host: str
    account: str
    """The user on that machine."""
    command: str
    """For people; it may be cut."""
    elapsed_seconds: float = 0.0
    """Since the start: a length, because two machines' clocks differ."""


class WrappedEnd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the command ended: with an exit code, or by a signal, or in a way that nobody saw."""

    took_seconds: float
    exit_code: int | None = None
    signal: str | None = None
    """Its name, such as SIGTERM."""
    trouble: str | None = None
    """Why there is neither: the command was not found, say."""


class WrapReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the command has printed from an offset on, and how it ended if it has; with neither it is a sign of life."""

    key: str
    offset: int = 0
    log: bytes = b""
    end: WrappedEnd | None = None


class WrapView(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a wrapped run."""

    run: int
    url: str
    state: RunState
    log_length: int
    """Bytes that are kept: what is behind them must be sent (again)."""


class Wraps:
    """Takes down what wraps tell."""

    def __init__(self, *, database: Database, clock: Clock, logs: LogStore | None) -> None:
        self._database = database
        self._clock = clock
        self._logs = logs
        """None: this process may not write into the folder of the logs."""
        self._writing = asyncio.Lock()

    async def start(self, who: Principal, project: str, name: str, start: WrapStart) -> WrapView:
        """A run of the job that is running elsewhere. Raises NotFound, NotAllowed, InvalidFields, and Conflict for a
        job that is not wrapped."""
        _check_start(start)
        now = self._clock.now()

        def create(connection: Connection) -> WrapView:
            job = find_job(connection, project, name)
            who.require_in(Permission.RUN, job.project_id, "job", f"{project}/{name}")
            if not job.specification.wrapped:
                raise Conflict(
                    f"job {project}/{name} has steps of its own, which workers execute: "
                    "wrap a job that says 'wrapped: true' in its definition"
                )
            self._store()
            run, is_new = create_wrapped_run(connection, _new_run(who, job, start, now), _new_wrap(start, now))
            found = find_wrap(connection, run)
            assert found is not None, "it was just made, or found"
            if is_new:
                detail = f"{project}/{name} on {start.host}"
                record_change(connection, who, at=now, action="run_wrapped", subject=f"run #{run}", detail=detail)
            return _view(found)

        return await self._database.write(create, signals=lambda view: [Signal(Topic.RUN, str(view.run))])

    async def report(self, who: Principal, run: RunId, report: WrapReport) -> WrapView:
        """More of its log, its end, or a sign of life. Raises NotFound, NotAllowed, InvalidFields, and Conflict for
        bytes that begin behind what is kept."""
        _check_report(report)
        found = await self._database.read(lambda connection: self._find(connection, who, run, report.key))
        if found.state in TERMINAL_STATES:
            return await self._too_late(who, found, report)
        if report.offset > found.log_length:
            raise Conflict(f"run #{run} has {found.log_length} bytes of log, a piece begins at {report.offset}")
        length, digest = await self._write_log(found, report)
        now = self._clock.now()

        def take_down(connection: Connection) -> WrapView:
            wrap = find_wrap(connection, run, lock=True)
            assert wrap is not None, "runs do not go away"
            # Another request may have ended it, or kept more of its log, since it was looked at.
            if wrap.state not in TERMINAL_STATES:
                hear_wrap(connection, run, log_length=length, now=now)
                if report.end is not None and wrap.log_length <= length:
                    end = _end_of(wrap, report.end, digest, now)
                    end_wrap(connection, wrap, end, log_length=length, actor=f"wrap on {wrap.host}")
                    words = end.reason or str(end.event)
                    record_change(connection, who, at=now, action="run_wrap_ended", subject=f"run #{run}", detail=words)
            kept = find_wrap(connection, run)
            assert kept is not None, "runs do not go away"
            return _view(kept)

        return await self._database.write(take_down, signals=[Signal(Topic.RUN, str(run))])

    def _find(self, connection: Connection, who: Principal, run: RunId, key: str) -> WrapRecord:
        who.require_in(Permission.RUN, project_of_run(connection, who, run), "run", run)
        found = find_wrap(connection, run)
        if found is None or found.creation_key != _creation_key(who, key):
            raise NotFound("wrapped run with this key", run)
        return found

    async def _too_late(self, who: Principal, wrap: WrapRecord, report: WrapReport) -> WrapView:
        """What comes after the end changes nothing; that another end was told is kept as evidence."""
        if report.end is not None and wrap.state is RunState.EXCEPTION:
            now, words = self._clock.now(), _words(report.end)
            row = RunEventRow(run=wrap.run, at=now, kind="late", actor=who.actor, attempt=ATTEMPT, detail=words)
            await self._database.write(lambda connection: add_run_events(connection, [row]))
        return _view(wrap)

    def _store(self) -> LogStore:
        if self._logs is None:
            raise Conflict("this server records no wrapped runs: it was put together without a store for their logs")
        return self._logs

    async def _write_log(self, wrap: WrapRecord, report: WrapReport) -> tuple[int, str | None]:
        """The log's length afterwards, and its digest if this is the end; synced before anything is committed."""

        logs = self._store()

        def write() -> tuple[int, str | None]:
            # From the committed length each time: another service may have written the piece before.
            logs.resume(wrap.run, ATTEMPT, wrap.log_length)
            try:
                piece = LogPiece(run=wrap.run, attempt=ATTEMPT, offset=report.offset, content=report.log)
                lengths = logs.write([piece] if report.log else [])
                length = lengths.get((wrap.run, ATTEMPT), wrap.log_length)
                return length, None if report.end is None else logs.digest(wrap.run, ATTEMPT)
            finally:
                logs.release(wrap.run, ATTEMPT)

        if not report.log and report.end is None:
            return wrap.log_length, None
        async with self._writing:
            return await asyncio.to_thread(write)


def _creation_key(who: Principal, key: str) -> str:
    return f"wrap {who.user_id} {key}"


def _new_run(who: Principal, job: JobRecord, start: WrapStart, now: Instant) -> NewRun:
    source = f"wrap {start.account}@{start.host}"
    return run_of(job, creation_key=_creation_key(who, start.key), source=source, now=now)


def _new_wrap(start: WrapStart, now: Instant) -> NewWrap:
    begin = after(now, -start.elapsed_seconds)
    return NewWrap(host=start.host, account=start.account, command=start.command, started_at=begin)


def _end_of(wrap: WrapRecord, end: WrappedEnd, digest: str | None, now: Instant) -> WrapEnd:
    event = RunEvent.BROKE
    if end.trouble is None:
        event = RunEvent.SUCCEEDED if end.exit_code == 0 else RunEvent.FAILED
    return WrapEnd(
        event=event,
        reason=_words(end),
        exit_code=end.exit_code,
        log_digest=digest,
        ended_at=min(now, after(wrap.started_at, end.took_seconds)),
    )


def _words(end: WrappedEnd) -> str:
    if end.trouble is not None:
        return end.trouble
    if end.signal is not None:
        return f"ended by {end.signal}"
    return "" if end.exit_code == 0 else f"exit code {end.exit_code}"


def _view(wrap: WrapRecord) -> WrapView:
    return WrapView(run=wrap.run, url=run_address(wrap.run), state=wrap.state, log_length=wrap.log_length)


def _check_start(start: WrapStart) -> None:
    problems = [*_text_problems("/host", start.host), *_text_problems("/account", start.account)]
    if "\0" in start.command or len(start.command) > WRAP_TEXT_CHARACTERS_MAX:
        problems.append(("/command", f"must have at most {WRAP_TEXT_CHARACTERS_MAX} characters, and no NUL"))
    if len(start.key) not in _KEY_CHARACTERS or not start.key.isalnum():
        problems.append(("/key", "must be 16 to 64 letters and digits"))
    if not 0.0 <= start.elapsed_seconds <= WRAPPED_SECONDS_MAX:
        problems.append(("/elapsed_seconds", f"must be from 0 to {WRAPPED_SECONDS_MAX:.0f}"))
    if problems:
        raise InvalidFields(problems)


def _text_problems(pointer: str, text: str) -> list[tuple[str, str]]:
    if 0 < len(text) <= 255 and text.isprintable():
        return []
    return [(pointer, "must be one line of 1 to 255 characters")]


def _check_report(report: WrapReport) -> None:
    problems = []
    if not 0 <= report.offset < 1 << 53:
        problems.append(("/offset", "must be a whole number from 0 on"))
    if len(report.log) > WRAP_CHUNK_BYTES_MAX:
        problems.append(("/log", f"must have at most {WRAP_CHUNK_BYTES_MAX} bytes"))
    end = report.end
    if end is not None:
        if not 0.0 <= end.took_seconds <= WRAPPED_SECONDS_MAX:
            problems.append(("/end/took_seconds", f"must be from 0 to {WRAPPED_SECONDS_MAX:.0f}"))
        if end.exit_code is not None and not 0 <= end.exit_code <= EXIT_CODE_MAX:
            problems.append(("/end/exit_code", "must be a whole number from 0 on"))
        if end.exit_code is None and end.signal is None and end.trouble is None:
            problems.append(("/end", "needs exit_code, signal or trouble"))
        for pointer, text in (("/end/signal", end.signal), ("/end/trouble", end.trouble)):
            problems += [] if text is None else _text_problems(pointer, text)
    if problems:
        raise InvalidFields(problems)
