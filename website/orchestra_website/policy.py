"""The one table that says what each page needs. A page without a row here stops the website from being built."""

from orchestra.policy import Permission
from orchestra.web.needs import Open, Policy

POLICY: Policy = {
    ("GET", "/"): Permission.OWN_ACCOUNT,
    ("POST", "/first-steps"): Permission.OWN_ACCOUNT,
    ("GET", "/sign-in"): Open.TO_ALL,
    ("POST", "/sign-in"): Open.TO_ALL,
    ("POST", "/sign-out"): Permission.OWN_ACCOUNT,
    ("POST", "/theme"): Open.TO_ALL,
    ("GET", "/static/{digest}/{name}"): Open.TO_ALL,
    ("GET", "/projects"): Permission.READ,
    ("GET", "/projects/{project}"): Permission.READ,
    ("GET", "/projects/{project}/jobs/{job}"): Permission.READ,
    ("GET", "/projects/{project}/jobs/{job}/disable"): Permission.SWITCH_JOBS,
    ("POST", "/projects/{project}/jobs/{job}/disable"): Permission.SWITCH_JOBS,
    ("POST", "/projects/{project}/jobs/{job}/enable"): Permission.SWITCH_JOBS,
    ("GET", "/projects/{project}/jobs/{job}/trigger"): Permission.RUN,
    ("POST", "/projects/{project}/jobs/{job}/trigger"): Permission.RUN,
    ("GET", "/define"): Permission.DEFINE,
    ("POST", "/define"): Permission.DEFINE,
    ("GET", "/runs"): Permission.READ,
    ("GET", "/projects/{project}/runs"): Permission.READ,
    ("GET", "/schedules"): Permission.READ,
    ("GET", "/schedules/preview"): Permission.READ,
    ("GET", "/projects/{project}/schedules"): Permission.READ,
    ("GET", "/projects/{project}/schedules/{job}"): Permission.READ,
    ("GET", "/projects/{project}/schedules/{job}/{change}"): Permission.SWITCH_JOBS,
    ("POST", "/projects/{project}/schedules/{job}/{change}"): Permission.SWITCH_JOBS,
    ("GET", "/workers"): Permission.READ,
    ("GET", "/workers/{worker}"): Permission.READ,
    ("GET", "/workers/{worker}/{change}"): Permission.STEER_WORKERS,
    ("POST", "/workers/{worker}/{change}"): Permission.STEER_WORKERS,
    ("GET", "/add-worker"): Permission.MANAGE_USERS,
    ("POST", "/add-worker"): Permission.MANAGE_USERS,
}
