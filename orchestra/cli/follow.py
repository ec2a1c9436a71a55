"""Staying with a run until it is over: its log as it grows, why it waits, and how it ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from orchestra.cli.answers import Run, Waiting
from orchestra.cli.exits import EXIT_OF_RUN, ExitCode
from orchestra.cli.formats import elapsed, length_in_words
from orchestra.cli.invocation import Invocation
from orchestra.cli.terminal import LogGuard, plain
from orchestra.network.client import api
from orchestra.network.event_stream import COMMENT, ServerEvent
from orchestra.network.problems import RequestRefused, ServerUnreachable

LOOK_SECONDS: Final = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
"""The pauses between two looks at a run that is waited for; the last one repeats."""
SILENCE_SECONDS: Final = (2.0, 4.0, 8.0, 20.0)
"""How long a log may be silent before the run is asked how it is; the last one repeats."""
AWAY_SECONDS_MAX: Final = 900.0
"""How long a server may be away while a run is followed: it may be restarting, and the run goes on without it."""


class LogPiece(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a log in a stream."""

    text: str = ""
    offset: int = 0
    attempt: int | None = None


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the watch ended: with the run's last word, or with the watcher's patience."""

    run: Run | None
    body: bytes = b"null"


class RunWatch:
    """Watches one run; stops when it is over or the deadline has come."""

    def __init__(
        self, *, call: Invocation, run: int, seconds_max: float | None, first_attempt: int | None = None
    ) -> None:
        self._call = call
        self._client = call.client()
        self._run = run
        self._deadline = None if seconds_max is None else call.beat.monotonic() + seconds_max
        self._first_attempt = first_attempt
        """From which attempt on the log is followed; None is the newest."""
        self._last_id: str | None = None
        self._attempt: int | None = None
        self._told = ""
        self._away_since: float | None = None

    def wait(self, *, on_look: Callable[[], None] = lambda: None) -> Ending:
        """Look at the run in growing pauses until it is over; `on_look` is called after each look, the last one too."""
        index = 0
        while True:
            ending = self._look_patiently()
            on_look()
            if ending is not None:
                return ending
            if self._is_late():
                return Ending(run=None)
            self._pause(LOOK_SECONDS[min(index, len(LOOK_SECONDS) - 1)])
            index += 1

    def follow(self) -> Ending:
        """Print the log while it grows; a lost connection is taken up again where it broke."""
        guard = self._call.screen.guard()
        silences = 0
        try:
            while not self._is_late():
                heard, ended = self._stream_once(guard, SILENCE_SECONDS[min(silences, len(SILENCE_SECONDS) - 1)])
                silences = 0 if heard else silences + 1
                if heard and ended is None:
                    continue
                # The stream's last word lacks the results.
                ending = self._look_patiently(tell=not heard) or ended
                if ending is not None:
                    return ending
            return Ending(run=None)
        finally:
            if guard is not None:
                self._call.screen.write(guard.end())

    def _stream_once(self, guard: LogGuard | None, silence_seconds: float) -> tuple[bool, Ending | None]:
        """One connection's worth of the log: whether anything came, and the ending if it came."""
        heard = False
        bound = min(silence_seconds, self._left(silence_seconds))
        path = api("runs", self._run, "log", "stream")
        query = {"attempt": self._first_attempt} if self._last_id is None else {}
        try:
            with self._client.events(path, query, last_id=self._last_id, seconds_max=max(bound, 0.05)) as events:
                for event in events:
                    self._away_since = None
                    if event.name == COMMENT and not heard:
                        self._look_patiently(tell=True)
                    if event.name == "end":
                        return True, Ending(run=_run_of(event), body=event.text.encode())
                    heard = self._show(event, guard) or heard
            # A server that closes at once, again and again, must not be asked in a busy loop.
            self._pause(LOOK_SECONDS[0])
        except TimeoutError:
            pass
        except ServerUnreachable as error:
            self._stay_calm(error)
        return heard, None

    def _show(self, event: ServerEvent, guard: LogGuard | None) -> bool:
        if event.name != "log":
            return False
        piece = msgspec.json.decode(event.text, type=LogPiece)
        if piece.attempt is not None and piece.attempt != self._attempt:
            if self._attempt is not None:
                self._call.screen.note(f"-- attempt {piece.attempt}")
            self._attempt = piece.attempt
        self._last_id = event.id or self._last_id
        self._call.screen.write(piece.text if guard is None else guard.clean(piece.text))
        return True

    def _look_patiently(self, *, tell: bool = False) -> Ending | None:
        """The ending, if the run is over; a server that is away is waited for, because the run goes on without it."""
        try:
            answer = self._client.get(api("runs", self._run))
        except ServerUnreachable as error:
            self._stay_calm(error)
            return None
        except RequestRefused as error:
            if error.problem.status != 503:
                raise
            self._stay_calm(ServerUnreachable(self._client.server, str(error)))
            return None
        self._away_since = None
        run = answer.read(Run)
        if run.state in EXIT_OF_RUN:
            return Ending(run=run, body=answer.body)
        if tell:
            self._tell(run)
        return None

    def _tell(self, run: Run) -> None:
        """Say why nothing happens, once per reason."""
        text = waiting_sentence(run)
        if text != self._told:
            self._told = text
            self._call.screen.note(text)

    def _stay_calm(self, error: ServerUnreachable) -> None:
        now = self._call.beat.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._call.screen.note(f"{error}; the run is not affected, trying again")
        if now - self._away_since > AWAY_SECONDS_MAX:
            raise error
        self._pause(LOOK_SECONDS[-1])

    def _pause(self, seconds: float) -> None:
        self._call.beat.pause(max(0.0, min(seconds, self._left(seconds))))

    def _left(self, otherwise: float) -> float:
        return otherwise if self._deadline is None else self._deadline - self._call.beat.monotonic()

    def _is_late(self) -> bool:
        return self._left(1.0) <= 0


