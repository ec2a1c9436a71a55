"""What every handler of service and website works with: built once for each process."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from orchestra.clock import Clock
from orchestra.commands.accounts import Accounts
from orchestra.commands.approvals import Approvals
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
from orchestra.logs.store import LogReader
from orchestra.metrics import LoopLag
from orchestra.sealing import Sealing
from orchestra.storage.database import Database
from orchestra.web.authentication import Authenticator
from orchestra.web.cookies import SessionCookie
from orchestra.web.endpoint import Door
from orchestra.web.event_tail import EventTail
from orchestra.web.log_lines import LogLines
from orchestra.web.metrics_routes import MetricsRoutes
from orchestra.web.run_signals import RunSignals


@dataclass(frozen=True, kw_only=True, slots=True)
class WebParts:
    """Readings come from the database, changes go through the commands; nobody else has rules."""

    database: Database
    clock: Clock
    logs: LogReader
    lines: LogLines
    sealing: Sealing
    closing: asyncio.Event
    """Set when the process is about to end: streams say goodbye."""
    door: Door
    authenticator: Authenticator
    cookie: SessionCookie
    signals: RunSignals
    events: EventTail
    metrics: MetricsRoutes
    lag: LoopLag
    passwords: Passwords
    sign_in: SignIn
    accounts: Accounts
    tokens: Tokens
    profile: Profile
    switches: Switches
    pauses: Pauses
    triggers: Triggers
    new_creation_key: Callable[[], str]
    """For what shall be made once, however often it is asked for."""
    stops: Stops
    approvals: Approvals
    definition_changes: DefinitionChanges
    wraps: Wraps
