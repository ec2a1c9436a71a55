"""Changing a definition on behalf of a person: planned without a trace, applied with an audit entry and a signal."""

import asyncio
from dataclasses import replace

from sqlalchemy import Connection

from orchestra.clock import Clock
from orchestra.commands.definitions import Action, Kind, Plan, apply_definition, plan
from orchestra.definition.checks import require_usable
from orchestra.errors import ChangedSincePlan
from orchestra.policy import Permission, Principal
from orchestra.queries.crowds import crowds_of_plan
from orchestra.queries.reserves import reserve_warnings
from orchestra.specification import ProjectDefinition
from orchestra.storage.audit import record_change
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.projects import has_project

_CHANGES_AUDITED_MAX = 50
NOTHING_YET = ""
"""The version to expect of a project that shall not be there yet."""


class DefinitionChanges:
    """Plans and applies definitions that belong to no file."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def plan(self, who: Principal, definition: ProjectDefinition) -> Plan:
        """What the definition would change now. Raises NotAllowed, InvalidFields."""
        who.require(Permission.DEFINE)
        await _require_usable(definition)
        now = self._clock.now()
        return await self._database.read(
            lambda connection: _warned(connection, plan(connection, definition, now, who=who), definition)
        )

    async def apply(
        self, who: Principal, definition: ProjectDefinition, *, source: str, expected: str | None = None
    ) -> Plan:
        """Makes the definition hold; `expected` is the version that must hold before, None for any.

        Raises NotAllowed, InvalidFields, Conflict (it belongs to a file), ChangedSincePlan.
        """
        who.require(Permission.DEFINE)
        await _require_usable(definition)
        now = self._clock.now()

        def apply(connection: Connection) -> Plan:
            if expected == NOTHING_YET and has_project(connection, definition.name):
                raise ChangedSincePlan(definition.name, expected, None)
            made = apply_definition(
                connection,
                definition,
                owner_file=None,
                source=source,
                by=who.actor,
                now=now,
                if_match=expected or None,
                who=who,
            )
            record_change(
                connection,
                who,
                at=now,
                action="definition_applied",
                subject=f"project {definition.name}",
                detail=f"from {source}",
                before={"version": made.planned_on},
                after={"version": made.version, "changes": _in_words(made)},
            )
            return _warned(connection, made, definition)

        return await self._database.write(apply, signals=[Signal(Topic.DUE)])


def _warned(connection: Connection, made: Plan, definition: ProjectDefinition) -> Plan:
    dues = {fire.job: fire.at for fire in made.next}
    changed = {each.name for each in made.changes if each.kind is Kind.SCHEDULE and each.action is not Action.KEEP}
    crowds = crowds_of_plan(connection, made.project, dues, changed)
    return replace(made, warnings=(*crowds, *reserve_warnings(connection, definition.reserve)))


async def _require_usable(definition: ProjectDefinition) -> None:
    # Thousands of elements take a second: nobody else shall wait for it.
    await asyncio.to_thread(require_usable, definition)


def _in_words(made: Plan) -> list[str]:
    changed = [change for change in made.changes if change.action is not Action.KEEP]
    words = [f"{change.action} {change.kind} {change.name}" for change in changed[:_CHANGES_AUDITED_MAX]]
    return words if len(changed) <= len(words) else [*words, f"and {len(changed) - len(words)} more"]
