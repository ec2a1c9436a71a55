"""Builds a master from its default parts; a package of one's own may build one from others."""

import asyncio
import os
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from prometheus_client import CollectorRegistry

from orchestra.clock import Clock
from orchestra.logs.store import LogStore
from orchestra.storage.database import Database
from orchestra.storage.job_versions import JobVersions
from orchestra_master.claiming import Claiming
from orchestra_master.contacts import ContactKeeper
from orchestra_master.dispatcher import Dispatcher
from orchestra_master.duty import Duty
from orchestra_master.expectation_watch import ExpectationWatch
from orchestra_master.fleet_metrics import FleetCollector
from orchestra_master.listener import Listener, TokenWatch
from orchestra_master.master import Loop, Master
from orchestra_master.metrics import AttemptMetrics
from orchestra_master.offer_watch import OfferWatch
from orchestra_master.offering import Offering, SecretReader
from orchestra_master.parts import Blocking, MasterParts
from orchestra_master.pipeline_keeper import PipelineKeeper
from orchestra_master.promoter import Promoter
from orchestra_master.rescuer import Rescuer
from orchestra_master.roster import Roster
from orchestra_master.selection import SpreadingSelector, WorkerSelector
from orchestra_master.stopper import Stopper
from orchestra_master.ticker import Ticker
from orchestra_master.wrap_watch import WrapWatch

T = TypeVar("T")


def build_master(
    *,
    database: Database,
    logs: LogStore,
    secrets: SecretReader,
    clock: Clock,
    selector: WorkerSelector | None = None,
    name: str | None = None,
    run_blocking: Blocking | None = None,
    registry: CollectorRegistry | None = None,
    more_loops: Sequence[Loop] = (),
    more_duties: Callable[[MasterParts], Sequence[Duty]] = lambda _: (),
    is_alone: bool = False,
) -> Master:
    """A master over these ports; must be called inside the loop that it will run in. The caller owns the ports.

    `is_alone` promises that no other process has the database: then there is little to do while nothing happens.
    """
    parts = MasterParts(
        name=name or f"{platform.node()}-{os.getpid()}",
        clock=clock,
        database=database,
        logs=logs,
        run_blocking=run_blocking or LogThread(),
        versions=JobVersions(),
        roster=Roster(),
        metrics=AttemptMetrics(registry=registry),
        is_alone=is_alone,
    )
    listener = Listener(parts=parts)
    duties: list[Duty] = [
        TokenWatch(listener=listener, poll_seconds=parts.poll_seconds),
        Promoter(parts=parts),
        PipelineKeeper(parts=parts),
        Rescuer(parts=parts),
        Stopper(parts=parts),
        ExpectationWatch(parts=parts),
        WrapWatch(parts=parts),
        ContactKeeper(parts=parts),
        *more_duties(parts),
    ]
    dispatcher = Dispatcher(
        parts=parts,
        claiming=Claiming(parts=parts, selector=selector or SpreadingSelector()),
        offering=Offering(parts=parts, secrets=secrets),
    )
    if registry is not None:
        registry.register(FleetCollector(roster=parts.roster, dispatcher=dispatcher, listener=listener))
    return Master(
        parts=parts,
        listener=listener,
        dispatcher=dispatcher,
        duties=duties,
        loops=[
            OfferWatch(parts=parts),
            Ticker(database=database, clock=clock, poll_seconds=parts.poll_seconds),
            *more_loops,
        ],
    )


class LogThread:
    """One thread for all that blocks on the disk of the logs, so that the calls keep their order."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="logs")

    async def __call__(self, function: Callable[[], T], /) -> T:
        """Runs the function in the thread and gives its value."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)
