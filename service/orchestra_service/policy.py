"""The one table that says what each route needs. A route without a row here stops the service from being built.

The permission decides who gets through the door; within which projects is decided by the commands and queries,
which look at the object itself.
"""

from orchestra.policy import Permission
from orchestra.queries.addresses import API
from orchestra.web.needs import Open, Policy

POLICY: Policy = {
    ("GET", "/api"): Open.TO_ALL,
    ("GET", f"{API}/openapi.json"): Open.TO_ALL,
    ("GET", f"{API}/health/live"): Open.TO_ALL,
    ("GET", f"{API}/health/ready"): Open.TO_ALL,
    ("POST", f"{API}/sign-in"): Open.TO_ALL,
    ("POST", f"{API}/sign-out"): Permission.OWN_ACCOUNT,
    ("GET", f"{API}/me"): Permission.OWN_ACCOUNT,
    ("GET", f"{API}/projects"): Permission.READ,
    ("GET", f"{API}/attention"): Permission.READ,
    ("GET", f"{API}/projects/{{project}}"): Permission.READ,
    ("GET", f"{API}/projects/{{project}}/definition"): Permission.READ,
    ("PUT", f"{API}/projects/{{project}}/definition"): Permission.DEFINE,
    ("GET", f"{API}/jobs"): Permission.READ,
    ("GET", f"{API}/projects/{{project}}/jobs/{{job}}"): Permission.READ,
    ("PATCH", f"{API}/projects/{{project}}/jobs/{{job}}"): Permission.SWITCH_JOBS,
    ("POST", f"{API}/projects/{{project}}/jobs/{{job}}/runs"): Permission.RUN,
    ("GET", f"{API}/runs"): Permission.READ,
    ("GET", f"{API}/runs/{{run}}"): Permission.READ,
    ("GET", f"{API}/runs/{{run}}/waiting"): Permission.READ,
    ("GET", f"{API}/runs/{{run}}/results"): Permission.READ,
    ("GET", f"{API}/runs/{{run}}/events"): Permission.READ,
    ("GET", f"{API}/runs/{{run}}/archive"): Permission.READ,
    ("POST", f"{API}/runs/{{run}}/cancel"): Permission.RUN,
    ("POST", f"{API}/runs/{{run}}/abort"): Permission.RUN,
    ("POST", f"{API}/runs/{{run}}/retry"): Permission.RUN,
    ("GET", f"{API}/runs/{{run}}/log"): Permission.READ,
    ("GET", f"{API}/runs/{{run}}/log/stream"): Permission.READ,
    ("GET", f"{API}/runs/{{run}}/attempts/{{attempt}}/log"): Permission.READ,
    ("GET", f"{API}/schedules"): Permission.READ,
    ("GET", f"{API}/schedules/preview"): Permission.READ,
    ("GET", f"{API}/projects/{{project}}/jobs/{{job}}/schedule"): Permission.READ,
    ("GET", f"{API}/projects/{{project}}/jobs/{{job}}/schedule/next"): Permission.READ,
    ("GET", f"{API}/projects/{{project}}/jobs/{{job}}/schedule/ticks"): Permission.READ,
    ("GET", f"{API}/workers"): Permission.READ,
    ("GET", f"{API}/workers/{{worker}}"): Permission.READ,
    ("GET", f"{API}/workers/{{worker}}/jobs"): Permission.READ,
    ("PATCH", f"{API}/workers/{{worker}}"): Permission.STEER_WORKERS,
    ("GET", f"{API}/users"): Permission.READ_USERS,
    ("POST", f"{API}/users"): Permission.MANAGE_USERS,
    ("PATCH", f"{API}/users/{{user}}"): Permission.OWN_ACCOUNT,
    ("GET", f"{API}/tokens"): Permission.OWN_ACCOUNT,
    ("POST", f"{API}/tokens"): Permission.OWN_ACCOUNT,
    ("DELETE", f"{API}/tokens/{{token}}"): Permission.OWN_ACCOUNT,
}
