"""Questions that are asked often are answered from an index, however long the history is: the plan itself is asked."""

from collections.abc import Callable

from sqlalchemy import ColumnElement, Connection, Executable, func, select

from orchestra.clock import Instant
from orchestra.demands import Demand
from orchestra.identifiers import JobId, RunId, Signature, WorkerId
from orchestra.storage.attempts import open_attempts
from orchestra.storage.database import Database
from orchestra.storage.due_schedules import due_schedules, next_due_at
from orchestra.storage.pending import due_runs, expired_runs, next_due, next_expiry, pending_heads, pending_signatures
from orchestra.storage.quarantine import lost_attempts
from orchestra.storage.queued import open_run_of_job, queued_behind, queued_first
from orchestra.storage.resources import slots_in_use, stock_of
from orchestra.storage.rivals import holders_of, newest_with_key, open_with_key, waiters_for
from orchestra.storage.tables import run_events, run_results, runs
from orchestra.storage.terms import terms_of
from tests.support.history import fill_history
from tests.support.plans import plans_of

NOW = 1_000_000
GROUP = Demand(resource="group p/g3")
RATE = Demand(resource="rate p/job-7", most=5, window_seconds=0.1)


def ask(query: Executable) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(query).all()


def page(*conditions: ColumnElement[bool]) -> Callable[[Connection], object]:
    return ask(select(runs.c.id).where(*conditions).order_by(runs.c.id.desc()).limit(51))


def explained(question: Callable[[Connection], object]) -> Callable[[Connection], list[str]]:
    return lambda connection: plans_of(connection, question)


is_open = runs.c.ended_at.is_(None)
QUESTIONS: dict[str, tuple[Callable[[Connection], object], str]] = {
    "heads of a signature": (lambda c: pending_heads(c, Signature("s3"), limit=64), "ix_runs_open"),
    "what is held": (lambda c: stock_of(c, [GROUP], Instant(NOW)), "ix_runs_open"),
    "what is left of a rate": (lambda c: stock_of(c, [RATE], Instant(10_000)), "pk_run_starts"),
    "who uses the slots": (slots_in_use, "ix_runs_open"),
    "what a signature demands": (lambda c: terms_of(c, Signature("s3")), "pk_run_"),
    "who holds a group": (lambda c: holders_of(c, "group p/g3"), "ix_runs_open"),
    "who waits for a group": (lambda c: waiters_for(c, "group p/g3"), "ix_runs_open (state=? AND signature=?)"),
    "what a job has lost": (lambda c: lost_attempts(c, JobId(7), Instant(NOW), limit=3), "ix_attempts_lost"),
    "signatures that wait": (pending_signatures, "ix_runs_open"),
    "due runs": (lambda c: due_runs(c, now=Instant(NOW * 50), limit=100), "ix_runs_due"),
    "when the next is due": (next_due, "ix_runs_due"),
    "when the next has waited too long": (next_expiry, "ix_runs_expiry"),
    "expired runs": (lambda c: expired_runs(c, now=Instant(NOW * 50), limit=100), "ix_runs_expiry"),
    "open runs of a worker": (ask(select(runs.c.id).where(is_open, runs.c.worker_id == 7)), "ix_runs_open_worker"),
    "the open run of a job": (lambda c: open_run_of_job(c, JobId(7)), "ix_runs_open_job"),
    "stops that were asked for": (
        ask(select(runs.c.id).where(is_open, runs.c.stop_requested_at.is_not(None))),
        "ix_runs_stop",
    ),
    "open attempts of a worker": (lambda c: open_attempts(c, WorkerId(7)), "ix_attempts_open"),
    "a creation that is repeated": (ask(select(runs.c.id).where(runs.c.creation_key == "k7")), "uq_runs_creation_key"),
    "whose turn it is": (lambda c: queued_first(c, lock=False), "ix_runs_"),
    "who waited for these": (lambda c: queued_behind(c, [RunId(7)]), "_runs_"),
    "runs with a key that are not over": (lambda c: open_with_key(c, JobId(7), "web"), "ix_runs_"),
    "the newest run with a key": (lambda c: newest_with_key(c, JobId(7), "web", 60.0, Instant(NOW)), "ix_runs_"),
    "due schedules": (lambda c: due_schedules(c, now=Instant(NOW), limit=10), "ix_schedules_next_fire_at"),
    "when a schedule is due": (next_due_at, "ix_schedules_next_fire_at"),
    "runs of a job": (page(runs.c.job_id == 7), "ix_runs_job"),
    "runs of a project, next page": (page(runs.c.project_id == 1, runs.c.id < 900), "ix_runs_project"),
    "runs in a rare state": (page(runs.c.state == "running"), "ix_runs_state"),
    "runs that failed, next page": (page(runs.c.state == "failed", runs.c.id < 900), "ix_runs_state"),
    "runs of a worker": (page(runs.c.worker_id == 7), "ix_runs_worker"),
    "how many failed on a worker, up to a bound": (
        ask(
            select(func.count()).select_from(
                select(runs.c.id).where(runs.c.state == "failed", runs.c.worker_id == 7).limit(1001).subquery()
            )
        ),
        "ix_runs_",
    ),
    "runs by a result": (
        ask(select(run_results.c.run_id).where(run_results.c.name == "version", run_results.c.text == "7")),
        "ix_run_results_name_text",
    ),
    "the history of a run": (
        ask(select(run_events.c.id).where(run_events.c.run_id == 7).order_by(run_events.c.id)),
        "ix_run_events_run_id_id",
    ),
    "how many wait, up to a bound": (
        ask(
            select(func.count()).select_from(select(runs.c.id).where(runs.c.state == "pending").limit(1001).subquery())
        ),
        "ix_runs_",
    ),
}

