"""Answering elements that wait for a person."""

from sqlalchemy import Connection

from orchestra.clock import Clock
from orchestra.commands.reasons import check_reason
from orchestra.elements import Approval, Verdict
from orchestra.errors import NotAsked
from orchestra.identifiers import ProjectId, RunId
from orchestra.policy import Permission, Principal
from orchestra.queries.elements import PipelineView, show_elements
from orchestra.queries.runs import project_of_run
from orchestra.storage.approvals import answer_approval, approval_of
from orchestra.storage.audit import record_change
from orchestra.storage.database import Database


class Approvals:
    """What people may say to a pipeline that asks them."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def answer(self, who: Principal, run: RunId, element: str, verdict: Verdict, *, reason: str) -> PipelineView:
        """Approves or rejects. Raises InvalidFields, NotFound, NotAllowed, and Conflict if nobody is asked."""
        check_reason(reason)
        now = self._clock.now()

        def answer(connection: Connection) -> PipelineView:
            project = project_of_run(connection, who, run)
            who.require_in(Permission.RUN, project, "run", run)
            asked = approval_of(connection, run, element)
            if not may_answer(who, asked, project):
                raise NotAsked(element, asked.by)
            answer_approval(connection, run, element, verdict, by=who.actor, reason=reason, now=now)
            record_change(
                connection,
                who,
                at=now,
                action=_ACTION[verdict],
                subject=f"run #{run}",
                detail=f"{element}: {reason}" if reason else element,
            )
            return show_elements(connection, who, run)

        return await self._database.write(answer)


_ACTION = {Verdict.APPROVE: "element_approved", Verdict.REJECT: "element_rejected"}


def may_answer(who: Principal, approval: Approval, project: ProjectId) -> bool:
    """Whether this person is asked: by name, or by a role in the project or everywhere."""
    roles = {grant.role.value for grant in who.grants if grant.project_id in (None, project)}
    return not approval.by or who.name in approval.by or bool(roles & set(approval.by))
