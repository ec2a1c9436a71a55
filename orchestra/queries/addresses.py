"""Where each thing is found in the API, and how views write instants."""

from datetime import datetime
from typing import overload

from orchestra.clock import Instant, to_datetime

API = "/api/v1"


def run_address(run: int) -> str:
    """The path of a run."""
    return f"{API}/runs/{run}"


def job_address(project: str, job: str) -> str:
    """The path of a job."""
    return f"{API}/projects/{project}/jobs/{job}"


def schedule_address(project: str, job: str) -> str:
    """The path of a job's schedule."""
    return f"{job_address(project, job)}/schedule"


def worker_address(worker: str) -> str:
    """The path of a worker."""
    return f"{API}/workers/{worker}"


@overload
def moment(instant: int) -> datetime: ...
@overload
def moment(instant: int | None) -> datetime | None: ...
def moment(instant: int | None) -> datetime | None:
    """The stored instant for a view; msgspec writes it as RFC 3339 in UTC."""
    return None if instant is None else to_datetime(Instant(instant))
