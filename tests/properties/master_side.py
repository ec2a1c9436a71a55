"""The master's end of a conversation without a loop or a socket: production session, greeting and recorder over real
SQLite and real log files, one step at a time."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, select

from orchestra.errors import DatabaseAway, ProtocolError
from orchestra.identifiers import AttemptNumber, ProjectId, RunId, UserId, WorkerName
from orchestra.lifecycle import AttemptState
from orchestra.logs.store import FileLogStore
from orchestra.protocol.codec import CloseCode, Frame
from orchestra.protocol.messages import Chunk, Hello, Offer, WorkerMessage
from orchestra.protocol.session import MasterSession
from orchestra.protocol.window import AttemptKey
from orchestra.storage.access import add_user
from orchestra.storage.attempts import Claim, claim_runs
from orchestra.storage.database import BatchObserver, Signals, Subscription, Topic
from orchestra.storage.job_versions import JobVersions
from orchestra.storage.jobs import JobRecord, add_job, job_of
from orchestra.storage.new_runs import create_run, run_of
from orchestra.storage.tables import attempts, projects
from orchestra_master.greeting import greet
from orchestra_master.parts import MasterParts
from orchestra_master.recorder import Recorder
from orchestra_master.roster import ConnectedWorker, Roster
from tests.support import given
from tests.support.clocks import START, FakeClock

T = TypeVar("T")


def done(coroutine: Coroutine[object, None, T]) -> T:
    """The value of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        value: T = ended.value
        return value
    raise AssertionError("it waits for something")


class OneConnection:
    """The Database port over one connection: each write is a savepoint, and may be lost, or its outcome."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.is_lost = False
        self.is_silent = False

    async def write(self, change: Callable[[Connection], T], *, signals: Signals[T] = ()) -> T:
        """The change at once; raises DatabaseAway before it was committed, or after."""
        savepoint = self.connection.begin_nested()
        try:
            value = change(self.connection)
        except BaseException:
            savepoint.rollback()
            raise
        if self.is_lost:
            savepoint.rollback()
            raise DatabaseAway("here", "it died before the commit")
        savepoint.commit()
        if self.is_silent:
            raise DatabaseAway("here", "it died behind the commit")
        return value

    async def read(self, query: Callable[[Connection], T]) -> T:
        """The query at once."""
        return query(self.connection)

    def subscribe(self, *topics: Topic) -> Subscription:
        """Never asked."""
        raise AssertionError(topics)

    def observe_batches(self, observer: BatchObserver) -> None:
        """Nobody counts."""

    async def close(self) -> None:
        """Its owner closes the connection."""


@dataclass(frozen=True, kw_only=True)
class StoredState:
    """What the database says of an attempt."""

    state: AttemptState
    sequence: int
    log_length: int
    reason: str | None
    log_digest: str | None


class MasterSide:
    """A master of one worker; it survives its connections, and its database survives it."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self.database = OneConnection(connection)
        self.folder = folder
        self.user, self.job = _job(connection)
        self.logs = FileLogStore(folder)
        self.parts = self._parts()
        self._runs = 0

    def crash(self) -> None:
        """Everything in memory is gone."""
        self.logs.close()
        self.logs = FileLogStore(self.folder)
        self.parts = self._parts()

    def _parts(self) -> MasterParts:
        return MasterParts(
            name="m1",
            clock=FakeClock(),
            database=self.database,
            logs=self.logs,
            run_blocking=_at_once,
            versions=JobVersions(),
            roster=Roster(),
        )

    def create_run(self) -> RunId:
        """A run that waits for a worker."""
        self._runs += 1
        new = run_of(self.job, creation_key=f"run {self._runs}", source="user ana", now=START)
        return create_run(self.database.connection, new)

    def stored(self) -> dict[AttemptKey, StoredState]:
        """Every attempt as it is committed."""
        return {
            (RunId(row.run_id), AttemptNumber(row.number)): StoredState(
                state=AttemptState(row.state),
                sequence=row.sequence,
                log_length=row.log_length,
                reason=row.reason,
                log_digest=row.log_digest,
            )
            for row in self.database.connection.execute(select(attempts))
        }


class MasterEnd:
    """One connection of the worker, as the master has it."""

    def __init__(self, master: MasterSide) -> None:
        self._master = master
        self._parts = master.parts
        self.session = MasterSession(now=0)
        self.connected: ConnectedWorker | None = None
        self._recorder: Recorder | None = None
        self._inbox: list[WorkerMessage | Chunk] = []
        self.is_replaced = False

    def receive(self, frame: Frame) -> None:
        """The reader: it takes in, and never waits."""
        self._inbox += self.session.receive(frame, 0)

    def record(self) -> None:
        """What gathered becomes durable and is answered; raises ProtocolError, DatabaseAway, OSError."""
        gathered, self._inbox = self._inbox, []
        if gathered and self._recorder is None:
            hello, *gathered = gathered
            assert isinstance(hello, Hello)
            self._greet(hello)
        if gathered and self._recorder is not None:
            done(self._recorder.record(gathered))

    def _greet(self, hello: Hello) -> None:
        greeting = done(greet(self._parts, hello, user=self._master.user))
        if greeting.session.newer_connection is not None:
            raise ProtocolError(CloseCode.REPLACED, "the worker has said hello on a newer connection")
        older = self._parts.roster.find(greeting.session.worker)
        if older:
            older.replace()
        self.connected = ConnectedWorker(
            worker=greeting.session.worker,
            name=WorkerName(hello.worker),
            epoch=greeting.session.epoch,
            instance=hello.instance,
            properties=hello.properties,
            slots=hello.slots,
            accepts_runs=True,
            send=self.session.send,
            replace=self._replaced,
            heard_at=START,
            held={(kept.run, kept.attempt): kept.slots for kept in greeting.reconciliation.kept},
        )
        self.session.send(greeting.welcome(hello))
        for answer in greeting.reconciliation.answers:
            self.session.send(answer)
        self._parts.roster.enter(self.connected)
        self._recorder = Recorder(parts=self._parts, connected=self.connected)

    def _replaced(self) -> None:
        self.is_replaced = True

    def offer(self, run: RunId) -> None:
        """Gives the run to the worker, if it is still pending and the session the newest."""
        connected = self.connected
        assert connected is not None, "only who has greeted is given runs"
        claim = Claim(run=run, worker=connected.worker, epoch=connected.epoch)
        claimed = claim_runs(self._master.database.connection, [claim], actor="master m1", now=START).claimed
        for each in claimed:
            connected.held[each.run, each.attempt] = each.slots
            self.session.send(
                Offer(
                    run=each.run,
                    attempt=each.attempt,
                    project="ops",
                    job="build",
                    slots=each.slots,
                    execution=self._master.job.specification.execution,
                    parameters={},
                    secrets={},
                )
            )


async def _at_once(function: Callable[[], T], /) -> T:
    return function()


def _job(connection: Connection) -> tuple[UserId, JobRecord]:
    user = add_user(connection, "builders", password_hash=None, now=START)
    assert user is not None, "the database is new"
    insert = projects.insert().values(name="ops", created_at=START).returning(projects.c.id)
    project = ProjectId(connection.execute(insert).scalar_one())
    job = add_job(connection, project, "build", given.specification(), enabled=True, now=START)
    return user, job_of(connection, job)