# PostgreSQL knows how common a value is. What a bounded list finds everywhere it takes from the newest rows, or
# the next best; and a table of fifty schedules it reads whole.
ALSO_GOOD_ON_POSTGRES = {
    "who waits for a group": "(signature = (run_demands.signature || ''::text))",
    "due schedules": "schedules",
    "when a schedule is due": "schedules",
    "whose turn it is": "ix_runs_open",
    "runs of a job": "Index Scan Backward using pk_runs",
    "runs of a project, next page": "Index Scan Backward using pk_runs",
    "runs that failed, next page": "Index Scan Backward using pk_runs",
    "runs of a worker": "Index Scan Backward using pk_runs",
    "how many wait, up to a bound": "Limit",
}


async def test_every_question_that_is_asked_often_has_its_index_on_sqlite(sqlite_database: Database) -> None:
    await sqlite_database.write(fill_history)

    faults: list[str] = []
    for name, (question, index) in QUESTIONS.items():
        known = "sqlite_autoindex" if index.startswith(("uq_", "pk_")) else index
        plans = await sqlite_database.write(explained(question))
        faults += [f"{name}: {plan}" for plan in plans if known not in plan]

    assert not faults, "\n\n".join(faults)


async def test_every_question_that_is_asked_often_has_its_index_on_postgresql(postgres_database: Database) -> None:
    await postgres_database.write(fill_history)

    faults: list[str] = []
    for name, (question, index) in QUESTIONS.items():
        plans = await postgres_database.write(explained(question))
        also = ALSO_GOOD_ON_POSTGRES.get(name, index)
        faults += [f"{name}: {plan}" for plan in plans if index not in plan and also not in plan]

    assert not faults, "\n\n".join(faults)


SORTED = [
    "heads of a signature",
    "due runs",
    "expired runs",
    "runs of a job",
    "runs in a rare state",
    "runs of a worker",
]


async def test_what_is_asked_in_an_order_needs_no_sorting(sqlite_database: Database) -> None:
    await sqlite_database.write(fill_history)

    for name in SORTED:
        question, _ = QUESTIONS[name]
        for plan in await sqlite_database.write(explained(question)):
            assert "TEMP B-TREE" not in plan, name
