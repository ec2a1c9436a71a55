"""Where a worker keeps its things; everything 0700, because logs and scripts may hold secrets."""

import os
import shutil
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from orchestra.identifiers import AttemptNumber, RunId
from orchestra.protocol.window import AttemptKey
from orchestra_worker.keeper_log import RESERVE_NAME

_ROOM_TO_START_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True)
class WorkerFolder:
    """The worker's folder and the places in it."""

    path: Path

    @property
    def journal(self) -> Path:
        """`worker.db`."""
        return self.path / "worker.db"

    @cached_property
    def attempts(self) -> Path:
        """One folder for each attempt that is held."""
        return self.path / "attempts"

    @cached_property
    def socket(self) -> Path:
        """Where jobs poke the agent."""
        return self.path / "hint.sock"

    @property
    def tools(self) -> Path:
        """What joins the PATH of every step: `orchestra` alone."""
        return self.path / "tools"

    @property
    def instance(self) -> Path:
        """The file that tells two machines of one name apart."""
        return self.path / "instance"

    def attempt(self, key: AttemptKey) -> Path:
        """The folder of one attempt: log, scripts, claims, results."""
        return Path(self._attempt(key))

    def _attempt(self, key: AttemptKey) -> str:
        return f"{self.attempts}/{key[0]}-{key[1]}"

    def make_attempt(self, key: AttemptKey) -> Path:
        """Makes the attempt's folder, if it is not there."""
        folder = self.attempt(key)
        _make(folder)
        return folder

    def workspace(self, project: str) -> Path:
        """The project's workspace, kept from run to run; made if it is not there."""
        workspace = Path(f"{self.path}/workspaces/{project}")
        _make(workspace)
        return workspace

    def kept_attempts(self) -> list[AttemptKey]:
        """The attempts that have a folder."""
        if not self.attempts.is_dir():
            return []
        parts = [entry.name.split("-") for entry in self.attempts.iterdir()]
        return [
            (RunId(int(part[0])), AttemptNumber(int(part[1])))
            for part in parts
            if len(part) == 2 and part[0].isdigit() and part[1].isdigit()
        ]

    def remove_attempt(self, key: AttemptKey) -> None:
        """Deletes the attempt's folder with all that is in it."""
        folder = self._attempt(key)
        try:
            # Plain files as a rule: a walk through a tree costs several times as much.
            for name in os.listdir(folder):
                os.unlink(f"{folder}/{name}")
            os.rmdir(folder)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)

    def free_bytes(self) -> int:
        """Free disk for ordinary users."""
        try:
            disk = os.statvfs(self.path)
        except OSError:
            return 0
        return disk.f_bavail * disk.f_frsize

    def make_room(self) -> None:
        """On a full disk, gives back what the keeper has in reserve: an agent that comes up delivers logs, and that
        frees the rest."""
        if self.free_bytes() < _ROOM_TO_START_BYTES:
            (self.path / RESERVE_NAME).unlink(missing_ok=True)

    def put_attempts_aside(self, suffix: str) -> None:
        """Renames the attempts' folder: what it holds belongs to a journal that is put aside."""
        if self.attempts.exists():
            self.attempts.replace(self.attempts.with_name(f"{self.attempts.name}.{suffix}"))

    def prepare(self) -> None:
        """Makes the fixed places, and the `orchestra` command for the steps."""
        for place in (self.attempts, self.tools):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        # -E and -P: neither the job's PYTHONPATH nor a folder called orchestra in its directory may change what runs.
        text = f'#!/bin/sh\nexec {_quoted(sys.executable)} -E -P -m orchestra "$@"\n'
        beside = self.tools / f".orchestra.{os.getpid()}"
        beside.write_text(text)
        beside.chmod(0o700)
        beside.replace(self.tools / "orchestra")


def _make(folder: Path) -> None:
    try:
        # One call where the parents are there, which they are.
        os.mkdir(folder, 0o700)
    except OSError:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
