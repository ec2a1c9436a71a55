"""A run as a zip that is made while it is sent: no file in between, and never more than a piece of a log in memory."""

import asyncio
import logging
import zipfile
from collections.abc import AsyncIterator, Iterator
from datetime import datetime

import msgspec
from starlette.requests import ClientDisconnect

from orchestra.identifiers import RunId
from orchestra.limits import LOG_PIECE_BYTES
from orchestra.logs.store import LogReader
from orchestra.queries.archives import ArchivedRun
from orchestra.queries.run_logs import LogExtent

_log = logging.getLogger("orchestra.service")
_FILE_MODE = 0o644 << 16
_ZIP64_BYTES = 1 << 31
"""From here on an entry gets room for 64-bit sizes, which must be said before the first byte."""
_encoder = msgspec.json.Encoder()


def archive_name(run: RunId) -> str:
    """The name under which a browser keeps it."""
    return f"run-{run}.zip"


class Archive:
    """The archive of one run. Its names are fixed: nothing that a person or job has named becomes a path."""

    def __init__(self, *, archived: ArchivedRun, logs: LogReader) -> None:
        self._archived = archived
        self._logs = logs
        self._run = RunId(archived.run.id)
        self._outlet = _Outlet()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes, to be sent as they come; an archive that breaks off has no directory, and no program opens it."""
        with zipfile.ZipFile(self._outlet, "w", zipfile.ZIP_DEFLATED) as made:
            for name, content in self._documents():
                await asyncio.to_thread(made.writestr, self._entry(name), content)
                yield self._outlet.take()
            for extent in self._archived.logs.extents:
                async for piece in self._log(made, extent):
                    yield piece
        yield self._outlet.take()

    def _documents(self) -> Iterator[tuple[str, bytes]]:
        archived = self._archived
        yield "run.json", _json(archived.run)
        yield "job.json", _json(archived.job)
        yield "parameters.json", _json(archived.run.parameters)
        yield "events.json", _json(archived.events)
        yield "steps.json", _json(archived.run.steps)
        yield "results.json", _json(archived.run.results)

    async def _log(self, made: zipfile.ZipFile, extent: LogExtent) -> AsyncIterator[bytes]:
        entry = self._entry(f"attempts/{extent.attempt}/log.txt")
        with made.open(entry, "w", force_zip64=extent.length >= _ZIP64_BYTES) as inside:
            offset = 0
            while offset < extent.length:
                wanted = min(LOG_PIECE_BYTES, extent.length - offset)
                content = await asyncio.to_thread(self._logs.read, self._run, extent.attempt, offset, wanted)
                if not content:
                    _log.error("log_bytes_missing run=%s attempt=%s at=%s", self._run, extent.attempt, offset)
                    raise ClientDisconnect
                offset += len(content)
                # Compressing lets other threads run; in the loop it would hold up everybody else.
                await asyncio.to_thread(inside.write, content)
                yield self._outlet.take()

    def _entry(self, name: str) -> zipfile.ZipInfo:
        created: datetime = self._archived.run.created_at
        entry = zipfile.ZipInfo(f"run-{self._run}/{name}", created.timetuple()[:6])
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = _FILE_MODE
        return entry


class _Outlet:
    """Where the zip is written to: what cannot go back. zipfile then puts sizes behind each entry."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, content: bytes) -> int:
        """Keeps a copy: zipfile may use its buffer again."""
        self._pieces.append(bytes(content))
        return len(content)

    def flush(self) -> None:
        """There is nothing to wait for."""

    def close(self) -> None:
        """The connection is not ours to close."""

    def take(self) -> bytes:
        """What was written since the last call."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _json(value: object) -> bytes:
    return msgspec.json.format(_encoder.encode(value), indent=2) + b"\n"
