"""Puts a worker together: the only place that names concrete classes."""

import asyncio
import logging
import os
import random
import secrets
import signal
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from orchestra.clock import Instant, SystemClock
from orchestra.errors import FolderUnusable
from orchestra.folder import lock_folder
from orchestra.network.heap import give_back_memory
from orchestra.protocol.messages import Welcome
from orchestra.specification import PropertyValue
from orchestra_worker.agent import Agent
from orchestra_worker.attempt_rows import load_attempts
from orchestra_worker.detection import all_properties, installed_version
from orchestra_worker.engine import Engine
from orchestra_worker.environment import base_environment
from orchestra_worker.folders import WorkerFolder
from orchestra_worker.journal import Journal, JournalBroken, open_journal
from orchestra_worker.keeper_client import KeeperClient
from orchestra_worker.keeper_files import boot_id
from orchestra_worker.keeper_lost import end_unknown_steps
from orchestra_worker.link import Link
from orchestra_worker.log_sync import LogSyncs
from orchestra_worker.outbox import Outbox
from orchestra_worker.rotation import Rotation
from orchestra_worker.step_runner import MakeKeeper
from orchestra_worker.transport import Connector
from orchestra_worker.websocket import WebSocketConnector, link_address

log = logging.getLogger(__name__)

_STANDARD_INPUT = 0
_INPUT_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """Everything that a worker is told when it is started."""

    masters: Sequence[str]
    """Addresses of masters over one database; any of them will do."""
    token_file: Path
    name: str
    folder: Path
    slots: int
    properties: Mapping[str, PropertyValue] = field(default_factory=dict)
    proxy: str | None = None
    end_with_parent: bool = False


def run_worker(settings: WorkerSettings) -> None:
    """Runs the agent until it is told to end; raises FolderInUse, FolderUnusable, BadMasterAddress."""
    give_back_memory()
    connectors = [
        WebSocketConnector(address=link_address(master), token_file=settings.token_file, proxy=settings.proxy)
        for master in settings.masters
    ]
    # Each worker begins at another one, so that a fleet with one list is spread over it.
    connector = Rotation(connectors, begin_at=random.SystemRandom().randrange(len(connectors)))
    WorkerFolder(path=settings.folder.absolute()).make_room()
    with lock_folder(settings.folder.absolute(), f"worker {settings.name}") as locked:
        folder = WorkerFolder(path=locked.path)
        folder.prepare()
        is_broken = False
        while asyncio.run(_run_once(settings, folder, connector, is_broken=is_broken)):
            is_broken = True


async def _run_once(settings: WorkerSettings, folder: WorkerFolder, connector: Connector, *, is_broken: bool) -> bool:
    """One life of the agent; whether it must start again with a fresh journal."""
    journal, is_fresh = _open_journal(folder, is_broken=is_broken)
    try:
        if is_fresh:
            end_unknown = partial(end_unknown_steps, clock=SystemClock())
            await put_attempts_aside(folder, end_unknown=end_unknown, now=SystemClock().now())
        held = await journal.write(load_attempts)
        agent = make_agent(settings, folder=folder, journal=journal, connector=connector)
        _end_on_signals(agent.end)
        if settings.end_with_parent:
            _end_with_parent(agent.end)
        await agent.run(held)
    except* JournalBroken as group:
        log.error("journal_broken: %s", group.exceptions[0])
        is_broken = True
    else:
        is_broken = False
    finally:
        journal.close()
    return is_broken


def make_agent(
    settings: WorkerSettings,
    *,
    folder: WorkerFolder,
    journal: Journal,
    connector: Connector,
    on_welcome: Callable[[Welcome], None] = lambda welcome: None,
) -> Agent:
    """An agent of the default parts, over an open journal and a way to the master."""
    clock, outbox, boot = SystemClock(), Outbox(), boot_id()
    engine = Engine(
        worker=settings.name,
        slots=settings.slots,
        boot_id=boot,
        folder=folder,
        base_environment=base_environment(os.environ, tools=folder.tools),
        journal=journal,
        make_keeper=keeper_maker(folder),
        log_syncs=LogSyncs(off_the_loop=asyncio.to_thread),
        outbox=outbox,
        clock=clock,
    )
    link = Link(
        connector=connector,
        engine=engine,
        outbox=outbox,
        folder=folder,
        clock=clock,
        fraction=random.SystemRandom().random,
        worker=settings.name,
        instance=instance_of(folder),
        boot_id=boot,
        version=installed_version(),
        properties=all_properties(settings.properties),
        slots=settings.slots,
        on_welcome=on_welcome,
    )
    return Agent(engine=engine, link=link)


def keeper_maker(folder: WorkerFolder) -> MakeKeeper:
    """Makes clients of the folder's own keeper."""
    return lambda on_report, on_output, on_lost: KeeperClient(
        folder=folder.path, clock=SystemClock(), on_report=on_report, on_output=on_output, on_lost=on_lost
    )


def instance_of(folder: WorkerFolder) -> str:
    """The identity of this folder, made once: two machines that use one worker name differ in it."""
    try:
        kept = folder.instance.read_text().strip()
    except FileNotFoundError:
        kept = ""
    if not kept:
        kept = secrets.token_hex(16)
        beside = folder.instance.with_name(folder.instance.name + ".new")
        beside.write_text(kept + "\n")
        beside.replace(folder.instance)
    return kept


async def put_attempts_aside(
    folder: WorkerFolder, *, end_unknown: Callable[[Sequence[Path]], Awaitable[None]], now: Instant
) -> None:
    """Keeps what belonged to a journal that is gone for a person to look at: whose logs these are, only it knew.

    What still runs there without a keeper is ended first, because nobody would find it later.
    """
    await end_unknown([folder.attempt(key) for key in folder.kept_attempts()])
    folder.put_attempts_aside(f"broken-{now}")
    folder.prepare()


def _open_journal(folder: WorkerFolder, *, is_broken: bool) -> tuple[Journal, bool]:
    """The journal, and whether it is a fresh one in the place of one that held something."""
    is_missing = not folder.journal.exists() and bool(folder.kept_attempts())
    try:
        journal, aside = open_journal(folder.journal, now=SystemClock().now(), is_broken=is_broken)
    except sqlite3.Error as error:
        raise FolderUnusable(str(folder.path), f"{folder.journal.name}: {error}") from error
    if is_missing:
        log.error("journal_missing: %s is gone, what it held is lost", folder.journal)
    return journal, aside is not None or is_missing


def _end_on_signals(end: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)


def _end_with_parent(end: Callable[[], None]) -> None:
    """The parent holds the other end of our standard input: when it dies, however suddenly, the pipe closes."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(_STANDARD_INPUT, _INPUT_BYTES):
            loop.remove_reader(_STANDARD_INPUT)
            end()

    loop.add_reader(_STANDARD_INPUT, read)
