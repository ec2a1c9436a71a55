"""An address for each page of the policy table, so that a new page cannot be left out of the walk."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestra_website.policy import POLICY

NOT_PAGES = frozenset({"/static/{digest}/{name}", "/runs/{run}/log/follow"})
"""What answers GET with something else than a page for people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One page to look at."""

    path: str
    """With `{failed}` and its kin for the numbers of runs, `{token}` for that of a token."""
    name: str | None = "ada"
    """Who looks; None: somebody who is not signed in."""


def _samples(*paths: str, name: str | None = "ada") -> tuple[Sample, ...]:
    return tuple(Sample(path=path, name=name) for path in paths)


SAMPLES: Mapping[str, tuple[Sample, ...]] = {
    "/": (*_samples("/"), *_samples("/", name="vera")),
    "/sign-in": (*_samples("/sign-in", "/sign-in?link=wrong", "/sign-in?next=/runs", name=None),),
    "/projects": (*_samples("/projects"), *_samples("/projects", name="ole")),
    "/projects/{project}": _samples("/projects/ops"),
    "/projects/{project}/jobs/{job}": (
        *_samples("/projects/ops/jobs/backup", "/projects/ops/jobs/render", "/projects/ops/jobs/paused"),
        *_samples("/projects/ops/jobs/grim"),
        *_samples("/projects/ops/jobs/report", name="vera"),
        *_samples("/projects/web/jobs/release"),
    ),
    "/projects/{project}/jobs/{job}/disable": _samples("/projects/ops/jobs/backup/disable", name="ana"),
    "/projects/{project}/jobs/{job}/release": _samples(
        "/projects/ops/jobs/grim/release", "/projects/ops/jobs/backup/release", name="ana"
    ),
    "/projects/{project}/jobs/{job}/trigger": _samples(
        "/projects/ops/jobs/backup/trigger",
        "/projects/ops/jobs/report/trigger",
        "/projects/web/jobs/release/trigger?retry_of={refused}&from=build",
        name="ana",
    ),
    "/search": _samples("/search", "/search?q=backup", "/search?q=nothing-has-this-name"),
    "/help": _samples("/help"),
    "/define": _samples("/define"),
    "/runs": (
        *_samples("/runs", "/runs?status=failed", "/runs?job=nothing-has-this-name"),
        *_samples("/runs", name="vera"),
    ),
    "/projects/{project}/runs": _samples("/projects/ops/runs"),
    "/runs/{run}": (
        *_samples("/runs/{failed}", "/runs/{succeeded}", "/runs/{running}", "/runs/{waiting}", "/runs/{retried}"),
        *_samples("/runs/{retried}?attempt=1", "/runs/{aborted}", "/runs/{cancelled}"),
        *_samples("/runs/{failed}", name="vera"),
        *_samples("/runs/{pipeline}", "/runs/{repaired}", "/runs/{child}"),
    ),
    "/runs/{run}/steps": _samples("/runs/{failed}/steps"),
    "/runs/{run}/attempts": _samples("/runs/{retried}/attempts"),
    "/runs/{run}/parameters": _samples("/runs/{succeeded}/parameters"),
    "/runs/{run}/timeline": _samples(
        "/runs/{retried}/timeline", "/runs/{pipeline}/timeline", "/runs/{repaired}/timeline"
    ),
    "/runs/{run}/graph": (
        *_samples("/runs/{pipeline}/graph", "/runs/{refused}/graph", "/runs/{repaired}/graph"),
        *_samples("/runs/{pipeline}/graph?element=build"),
        *_samples("/runs/{pipeline}/graph", name="vera"),
    ),
    "/runs/{run}/log": _samples(
        "/runs/{succeeded}/log", "/runs/{long}/log", "/runs/{long}/log?q=line+123", "/runs/{running}/log"
    ),
    # That of a run which still goes on never ends to load: a journey looks at it.
    "/runs/{run}/log/live": _samples("/runs/{succeeded}/log/live"),
    "/runs/{run}/cancel": _samples("/runs/{waiting}/cancel", name="ana"),
    "/runs/{run}/abort": _samples("/runs/{running}/abort", name="ana"),
    "/schedules": _samples("/schedules"),
    "/schedules/preview": _samples(
        "/schedules/preview",
        "/schedules/preview?cron=30+2+*+*+*&zone=Europe/Paris",
        "/schedules/preview?cron=0+61+*+*+*&zone=Mars",
    ),
    "/schedules/calendar": _samples("/schedules/calendar", "/schedules/calendar?month=2099-12"),
    "/projects/{project}/schedules": _samples("/projects/ops/schedules"),
    "/projects/{project}/schedules/{job}": (
        *_samples("/projects/ops/schedules/report", "/projects/ops/schedules/paused", "/projects/ops/schedules/sync"),
        *_samples("/projects/ops/schedules/sync", name="ana"),
    ),
    "/projects/{project}/schedules/{job}/pause": _samples(
        "/projects/ops/schedules/report/pause", "/projects/ops/schedules/sync/pause", name="ana"
    ),
    "/projects/{project}/schedules/{job}/{change}": _samples("/projects/ops/schedules/report/disable", name="ana"),
    "/workers": (*_samples("/workers"), *_samples("/workers", name="vera")),
    "/workers/{worker}": _samples("/workers/atlas", "/workers/gone"),
    "/workers/{worker}/{change}": _samples("/workers/atlas/disable", "/workers/gone/enable", name="ana"),
    "/admin": (*_samples("/admin"), *_samples("/admin", name="otto")),
    "/admin/roles": _samples("/admin/roles"),
    "/admin/audit": _samples("/admin/audit"),
    "/admin/users": (*_samples("/admin/users"), *_samples("/admin/users", name="otto")),
    "/admin/add-user": _samples("/admin/add-user"),
    "/admin/users/{user}": _samples("/admin/users/ana", "/admin/users/ole"),
    "/admin/users/{user}/disable": _samples("/admin/users/ana/disable"),
    "/admin/users/{user}/link": _samples("/admin/users/ana/link"),
    "/admin/tokens": _samples("/admin/tokens"),
    "/admin/tokens/{token}/revoke": _samples("/admin/tokens/{token}/revoke"),
    "/me": (*_samples("/me"), *_samples("/me", name="vera")),
    "/me/tokens/{token}/revoke": _samples("/me/tokens/{token}/revoke"),
    "/me/sign-out-everywhere": _samples("/me/sign-out-everywhere"),
    "/add-worker": _samples("/add-worker", "/add-worker?name=build-07", "/add-worker?name=atlas"),
}
"""By the path in the policy table."""
ERRORS = _samples("/nothing/is/here", "/runs?colour=red")
"""Pages that refuse: they are pages too."""


def pages_of_the_policy() -> list[str]:
    """The paths that a browser opens."""
    return [path for method, path in POLICY if method == "GET" and path not in NOT_PAGES]