def waiting_sentence(run: Run) -> str:
    """What a run that is not over does at the moment, with the reasons if it waits."""
    waiting = run.waiting or Waiting()
    if waiting.reasons:
        return f"Run #{run.id} is {plain(run.state)}: " + "; ".join(plain(reason) for reason in waiting.reasons)
    worker = f" on {plain(run.worker)}" if run.worker else ""
    reason = f": {plain(run.reason)}" if run.reason else ""
    progress = "" if run.progress is None else f", {run.progress:.0%} {plain(run.progress_text or '')}".rstrip()
    return f"Run #{run.id} is {plain(run.state)}{worker}{progress}{reason}"


def ending_lines(call: Invocation, run: Run, server: str) -> list[str]:
    """How it ended, in at most three lines: the verdict, the results, the place to read on."""
    took = elapsed(run.started_at, run.ended_at, call.beat.today())
    verdict = f"Run #{run.id} {call.screen.state(run.state)}"
    if took is not None:
        verdict += f" in {length_in_words(took)}"
    if run.worker:
        verdict += f" on {plain(run.worker)}"
    if run.state != "succeeded":
        why = run.reason or (f"exit {run.exit_code}" if run.exit_code else "")
        verdict += f": {plain(why)}" if why else ""
    lines = [verdict]
    if run.results:
        lines.append("Results: " + ", ".join(f"{plain(name)}={_short(value)}" for name, value in run.results.items()))
    lines.append(address_of(run, server))
    return lines


def address_of(run: Run, server: str) -> str:
    """Where a person can read on."""
    url = plain(run.url) or f"/api/v1/runs/{run.id}"
    return f"{server}{url}" if url.startswith("/") else url


def exit_of(run: Run | None, *, pass_exit_code: bool = False) -> int:
    """The exit code of a command that waited for this run."""
    if run is None:
        return ExitCode.STILL_GOING
    if pass_exit_code and run.exit_code is not None and run.state in ("succeeded", "failed"):
        return run.exit_code
    return EXIT_OF_RUN.get(run.state, ExitCode.STILL_GOING)


def _run_of(event: ServerEvent) -> Run:
    return msgspec.json.decode(event.text, type=Run)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    cleaned = plain(text)
    return cleaned if len(cleaned) <= 80 else cleaned[:79] + "…"
