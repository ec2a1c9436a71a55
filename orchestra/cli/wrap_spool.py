"""What wraps keep on this machine until the server has it: a folder for each run, whose lock its living wrap holds.

`about.json` says what was started, `log` what it has printed so far, `end.json` how it ended. Whatever dies, the next
wrap finds the folder and delivers it.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

_ABOUT: Final = "about.json"
_LOG: Final = "log"
_END: Final = "end.json"
_LOCK: Final = "lock"
KEPT_SECONDS_MAX: Final = 30 * 86_400.0
"""What no server wanted for so long is thrown away."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What was started."""

    key: str
    job: str
    """`ops/backup`."""
    server: str | None
    """None if nothing said where the server is."""
    host: str
    account: str
    command: str
    started_at: float
    """Seconds since 1970, by this machine's clock."""


class End(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How it ended, in the words of the API."""

    took_seconds: float
    exit_code: int | None = None
    signal: str | None = None
    trouble: str | None = None


class SpooledRun:
    """One run that is kept. Whoever has it holds its lock: nobody else touches the folder."""

    def __init__(self, folder: Path, about: About, lock: int) -> None:
        self.about = about
        self._folder = folder
        self._lock = lock
        self._log = os.open(folder / _LOG, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def append(self, content: bytes) -> None:
        """More of its log; raises OSError when the disk is full."""
        while content:
            content = content[os.write(self._log, content) :]

    def read(self, offset: int, length: int) -> bytes:
        """What it has printed from there on, as far as it is written."""
        return os.pread(self._log, length, offset)

    def keep_end(self, end: End) -> None:
        """It has ended like this."""
        part = self._folder / f"{_END}.part"
        part.write_bytes(msgspec.json.encode(end))
        part.rename(self._folder / _END)

    @property
    def end(self) -> End | None:
        """How it ended; None if its wrap has not written that down."""
        try:
            return msgspec.json.decode((self._folder / _END).read_bytes(), type=End)
        except (OSError, msgspec.DecodeError):
            return None

    @property
    def touched_at(self) -> float:
        """When it last printed something, in seconds since 1970."""
        return max(os.fstat(self._log).st_mtime, self.about.started_at)

    def remove(self) -> None:
        """The server has all of it, or nobody will ever want it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Lets go of it: the next wrap may deliver it."""
        os.close(self._log)
        os.close(self._lock)


class Spool:
    """The folder of all runs that are kept, of one user of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, about: About) -> SpooledRun:
        """Keeps a new run; raises OSError where nothing can be written."""
        folder = self._folder / about.key
        folder.mkdir(parents=True, mode=0o700)
        lock = _locked(folder / _LOCK)
        assert lock is not None, "nobody else knows the key"
        (folder / _ABOUT).write_bytes(msgspec.json.encode(about))
        return SpooledRun(folder, about, lock)

    def left_over(self) -> Iterator[SpooledRun]:
        """The runs whose wrap does not live any more, the oldest first; the receiver closes or removes each."""
        for folder in sorted(self._folder.iterdir(), key=_age) if self._folder.is_dir() else ():
            with suppress(OSError):
                lock = _locked(folder / _LOCK)
                if lock is None:
                    continue
                about = _about(folder)
                if about is None or time.time() - about.started_at > KEPT_SECONDS_MAX:
                    shutil.rmtree(folder, ignore_errors=True)
                    os.close(lock)
                    continue
                yield SpooledRun(folder, about, lock)


def spool_folder(environment: Mapping[str, str], home: Path) -> Path:
    """Where wraps keep runs unless they are told another place."""
    named = environment.get("ORCHESTRA_WRAP_SPOOL")
    if named:
        return Path(named)
    base = environment.get("XDG_STATE_HOME")
    return (Path(base) if base else home / ".local" / "state") / "orchestra" / "wrap"


def _locked(path: Path) -> int | None:
    """The descriptor that holds the lock, or None if somebody else has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _about(folder: Path) -> About | None:
    try:
        return msgspec.json.decode((folder / _ABOUT).read_bytes(), type=About)
    except (OSError, msgspec.DecodeError):
        return None


def _age(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
