"""One attempt in a database, told of by a worker: the fold of its reports without a link, a loop or a log store."""

from dataclasses import dataclass

from sqlalchemy import Connection, Row, select

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, Epoch, ProjectId, RunId, WorkerId
from orchestra.logs.digest import SegmentedDigest
from orchestra.protocol.messages import Event
from orchestra.specification import JobSpecification
from orchestra.storage.access import add_user
from orchestra.storage.attempts import Claim, claim_runs
from orchestra.storage.job_versions import JobVersions
from orchestra.storage.jobs import add_job, job_of
from orchestra.storage.new_runs import create_run, run_of
from orchestra.storage.tables import attempts, projects, run_events, run_results, run_steps, runs
from orchestra.storage.workers import begin_session
from orchestra_master.attempt_fold import Applied, AttemptReport
from orchestra_master.report import ReportApplier
from tests.support.worker_end import hello

ATTEMPT = AttemptNumber(1)
NOW = Instant(1_790_000_000_000_000)
Rows = dict[str, list[Row[tuple[object, ...]]]]


@dataclass(frozen=True, kw_only=True)
class StoredAttempt:
    """Attempt 1 of a run, offered to the worker `atlas`."""

    run: RunId
    worker: WorkerId
    epoch: Epoch

    def tell(
        self, connection: Connection, *events: Event, accepts: bool = False, log: bytes | None = None, epoch: int = 0
    ) -> Applied:
        """One batch; `log` is all that is synced when it is applied."""
        digest = SegmentedDigest()
        digest.update(log or b"")
        report = AttemptReport(
            accepted=accepts,
            events=list(events),
            log_length=None if log is None else len(log),
            log_digest=digest.hexdigest(),
        )
        return ReportApplier(versions=JobVersions()).apply(
            connection,
            {(self.run, ATTEMPT): report},
            worker=self.worker,
            epoch=Epoch(epoch or self.epoch),
            name="atlas",
            now=NOW,
        )

    def rows(self, connection: Connection) -> Rows:
        """Everything that is known of the run, without the evidence of late words."""
        queries = {
            "run": select(runs).where(runs.c.id == self.run),
            "attempts": select(attempts).where(attempts.c.run_id == self.run),
            "steps": select(run_steps).where(run_steps.c.run_id == self.run).order_by(run_steps.c.number),
            "results": select(run_results).where(run_results.c.run_id == self.run).order_by(run_results.c.name),
            "history": select(run_events.c.kind, run_events.c.actor, run_events.c.detail)
            .where(run_events.c.run_id == self.run, run_events.c.kind != "late")
            .order_by(run_events.c.id),
        }
        return {name: list(connection.execute(query).all()) for name, query in queries.items()}


def offered_attempt(connection: Connection, specification: JobSpecification) -> StoredAttempt:
    """Makes everything that an offer needs, by the production statements."""
    user = add_user(connection, "builders", password_hash=None, now=NOW)
    assert user is not None, "the database is new"
    insert = projects.insert().values(name="ops", created_at=NOW).returning(projects.c.id)
    project = ProjectId(connection.execute(insert).scalar_one())
    job = job_of(connection, add_job(connection, project, "build", specification, enabled=True, now=NOW))
    new = run_of(job, creation_key="k", source="user ana", now=NOW)
    run = create_run(connection, new)
    session = begin_session(connection, hello(), user=user, master="m1", now=NOW)
    claim_runs(connection, [Claim(run=run, worker=session.worker, epoch=session.epoch)], actor="master m1", now=NOW)
    return StoredAttempt(run=run, worker=session.worker, epoch=session.epoch)
