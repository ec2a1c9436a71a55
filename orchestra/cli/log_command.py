"""`orchestra logs`: the stored log as it is, its tail, or the log as it grows."""

from typing import TYPE_CHECKING, Final

import click

from orchestra.cli.invocation import Invocation
from orchestra.cli.words import ApiCommand

if TYPE_CHECKING:
    from orchestra.cli.terminal import LogGuard

_PIECE_BYTES: Final = 1 << 20


@click.command(cls=ApiCommand)
@click.argument("number", type=int, metavar="RUN")
@click.option("-f", "--follow", is_flag=True, help="Stay until the run is over; exit by its end.")
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Of this attempt, not the newest.")
@click.option("--tail", type=click.IntRange(0), metavar="LINES", help="Only the last lines.")
@click.option("--raw", is_flag=True, help="As it is, even on a terminal.")
@click.option("--timeout", metavar="TIME", help="With --follow: stop after this (30m); exit 24.")
@click.pass_obj
def logs(
    call: Invocation,
    *,
    number: int,
    follow: bool,
    attempt: int | None,
    tail: int | None,
    raw: bool,
    timeout: str | None,
) -> int:
    """Print the log of a run.

    \b
      orchestra logs 482 --tail 100
      orchestra logs 482 -f
      orchestra logs 482 > whole.log       byte for byte
    """
    call.screen.raw = raw
    if follow and (attempt or tail is not None):
        raise click.UsageError("--follow goes with neither --attempt nor --tail")
    if follow:
        return _follow(call, number, timeout)
    _print(call, number, attempt, tail)
    return 0


def _follow(call: Invocation, number: int, timeout: str | None) -> int:
    from orchestra.cli.answers import Run
    from orchestra.cli.exits import ExitCode
    from orchestra.cli.trigger_command import detached_sentence, stay_with
    from orchestra.durations import parse_duration
    from orchestra.network.client import api

    seconds = parse_duration(timeout) if timeout else None
    run = call.client().get(api("runs", number)).read(Run)
    try:
        return stay_with(call, run, follow=True, timeout=seconds, pass_exit_code=False)
    except KeyboardInterrupt:
        call.screen.note(detached_sentence(number))
        return ExitCode.INTERRUPTED


def _print(call: Invocation, number: int, attempt: int | None, tail: int | None) -> None:
    from codecs import getincrementaldecoder

    from orchestra.network.client import api

    path = api("runs", number, "attempts", attempt, "log") if attempt else api("runs", number, "log")
    client = call.client()
    guard = call.screen.guard()
    decoder = getincrementaldecoder("utf-8")(errors="replace")
    if tail is not None:
        body = client.get(path, {"tail": tail}).body
        _write(call, guard, body, decoder.decode(body, final=True))
    else:
        position = 0
        while True:
            # In pieces: the length of a log is bounded by nothing, our memory is.
            wanted = f"bytes={position}-{position + _PIECE_BYTES - 1}"
            body, length, newest = _piece(call, path, wanted, position)
            # A retry in the meantime must not put another attempt's log behind the first one's beginning.
            path = api("runs", number, "attempts", newest, "log") if newest else path
            position += len(body)
            _write(call, guard, body, decoder.decode(body, final=position >= length))
            if position >= length or not body:
                break
        if position == 0:
            call.screen.note(f"The log of run #{number} is empty. A pipeline has none: orchestra run show {number}")
    if guard is not None:
        call.screen.write(guard.end())


def _piece(call: Invocation, path: str, wanted: str, position: int) -> tuple[bytes, int, str | None]:
    """Bytes of the log from the position on, the log's whole committed length, and which attempt's it is."""
    from orchestra.network.problems import RequestRefused

    try:
        answer = call.client().get(path, headers={"Range": wanted, "Accept": "text/plain"})
    except RequestRefused as error:
        # Asking behind the end of an empty log is no mistake of the person.
        if error.problem.status == 416:
            return b"", position, None
        raise
    length = answer.headers.get("x-log-length", "")
    whole = int(length) if length.isdigit() else position + len(answer.body)
    # A server that ignores ranges sends everything at once.
    body, whole = (answer.body, whole) if answer.status == 206 else (answer.body[position:], len(answer.body))
    return body, whole, answer.headers.get("x-log-attempt")


def _write(call: Invocation, guard: "LogGuard | None", body: bytes, text: str) -> None:
    if guard is None:
        call.screen.write_bytes(body)
    else:
        call.screen.write(guard.clean(text))
