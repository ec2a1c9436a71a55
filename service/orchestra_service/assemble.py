"""Puts the service together: the only place here that names concrete classes."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from orchestra.clock import Clock
from orchestra.commands.accounts import Accounts
from orchestra.commands.bearer_texts import RandomBytes
from orchestra.commands.passwords import Passwords
from orchestra.commands.sign_in import SignIn
from orchestra.commands.stops import Stops
from orchestra.commands.switches import Switches
from orchestra.commands.triggers import Triggers
from orchestra.errors import StorageError
from orchestra.limits import HOUSEKEEPING_SECONDS, PASSWORD_ROUNDS
from orchestra.logs.store import LogReader
from orchestra.sealing import Sealing
from orchestra.storage.database import Database
from orchestra.storage.idempotency import forget_old_answers
from orchestra_service.account_routes import AccountRoutes
from orchestra_service.authentication import Authenticator
from orchestra_service.cookies import SessionCookie
from orchestra_service.definition_routes import DefinitionRoutes
from orchestra_service.endpoint import Door, Handlers, Nowhere, build_routes
from orchestra_service.health_routes import HealthRoutes
from orchestra_service.job_routes import JobRoutes
from orchestra_service.log_routes import LogRoutes
from orchestra_service.pages import Pages
from orchestra_service.run_routes import RunRoutes
from orchestra_service.run_signals import RunSignals
from orchestra_service.worker_routes import WorkerRoutes

_log = logging.getLogger("orchestra.service")
_CREATION_KEY_BYTES = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceSettings:
    """What an installation may choose."""

    secure_cookies: bool = False
    """Set behind TLS; without it cookies also travel over plain HTTP, which is for loopback."""
    password_rounds: int = PASSWORD_ROUNDS


def build_service(
    *,
    database: Database,
    clock: Clock,
    logs: LogReader,
    sealing: Sealing,
    closing: asyncio.Event,
    settings: ServiceSettings | None = None,
    random_bytes: RandomBytes = secrets.token_bytes,
    other_routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """The application. Give other parts' routes (the master's WebSocket) in `other_routes`, to share the port.

    Its lifespan must run (uvicorn does that): it wakes the streams, and ends them when `closing` is set. The database
    stays its giver's to close. Raises RouteWithoutPolicy.
    """
    chosen = settings or ServiceSettings()
    cookie = SessionCookie(is_secure=chosen.secure_cookies)
    passwords = Passwords(rounds=chosen.password_rounds)
    authenticator = Authenticator(database=database, clock=clock, cookie_name=cookie.name)
    door = Door(authenticator=authenticator, random_bytes=random_bytes)
    signals = RunSignals(database=database, closing=closing)
    sign_in = SignIn(database=database, clock=clock, passwords=passwords, random_bytes=random_bytes)
    switches = Switches(database=database, clock=clock)
    accounts = Accounts(database=database, clock=clock, passwords=passwords, random_bytes=random_bytes)
    triggers = Triggers(
        database=database,
        clock=clock,
        sealing=sealing,
        new_creation_key=lambda: random_bytes(_CREATION_KEY_BYTES).hex(),
    )
    groups: tuple[Handlers, ...] = (
        RunRoutes(
            database=database,
            clock=clock,
            sealing=sealing,
            triggers=triggers,
            stops=Stops(database=database, clock=clock),
        ).handlers,
        LogRoutes(database=database, logs=logs, signals=signals, authenticator=authenticator).handlers,
        JobRoutes(database=database, clock=clock, switches=switches).handlers,
        WorkerRoutes(database=database, clock=clock, switches=switches).handlers,
        DefinitionRoutes(database=database, clock=clock).handlers,
        AccountRoutes(
            database=database, accounts=accounts, sign_in=sign_in, authenticator=authenticator, cookie=cookie
        ).handlers,
        HealthRoutes(database=database).handlers,
        Pages(sign_in=sign_in, authenticator=authenticator, cookie=cookie).handlers,
    )
    handlers = {row: handler for group in groups for row, handler in group.items()}
    app = Starlette(
        routes=[*build_routes(door, handlers), *other_routes],
        lifespan=_lifespan(signals, database, clock, passwords),
    )
    app.router.default = Nowhere(door=door)
    app.router.redirect_slashes = False
    return app


def _lifespan(
    signals: RunSignals, database: Database, clock: Clock, passwords: Passwords
) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(signals.follow_database(), name="service: run signals"),
                group.create_task(signals.follow_closing(), name="service: closing"),
                group.create_task(_keep_house(database, clock), name="service: housekeeping"),
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                passwords.close()

    return lifespan


async def _keep_house(database: Database, clock: Clock) -> None:
    """Forgets answers under old idempotency keys, until cancelled."""
    while True:
        try:
            await database.write(partial(forget_old_answers, now=clock.now()))
        except StorageError as error:
            _log.warning("housekeeping_failed: %s", error)
        await asyncio.sleep(HOUSEKEEPING_SECONDS)
