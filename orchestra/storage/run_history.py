"""What was before pending runs, for the choice of their workers: where their jobs last succeeded, where they failed."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, or_, select

from orchestra.identifiers import RunId, WorkerId
from orchestra.lifecycle import AttemptState, RunState
from orchestra.matching import NO_HISTORY, RunHistory
from orchestra.storage.prepared import PreparedQuery, listed
from orchestra.storage.tables import attempts, runs

LOOK_BACK_RUNS_MAX = 1000
"""A job that did not succeed in so many runs has no warm worker: a wish is not worth reading a whole history."""


def histories_of(
    connection: Connection, *, sticky: Sequence[RunId] = (), avoiding: Sequence[RunId] = ()
) -> dict[RunId, RunHistory]:
    """What is known of these runs: of the `sticky` ones where their job last succeeded, of the `avoiding` ones where
    their attempts failed, broke or were lost. A run of which nothing is known is not among them."""
    warm = _warm_workers(connection, sticky) if sticky else {}
    failed = _failed_workers(connection, avoiding) if avoiding else {}
    return {
        run: RunHistory(warm=warm.get(run), failed=failed.get(run, NO_HISTORY.failed))
        for run in warm.keys() | failed.keys()
    }


def _warm_workers(connection: Connection, wanted: Sequence[RunId]) -> dict[RunId, WorkerId]:
    of_job: dict[int, list[int]] = {}
    for row in _JOBS.all(connection, {"wanted": list(wanted)}):
        of_job.setdefault(row.job_id, []).append(row.id)
    found: dict[RunId, WorkerId] = {}
    for job, members in of_job.items():
        # Only what is older than these runs: the many that wait behind them have succeeded nowhere.
        last = _LAST_SUCCESS.first(connection, {"job": job, "before": max(members), "most": LOOK_BACK_RUNS_MAX})
        if last is not None:
            found |= dict.fromkeys(map(RunId, members), WorkerId(last.worker_id))
    return found


def _failed_workers(connection: Connection, wanted: Sequence[RunId]) -> dict[RunId, frozenset[WorkerId]]:
    found: dict[RunId, set[WorkerId]] = {}
    for row in _FAILED.all(connection, {"wanted": list(wanted)}):
        found.setdefault(RunId(row.run_id), set()).add(WorkerId(row.worker_id))
    return {run: frozenset(workers) for run, workers in found.items()}


class _Job(NamedTuple):
    id: int
    job_id: int


class _Success(NamedTuple):
    worker_id: int


class _Failure(NamedTuple):
    run_id: int
    worker_id: int


_JOBS = PreparedQuery(
    _Job,
    lambda count: select(runs.c.id, runs.c.job_id).where(runs.c.id.in_(listed("wanted", runs.c.id.type, count))),
    of_list="wanted",
)
_BEFORE = (
    select(runs.c.id, runs.c.state, runs.c.worker_id)
    .where(runs.c.job_id == bindparam("job"), runs.c.id < bindparam("before"))
    .order_by(runs.c.id.desc())
    .limit(bindparam("most"))
    .subquery()
)
_LAST_SUCCESS = PreparedQuery(
    _Success,
    lambda _: (
        select(_BEFORE.c.worker_id)
        # A run that `orchestra wrap` recorded had none.
        .where(_BEFORE.c.state == RunState.SUCCEEDED, _BEFORE.c.worker_id.is_not(None))
        .order_by(_BEFORE.c.id.desc())
        .limit(1)
    ),
)
_FAILED = PreparedQuery(
    _Failure,
    lambda count: select(attempts.c.run_id, attempts.c.worker_id).where(
        attempts.c.run_id.in_(listed("wanted", attempts.c.run_id.type, count)),
        or_(attempts.c.state == AttemptState.FAILED, attempts.c.state == AttemptState.EXCEPTION),
        attempts.c.worker_id.is_not(None),
    ),
    of_list="wanted",
)
