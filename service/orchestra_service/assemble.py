"""Puts the service together: the only place here that names concrete classes."""

from starlette.routing import BaseRoute, Mount

from orchestra.metrics import METRICS_TYPE
from orchestra.queries.addresses import API
from orchestra.web.endpoint import Handlers, Nowhere, build_routes
from orchestra.web.metrics_routes import METRICS_ROW
from orchestra.web.parts import WebParts
from orchestra_service.account_routes import AccountRoutes
from orchestra_service.archive_routes import ArchiveRoutes
from orchestra_service.audit_routes import AuditRoutes
from orchestra_service.contract_routes import ContractRoutes
from orchestra_service.definition_routes import DefinitionRoutes
from orchestra_service.event_routes import EventRoutes
from orchestra_service.health_routes import HealthRoutes
from orchestra_service.job_routes import JobRoutes
from orchestra_service.log_routes import LogRoutes
from orchestra_service.operation import Operation
from orchestra_service.pipeline_routes import PipelineRoutes
from orchestra_service.policy import POLICY
from orchestra_service.problems import Problems
from orchestra_service.profile_routes import ProfileRoutes
from orchestra_service.run_routes import RunRoutes
from orchestra_service.schedule_routes import ScheduleRoutes
from orchestra_service.worker_routes import WorkerRoutes
from orchestra_service.wrap_routes import WrapRoutes


def service_routes(parts: WebParts) -> list[BaseRoute]:
    """Everything below the API's path, what is not there included; raises RouteWithoutPolicy."""
    problems = Problems()
    nowhere = Mount(API, app=Nowhere(door=parts.door, refusals=problems))
    return [*build_routes(parts.door, POLICY, service_handlers(parts), problems), nowhere]


def service_handlers(parts: WebParts) -> Handlers:
    """Every handler of the service with its row."""
    groups: tuple[Handlers, ...] = (
        RunRoutes(parts=parts).handlers,
        WrapRoutes(parts=parts).handlers,
        PipelineRoutes(parts=parts).handlers,
        LogRoutes(parts=parts).handlers,
        ArchiveRoutes(parts=parts).handlers,
        JobRoutes(parts=parts).handlers,
        ScheduleRoutes(parts=parts).handlers,
        WorkerRoutes(parts=parts).handlers,
        DefinitionRoutes(parts=parts).handlers,
        AccountRoutes(parts=parts).handlers,
        EventRoutes(parts=parts).handlers,
        ProfileRoutes(parts=parts).handlers,
        AuditRoutes(parts=parts).handlers,
        HealthRoutes(parts=parts).handlers,
        {METRICS_ROW: Operation(parts.metrics.read, kind=METRICS_TYPE)},
    )
    handlers = {row: handler for group in groups for row, handler in group.items()}
    return {**handlers, **ContractRoutes(others=handlers, policy=POLICY).handlers}
