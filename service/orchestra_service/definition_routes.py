"""Definitions over HTTP: what would change, and the change itself."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection
from starlette.responses import Response

from orchestra.clock import Clock
from orchestra.commands.definitions import Action, Kind, Plan, apply_definition, plan
from orchestra.definition.canonical import decode_definition
from orchestra.definition.checks import require_usable
from orchestra.errors import InvalidFields
from orchestra.queries.addresses import API, moment
from orchestra.specification import ProjectDefinition
from orchestra.storage.audit import record_change
from orchestra.storage.database import Database, Signal, Topic
from orchestra.web.answers import json_answer
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import BadQuery
from orchestra_service.operation import Field, Operation

_TRUTH = {"true": True, "false": False}
_SOURCE_CHARACTERS_MAX = 255
_CHANGES_AUDITED_MAX = 50
_ASKED = (
    Field("dry_run", "`true` changes nothing and answers the plan.", {"type": "boolean", "default": False}),
    Field("source", "Where it comes from, for the history."),
)
_IF_MATCH = Field("If-Match", "The `version` that is to be replaced: 412 if another one holds.")


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a plan."""

    action: Action
    kind: Kind
    name: str
    detail: str


class FireView(msgspec.Struct, frozen=True, kw_only=True):
    """When a job runs by itself next."""

    job: str
    at: datetime


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """What a definition changes."""

    project: str
    changes: tuple[ChangeView, ...]
    next: tuple[FireView, ...]


class AppliedView(msgspec.Struct, frozen=True, kw_only=True):
    """A plan, and whether it was carried out."""

    plan: PlanView
    applied: bool
    version: str
    """The digest of the definition: for `If-Match` on the next change."""


class DefinitionRoutes:
    """The handler for definitions."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("PUT", f"{API}/projects/{{project}}/definition"): Operation(
                self.put,
                takes=ProjectDefinition,
                answers=AppliedView,
                query=_ASKED,
                headers=(_IF_MATCH,),
                also=(409, 412),
            )
        }

    async def put(self, asking: Asking) -> Response:
        """Plans, and unless it is a dry run applies."""
        query = asking.query("dry_run", "source")
        dry_run = _TRUTH.get(query.get("dry_run", "false"))
        if dry_run is None:
            raise BadQuery([("/dry_run", "must be true or false")])
        definition = decode_definition(asking.body)
        if definition.name != asking.path("project"):
            raise InvalidFields([("/name", f"is {definition.name!r}, but the path says {asking.path('project')!r}")])
        require_usable(definition)
        source = query.get("source", "the API")[:_SOURCE_CHARACTERS_MAX]
        if_match = asking.request.headers.get("if-match", "").strip('"') or None
        now = self._clock.now()
        if dry_run:
            planned = await self._database.read(lambda connection: plan(connection, definition, now))
            return _answer(planned, applied=False)

        def apply(connection: Connection) -> Plan:
            made = apply_definition(
                connection,
                definition,
                owner_file=None,
                source=source,
                by=asking.who.actor,
                now=now,
                if_match=if_match,
            )
            record_change(
                connection,
                asking.who,
                at=now,
                action="definition_applied",
                subject=f"project {definition.name}",
                detail=f"from {source}",
                before={"version": made.planned_on},
                after={"version": made.version, "changes": _in_words(made)},
            )
            return made

        made = await self._database.write(apply, signals=[Signal(Topic.DUE)])
        return _answer(made, applied=True)


def _in_words(made: Plan) -> list[str]:
    changed = [change for change in made.changes if change.action is not Action.KEEP]
    words = [f"{change.action} {change.kind} {change.name}" for change in changed[:_CHANGES_AUDITED_MAX]]
    return words if len(changed) <= len(words) else [*words, f"and {len(changed) - len(words)} more"]


def _answer(made: Plan, *, applied: bool) -> Response:
    view = PlanView(
        project=made.project,
        changes=tuple(
            ChangeView(action=change.action, kind=change.kind, name=change.name, detail=change.detail)
            for change in made.changes
        ),
        next=tuple(FireView(job=fire.job, at=moment(fire.at)) for fire in made.next),
    )
    answer = AppliedView(plan=view, applied=applied, version=made.version)
    return json_answer(answer, headers={"etag": f'"{made.version}"'})
