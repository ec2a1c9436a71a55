"""Definitions over HTTP: the one that holds, what another would change, and the change itself."""

from datetime import datetime

import msgspec
from starlette.responses import Response

from orchestra.commands.definitions import Action, Kind, Plan
from orchestra.definition.canonical import decode_definition
from orchestra.errors import InvalidFields
from orchestra.queries.addresses import API, moment
from orchestra.queries.projects import AppliedDefinition, show_definition
from orchestra.specification import ProjectDefinition
from orchestra.web.answers import json_answer
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import BadQuery
from orchestra.web.parts import WebParts
from orchestra_service.operation import Field, Operation

_TRUTH = {"true": True, "false": False}
_SOURCE_CHARACTERS_MAX = 255
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
    warnings: tuple[str, ...]
    """What is probably not meant."""


class AppliedView(msgspec.Struct, frozen=True, kw_only=True):
    """A plan, and whether it was carried out."""

    plan: PlanView
    applied: bool
    version: str
    """The digest of the definition: for `If-Match` on the next change."""


class DefinitionRoutes:
    """The handlers for definitions."""

    def __init__(self, *, parts: WebParts) -> None:
        self._database = parts.database
        self._changes = parts.definition_changes

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", f"{API}/projects/{{project}}/definition"): Operation(self.show, answers=AppliedDefinition),
            ("PUT", f"{API}/projects/{{project}}/definition"): Operation(
                self.put,
                takes=ProjectDefinition,
                answers=AppliedView,
                query=_ASKED,
                headers=(_IF_MATCH,),
                also=(409, 412),
            ),
        }

    async def show(self, asking: Asking) -> Response:
        """The definition that holds; its ETag is the version that `If-Match` names."""
        asking.query()
        name = asking.path("project")
        found = await self._database.read(lambda connection: show_definition(connection, asking.who, name))
        return json_answer(found, headers={"etag": f'"{found.version}"'})

    async def put(self, asking: Asking) -> Response:
        """Plans, and unless it is a dry run applies."""
        query = asking.query("dry_run", "source")
        dry_run = _TRUTH.get(query.get("dry_run", "false"))
        if dry_run is None:
            raise BadQuery([("/dry_run", "must be true or false")])
        definition = decode_definition(asking.body)
        if definition.name != asking.path("project"):
            raise InvalidFields([("/name", f"is {definition.name!r}, but the path says {asking.path('project')!r}")])
        if dry_run:
            return _answer(await self._changes.plan(asking.who, definition), applied=False)
        source = query.get("source", "the API")[:_SOURCE_CHARACTERS_MAX]
        expected = asking.request.headers.get("if-match", "").strip('"') or None
        made = await self._changes.apply(asking.who, definition, source=source, expected=expected)
        return _answer(made, applied=True)


def _answer(made: Plan, *, applied: bool) -> Response:
    view = PlanView(
        project=made.project,
        changes=tuple(
            ChangeView(action=change.action, kind=change.kind, name=change.name, detail=change.detail)
            for change in made.changes
        ),
        next=tuple(FireView(job=fire.job, at=moment(fire.at)) for fire in made.next),
        warnings=made.warnings,
    )
    answer = AppliedView(plan=view, applied=applied, version=made.version)
    return json_answer(answer, headers={"etag": f'"{made.version}"'})
