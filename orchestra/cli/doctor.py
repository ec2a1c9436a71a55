"""`orchestra doctor`: looks at this machine and at the server, and says how to repair what is wrong."""

import os
import shutil
import ssl
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import click

from orchestra.cli.exits import ExitCode
from orchestra.cli.formats import byte_size
from orchestra.cli.invocation import Invocation, program_version
from orchestra.cli.terminal import plain
from orchestra.cli.words import ApiCommand
from orchestra.configuration import Connection
from orchestra.errors import OrchestraError
from orchestra.network.client import api
from orchestra.network.problems import RequestRefused

CLOCK_SKEW_SECONDS_MAX: Final = 5.0
DISK_BYTES_MIN: Final = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one look found: ok, warn or fail, with the command or deed that repairs it."""

    check: str
    verdict: str
    sentence: str
    remedy: str = ""


@click.command(cls=ApiCommand)
@click.pass_obj
def doctor(call: Invocation) -> int:
    """Check this machine and the server; exit 1 if something is broken."""
    findings = [*machine_findings(call), *server_findings(call)]
    if call.screen.as_json:
        call.screen.json_of(findings)
    else:
        for finding in findings:
            remedy = f"\n       fix: {finding.remedy}" if finding.remedy else ""
            word = call.screen.state(finding.verdict) + " " * (4 - len(finding.verdict))
            call.screen.line(f"{word}  {finding.check}: {plain(finding.sentence)}{remedy}")
    return ExitCode.FAILED if any(finding.verdict == "fail" for finding in findings) else ExitCode.DONE


def machine_findings(call: Invocation) -> Iterator[Finding]:
    """What can be seen without a server."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield _ok("program", f"orchestra {program_version()} on Python {version}")
    yield _zone_finding()
    if os.access("/bin/sh", os.X_OK):
        yield _ok("shell", "/bin/sh is there")
    else:
        yield _fail("shell", "/bin/sh is missing, jobs with `run:` cannot run here", "install a POSIX shell")
    free = shutil.disk_usage(call.folder).free
    sentence = f"{byte_size(free)} free in {call.folder.resolve()}"
    if free < DISK_BYTES_MIN:
        yield Finding(
            check="disk", verdict="warn", sentence=sentence, remedy="make room: workers refuse runs when full"
        )
    else:
        yield _ok("disk", sentence)
    yield _writable_finding(call.around().connection_file.parent)
    path = call.around().configuration_file
    if path.exists() and path.stat().st_mode & 0o077:
        yield _fail("configuration", f"{path} is readable by others, and it holds tokens", f"chmod 600 {path}")


def server_findings(call: Invocation) -> Iterator[Finding]:
    """What can be seen of the server from this machine."""
    try:
        connection = call.connection()
    except OrchestraError as error:
        yield _fail("server", str(error), "orchestra up, or orchestra login URL")
        return
    yield _ok("server", f"{connection.server}, named by {connection.source}")
    alive = False
    for check, look in (("alive", _alive), ("database", _ready), ("token", _token)):
        finding = _looked(check, call, connection, look)
        yield finding
        alive = alive or finding.verdict != "fail"
        if not alive:
            return
    finding = _looked("workers", call, connection, _workers)
    if connection.token:
        yield finding
    if connection.server.startswith("http://") and not _is_local(connection.server):
        yield Finding(
            check="transport",
            verdict="warn",
            sentence="tokens and logs travel unencrypted",
            remedy="put TLS in front of the server and use https://",
        )
    elif connection.server.startswith("https://"):
        yield _ok("transport", f"TLS ({ssl.OPENSSL_VERSION})")


def _looked(
    check: str, call: Invocation, connection: Connection, look: Callable[[Invocation, Connection], Finding]
) -> Finding:
    try:
        return look(call, connection)
    except RequestRefused as error:
        remedy = "orchestra login URL" if error.problem.status == 401 else ""
        return _fail(check, str(error), remedy)
    except OrchestraError as error:
        return _fail(check, str(error), "start it, or correct --server; look for a firewall or proxy between")


def _alive(call: Invocation, _connection: Connection) -> Finding:
    answer = call.client().get(api("health", "live"))
    told = answer.headers.get("date")
    if not told:
        return _ok("alive", "it answers")
    skew = (call.beat.today() - parsedate_to_datetime(told)).total_seconds()
    if abs(skew) > CLOCK_SKEW_SECONDS_MAX:
        side = "ahead of" if skew > 0 else "behind"
        sentence = f"it answers, but this machine's clock is {abs(skew):.0f} s {side} the server's"
        return Finding(check="alive", verdict="warn", sentence=sentence, remedy="keep both clocks right, by NTP")
    return _ok("alive", "it answers, and the clocks agree")


def _ready(call: Invocation, _connection: Connection) -> Finding:
    call.client().get(api("health", "ready"))
    return _ok("database", "it answers")


def _token(call: Invocation, connection: Connection) -> Finding:
    from orchestra.cli.answers import Me

    if not connection.token:
        return _fail("token", "no token is known for this server", f"orchestra login {connection.server}")
    me = call.client().get(api("me")).read(Me)
    return _ok("token", f"it belongs to {me.name} ({', '.join(map(str, me.roles)) or 'no role'})")


def _workers(call: Invocation, _connection: Connection) -> Finding:
    from orchestra.cli.answers import Page, Worker

    workers = call.client().get(api("workers")).read(Page[Worker]).items
    useful = [worker for worker in workers if worker.connected and worker.state == "online"]
    others = {worker.version for worker in useful if worker.version} - {program_version()}
    sentence = f"{len(useful)} of {len(workers)} take runs"
    if not useful:
        remedy = "orchestra worker start --master URL --token-file FILE"
        return Finding(check="workers", verdict="warn", sentence=sentence, remedy=remedy)
    if others:
        told = f"{sentence}; some are of version {', '.join(sorted(others))}"
        return Finding(check="workers", verdict="warn", sentence=told, remedy="upgrade them or this program")
    return _ok("workers", sentence)


def _zone_finding() -> Finding:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo("Europe/Paris")
    except ZoneInfoNotFoundError:
        return _fail("time zones", "this machine has no time zone data", "install tzdata")
    return _ok("time zones", "the data is there")


def _writable_finding(folder: Path) -> Finding:
    existing = folder if folder.exists() else folder.resolve().parent
    if os.access(existing, os.W_OK):
        return _ok("data folder", f"{folder} " + ("is writable" if folder.exists() else "can be made"))
    return Finding(
        check="data folder",
        verdict="warn",
        sentence=f"{existing} is not writable",
        remedy="give orchestra up another --data FOLDER",
    )


def _is_local(server: str) -> bool:
    from urllib.parse import urlsplit

    return (urlsplit(server).hostname or "") in ("localhost", "127.0.0.1", "::1")


def _ok(check: str, sentence: str) -> Finding:
    return Finding(check=check, verdict="ok", sentence=sentence)


def _fail(check: str, sentence: str, remedy: str) -> Finding:
    return Finding(check=check, verdict="fail", sentence=sentence, remedy=remedy)
