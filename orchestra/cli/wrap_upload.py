"""Tells the server of a wrapped run: that it began, what it printed, how it ended. Every step may be done again."""

import base64
import time
from typing import Final, Protocol

import msgspec

from orchestra.cli.wrap_spool import End, Spool, SpooledRun
from orchestra.identifiers import split_job
from orchestra.network.client import ApiClient, api
from orchestra.network.problems import RequestRefused

_PIECE_BYTES: Final = 256 << 10
_HEARTBEAT_SECONDS: Final = 30.0
_CONFLICT: Final = 409
_TRY_AGAIN: Final = frozenset({408, 425, 429})


class Following(Protocol):
    """How the run goes on while it is told of."""

    @property
    def is_ended(self) -> bool:
        """Whether its end is written down: nothing more is printed."""

    def wait(self, seconds: float) -> bool:
        """Until there is more to tell, or for so long; False if there is nothing."""


class Over:
    """Of a run whose wrap does not live any more: it does not go on."""

    is_ended = True

    def wait(self, seconds: float) -> bool:
        """There is nothing to wait for."""
        return False


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the server says of a run."""

    run: int
    state: str
    log_length: int

    @property
    def is_over(self) -> bool:
        """Whether it wants no more of the log: it has the end, or has given the run up."""
        return self.state != "running"


def upload(client: ApiClient, run: SpooledRun, following: Following) -> None:
    """Tells all of the run, and waits for more of it until it has ended.

    Raises RequestRefused, ServerUnreachable, AnswerUnreadable.
    """
    told = _tell_start(client, run)
    while True:
        # Looked at before the log, so that no byte comes between the last piece and the end.
        is_ended = following.is_ended
        piece = b"" if told.is_over else run.read(told.log_length, _PIECE_BYTES)
        if not piece and not is_ended and following.wait(_HEARTBEAT_SECONDS):
            continue
        end = (run.end or _unseen(run)) if is_ended and len(piece) < _PIECE_BYTES else None
        told = _report(client, told, run.about.key, piece, end)
        if end is not None and told.is_over:
            return


def upload_left_over(client: ApiClient, spool: Spool) -> None:
    """Tells what earlier wraps could not tell this server; raises what `upload` does, for what may go well later."""
    for run in spool.left_over():
        is_told = False
        try:
            if run.about.server in (None, client.server):
                upload(client, run, Over())
                is_told = True
        except RequestRefused as error:
            if is_passing(error):
                raise
            # Somebody may give the right back, or the job, before it is too old.
        finally:
            if is_told:
                run.remove()
            else:
                run.close()


def is_passing(error: RequestRefused) -> bool:
    """Whether the same request may go well later."""
    return error.problem.status >= 500 or error.problem.status in _TRY_AGAIN


def _tell_start(client: ApiClient, run: SpooledRun) -> _Told:
    about = run.about
    project, job = split_job(about.job)
    content = {
        "key": about.key,
        "host": about.host,
        "account": about.account,
        "command": about.command,
        "elapsed_seconds": max(0.0, time.time() - about.started_at),
    }
    return client.post(api("projects", project, "jobs", job, "wraps"), content, key=about.key).read(_Told)


def _report(client: ApiClient, told: _Told, key: str, piece: bytes, end: End | None) -> _Told:
    path = api("runs", told.run, "wrap")
    content: dict[str, object] = {"key": key, "offset": told.log_length, "log": base64.b64encode(piece).decode()}
    if end is not None:
        content["end"] = end
    try:
        return client.post(path, content).read(_Told)
    except RequestRefused as error:
        if error.problem.status != _CONFLICT:
            raise
        # It has less than it said before, restored from a copy, say: from there on it is told again.
        return client.post(path, {"key": key}).read(_Told)


def _unseen(run: SpooledRun) -> End:
    """The end of a run whose wrap died first."""
    return End(
        took_seconds=max(0.0, run.touched_at - run.about.started_at),
        trouble="its wrap was ended before the command: nobody saw how that went",
    )
