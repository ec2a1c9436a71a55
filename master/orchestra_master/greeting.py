"""The answer to a worker's hello: a new session, and for everything that it holds what is to become of it."""

import logging
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection, update

from orchestra.clock import Instant
from orchestra.errors import BadName, ImpossibleTransition, ProtocolError
from orchestra.identifiers import UserId, checked_name
from orchestra.lifecycle import AttemptState, WorkerEvent, WorkerState
from orchestra.limits import (
    HEARTBEAT_SECONDS,
    RUN_WINDOW_BYTES,
    SILENCE_SECONDS_MAX,
    WORKER_WINDOW_BYTES,
)
from orchestra.protocol.codec import CloseCode
from orchestra.protocol.messages import Hello, Welcome
from orchestra.protocol.session import chosen_version
from orchestra.storage.attempts import open_attempts, withdraw_offer
from orchestra.storage.database import Signal, Topic
from orchestra.storage.quarantine import Quarantine
from orchestra.storage.tables import attempts
from orchestra.storage.workers import WorkerSessionRow, begin_session, move_worker
from orchestra_master.lateness import note_late
from orchestra_master.losing import lose_attempt
from orchestra_master.parts import MasterParts
from orchestra_master.quarantining import report_quarantines
from orchestra_master.reconcile import Reconciliation, reconcile

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Greeting:
    """What the transaction of a hello decided."""

    session: WorkerSessionRow
    reconciliation: Reconciliation
    signals: set[Signal] = field(default_factory=set)
    quarantined: list[Quarantine] = field(default_factory=list)
    """Jobs that lost one attempt too many by it."""

    def welcome(self, hello: Hello) -> Welcome:
        """The message to answer with; the reconciliation's answers follow it."""
        protocol = chosen_version(range(hello.protocol_minimum, hello.protocol_maximum + 1))
        assert protocol is not None, "the session has refused a version that nobody speaks"
        return Welcome(
            protocol=protocol,
            epoch=self.session.epoch,
            heartbeat_seconds=HEARTBEAT_SECONDS,
            silence_seconds_max=SILENCE_SECONDS_MAX,
            run_window_bytes=RUN_WINDOW_BYTES,
            worker_window_bytes=WORKER_WINDOW_BYTES,
            accepts_runs=self.session.state is WorkerState.ONLINE,
        )


async def greet(parts: MasterParts, hello: Hello, *, user: UserId) -> Greeting:
    """Begins the session in the database and settles what is held.

    Raises ProtocolError (REFUSED) for a text that is no name, a name of another user, or a worker in quarantine.
    """
    try:
        checked_name("worker", hello.worker)
    except BadName as error:
        raise ProtocolError(CloseCode.REFUSED, str(error)) from None
    now = parts.clock.now()
    greeting = await parts.database.write(
        lambda connection: _greet(connection, parts, hello, user, now), signals=lambda greeting: greeting.signals
    )
    report_quarantines(greeting.quarantined)
    if greeting.session.foreign_owner:
        sentence = f"the name {hello.worker!r} belongs to another user: give this worker another name"
        raise ProtocolError(CloseCode.REFUSED, sentence)
    if greeting.session.state is WorkerState.QUARANTINED:
        sentence = f"worker {hello.worker!r} is in quarantine: two machines used its name, enable the right one"
        raise ProtocolError(CloseCode.REFUSED, sentence)
    parts.log_writers.take([(kept.run, kept.attempt) for kept in greeting.reconciliation.kept], greeting.session.epoch)
    for kept in greeting.reconciliation.kept:
        await parts.run_blocking(partial(parts.logs.resume, kept.run, kept.attempt, kept.log_length))
    return greeting


def _greet(connection: Connection, parts: MasterParts, hello: Hello, user: UserId, now: Instant) -> Greeting:
    session = begin_session(connection, hello, user=user, master=parts.name, now=now)
    if session.foreign_owner or session.newer_connection is not None or session.state is WorkerState.QUARANTINED:
        return Greeting(session=session, reconciliation=Reconciliation())
    result = reconcile(hello.held, open_attempts(connection, session.worker))
    result.let_go(hello.slots)
    signals, quarantined = {Signal(Topic.WORKERS, hello.worker)}, []
    actor = f"worker {hello.worker}"
    note_late(connection, hello.held, worker=session.worker, actor=actor, now=now)
    for each in result.accept:
        connection.execute(
            update(attempts)
            .where(
                attempts.c.run_id == each.run,
                attempts.c.number == each.attempt,
                attempts.c.state == AttemptState.OFFERED,
            )
            .values(state=AttemptState.ACCEPTED, accepted_at=now)
        )
    for each in result.withdraw:
        words = "the worker came back without it"
        withdraw_offer(connection, each.run, each.attempt, actor=actor, reason=words, now=now)
        signals.add(Signal(Topic.PENDING))
    for each, reason in result.lost:
        loss = lose_attempt(
            connection, parts.versions, each.run, each.attempt, reason=f"worker lost it: {reason}", actor=actor, now=now
        )
        signals.update(loss.signals)
        if loss.quarantine is not None:
            quarantined.append(loss.quarantine)
    return Greeting(session=session, reconciliation=result, signals=signals, quarantined=quarantined)


async def quarantine(parts: MasterParts, hello: Hello) -> None:
    """Two live instances take the name from each other: neither gets runs until a person decides."""
    reason = f"two live machines use the name (instances {hello.instance} and another)"
    try:
        await parts.database.write(
            lambda connection: move_worker(connection, hello.worker, WorkerEvent.CONTESTED, reason=reason),
            signals=[Signal(Topic.WORKERS, hello.worker)],
        )
    except ImpossibleTransition:
        # A person has disabled it already, or another link was faster: it gets no runs either way.
        logger.debug("quarantine_not_needed worker=%s", hello.worker)
