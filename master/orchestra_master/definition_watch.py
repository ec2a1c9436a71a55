"""Applies the definition files that were given to the master, at its start and whenever one of them changes."""

import asyncio
import hashlib
import logging
from functools import partial
from pathlib import Path

from orchestra.clock import Clock
from orchestra.commands.definitions import Action, apply_definition
from orchestra.commands.refusals import RefusedByOthers
from orchestra.definition.problems import DefinitionErrors
from orchestra.definition.reader import read_definition
from orchestra.errors import OrchestraError, StorageError
from orchestra.limits import POLL_SECONDS
from orchestra.storage.database import Database, Signal, Topic

logger = logging.getLogger(__name__)

_SUFFIXES = (".yaml", ".yml")
_APPLIED_BY = "master"


class DefinitionWatch:
    """Looks at a file, or at all `*.yaml` of a folder, and keeps the last good definition if the new one is bad.

    A file that disappears changes nothing: a project is never removed by accident.
    """

    def __init__(self, *, database: Database, clock: Clock, path: Path) -> None:
        self._database = database
        self._clock = clock
        self._path = path.absolute()
        # By file: the digest of what was applied, or was found bad and said once.
        self._settled: dict[Path, str] = {}
        self._said: dict[Path, str] = {}

    async def run(self) -> None:
        """Looks again and again until it is cancelled. Files have no events that all systems share: this is a poll."""
        never = asyncio.Event()
        while True:
            await self.apply_once()
            try:
                await asyncio.wait_for(never.wait(), POLL_SECONDS)
            except TimeoutError:
                continue

    async def apply_once(self) -> int:
        """Applies every file whose content is new, and returns how many definitions were changed by that."""
        changed = 0
        for path in await asyncio.to_thread(self._files):
            changed += await self._look_at(path)
        return changed

    def _files(self) -> list[Path]:
        if self._path.is_dir():
            return sorted(path for path in self._path.iterdir() if path.suffix in _SUFFIXES and path.is_file())
        return [self._path]

    async def _look_at(self, path: Path) -> int:
        try:
            content = await asyncio.to_thread(path.read_bytes)
        except OSError as error:
            self._say_once(path, f"definition_not_read file={path} cause={error.strerror}")
            return 0
        digest = hashlib.sha256(content).hexdigest()
        if self._settled.get(path) == digest:
            return 0
        try:
            is_changed = await self._apply(path, content)
        except StorageError as error:
            # Nothing is wrong with the file: it is tried again with the next look.
            self._say_once(path, f"definition_not_applied file={path} cause={error}")
            return 0
        except RefusedByOthers as error:
            # The jobs, or locks, may be those of a file that is read after this one: the next look tries it again.
            self._say_once(path, f"definition_refused file={path} cause={error}")
            return 0
        except DefinitionErrors as errors:
            logger.error("definition_refused file=%s problems=%d\n%s", path, len(errors.problems), errors.report())
            is_changed = False
        except OrchestraError as error:
            logger.error("definition_refused file=%s cause=%s", path, error)
            is_changed = False
        self._settled[path] = digest
        self._said.pop(path, None)
        return int(is_changed)

    async def _apply(self, path: Path, content: bytes) -> bool:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _NotText(path, error.start) from None
        definition = await asyncio.to_thread(read_definition, text, path.name)
        made = await self._database.write(
            partial(
                apply_definition,
                definition=definition,
                owner_file=str(path),
                source=str(path),
                by=_APPLIED_BY,
                now=self._clock.now(),
            ),
            signals=[Signal(Topic.DUE)],
        )
        if made.is_empty:
            return False
        counts = {action: sum(change.action is action for change in made.changes) for action in Action}
        logger.info(
            "definition_applied file=%s project=%s added=%d changed=%d removed=%d",
            path,
            made.project,
            counts[Action.ADD],
            counts[Action.CHANGE],
            counts[Action.REMOVE],
        )
        return True

    def _say_once(self, path: Path, sentence: str) -> None:
        if sentence != self._said.get(path):
            logger.error(sentence)
        self._said[path] = sentence


class _NotText(OrchestraError):
    """A definition file is no UTF-8."""

    def __init__(self, path: Path, offset: int) -> None:
        super().__init__(str(path), offset)
        self.path = path
        self.offset = offset

    def __str__(self) -> str:
        return f"{self.path} is no UTF-8 text at byte {self.offset}: save it as UTF-8"
