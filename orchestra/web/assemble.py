"""Puts together what service and website share, and the application around their routes: names the concrete classes."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from orchestra.clock import Clock
from orchestra.commands.accounts import Accounts
from orchestra.commands.approvals import Approvals
from orchestra.commands.bearer_texts import RandomBytes
from orchestra.commands.definition_changes import DefinitionChanges
from orchestra.commands.passwords import Passwords
from orchestra.commands.pauses import Pauses
from orchestra.commands.profile import Profile
from orchestra.commands.sign_in import SignIn
from orchestra.commands.stops import Stops
from orchestra.commands.switches import Switches
from orchestra.commands.tokens import Tokens
from orchestra.commands.triggers import Triggers
from orchestra.commands.wraps import Wraps
from orchestra.errors import StorageError
from orchestra.limits import HOUSEKEEPING_SECONDS, PASSWORD_ROUNDS
from orchestra.logs.store import LogReader, LogStore
from orchestra.metrics import HttpMetrics, LoopLag, StorageMetrics, new_registry
from orchestra.sealing import Sealing
from orchestra.storage.database import Database
from orchestra.storage.idempotency import forget_old_answers
from orchestra.storage.sessions import forget_old_sessions
from orchestra.storage.sign_in_failures import forget_old_failures
from orchestra.web.authentication import Authenticator
from orchestra.web.cookies import SessionCookie
from orchestra.web.endpoint import Door
from orchestra.web.event_tail import EventTail
from orchestra.web.log_lines import LogLines
from orchestra.web.metrics_routes import MetricsRoutes
from orchestra.web.parts import WebParts
from orchestra.web.rate_limits import RateLimits
from orchestra.web.rate_settings import RateSettings
from orchestra.web.run_metrics import RunMetrics
from orchestra.web.run_signals import RunSignals

_log = logging.getLogger("orchestra.web")
_CREATION_KEY_BYTES = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class WebSettings:
    """What an installation may choose for service and website together."""

    secure_cookies: bool = False
    """Set behind TLS; without it cookies also travel over plain HTTP, which is for loopback."""
    password_rounds: int = PASSWORD_ROUNDS
    rates: RateSettings = field(default_factory=RateSettings)


def build_web_parts(
    *,
    database: Database,
    clock: Clock,
    logs: LogReader,
    wrapped_logs: LogStore | None = None,
    sealing: Sealing,
    closing: asyncio.Event,
    settings: WebSettings | None = None,
    random_bytes: RandomBytes = secrets.token_bytes,
    registry: CollectorRegistry | None = None,
) -> WebParts:
    """The parts of one process, which count into its registry. The database stays its giver's to close.

    `wrapped_logs` is where the logs of wrapped runs are written: a store of its own over the same folder, since that of
    a master is its thread's alone. Without one this process records none.
    """
    chosen = settings or WebSettings()
    cookie = SessionCookie(is_secure=chosen.secure_cookies)
    passwords = Passwords(rounds=chosen.password_rounds)
    limits = RateLimits(settings=chosen.rates, clock=clock)
    authenticator = Authenticator(database=database, clock=clock, limits=limits, cookie_name=cookie.name)
    counted = registry or new_registry()

    def new_creation_key() -> str:
        # Beginning with the time, so that keys made together are neighbours in the index, not a page each.
        return f"{clock.now():014x}{random_bytes(_CREATION_KEY_BYTES).hex()}"

    database.observe_batches(StorageMetrics(registry=counted).batch_committed)
    events = EventTail(database=database, clock=clock, closing=closing)
    run_metrics = RunMetrics(registry=counted, database=database, tail=events)
    return WebParts(
        database=database,
        clock=clock,
        logs=logs,
        lines=LogLines(logs),
        sealing=sealing,
        closing=closing,
        door=Door(
            authenticator=authenticator,
            limits=limits,
            random_bytes=random_bytes,
            is_secure=chosen.secure_cookies,
            metrics=HttpMetrics(registry=counted, clock=clock),
        ),
        authenticator=authenticator,
        cookie=cookie,
        signals=RunSignals(database=database, closing=closing),
        events=events,
        metrics=MetricsRoutes(registry=counted, refreshes=(run_metrics.refresh,)),
        lag=LoopLag(registry=counted, clock=clock),
        passwords=passwords,
        sign_in=SignIn(database=database, clock=clock, passwords=passwords, random_bytes=random_bytes),
        accounts=Accounts(database=database, clock=clock, passwords=passwords, random_bytes=random_bytes),
        tokens=Tokens(database=database, clock=clock, random_bytes=random_bytes),
        profile=Profile(database=database, clock=clock),
        switches=Switches(database=database, clock=clock),
        pauses=Pauses(database=database, clock=clock),
        triggers=Triggers(
            database=database,
            clock=clock,
            sealing=sealing,
            new_creation_key=new_creation_key,
        ),
        new_creation_key=new_creation_key,
        stops=Stops(database=database, clock=clock),
        approvals=Approvals(database=database, clock=clock),
        definition_changes=DefinitionChanges(database=database, clock=clock),
        wraps=Wraps(database=database, clock=clock, logs=wrapped_logs),
    )


def build_application(parts: WebParts, routes: Sequence[BaseRoute]) -> Starlette:
    """The application of one process: the routes of its parts in the order in which they are looked through.

    Its lifespan must run (uvicorn does that): it wakes the streams, and ends them when `closing` is set.
    """
    app = Starlette(routes=routes, lifespan=_lifespan(parts))
    app.router.redirect_slashes = False
    return app


def _lifespan(parts: WebParts) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(parts.signals.follow_database(), name="web: run signals"),
                group.create_task(parts.signals.follow_closing(), name="web: closing"),
                group.create_task(parts.events.follow(), name="web: events"),
                group.create_task(parts.events.follow_closing(), name="web: closing for events"),
                group.create_task(parts.lag.run(), name="web: loop lag"),
                group.create_task(_keep_house(parts.database, parts.clock), name="web: housekeeping"),
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                parts.passwords.close()

    return lifespan


async def _keep_house(database: Database, clock: Clock) -> None:
    """Forgets what counts no more (answers under old keys, sessions, sign-ins that failed), until cancelled."""
    while True:
        try:
            for forget in (forget_old_answers, forget_old_sessions, forget_old_failures):
                await database.write(partial(forget, now=clock.now()))
        except StorageError as error:
            _log.warning("housekeeping_failed: %s", error)
        await asyncio.sleep(HOUSEKEEPING_SECONDS)
