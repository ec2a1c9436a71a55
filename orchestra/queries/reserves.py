"""Whether the workers that are known have what a project reserves, told before the reserve is made."""

import msgspec
from sqlalchemy import Connection, select

from orchestra.matching import exclusion, properties_of
from orchestra.specification import Matching, PropertyValue, SlotReserve
from orchestra.storage.tables import workers


def reserve_warnings(connection: Connection, reserve: SlotReserve | None) -> tuple[str, ...]:
    """A warning if the reserve is larger than all slots of the workers that have what it asks for, online or not."""
    if reserve is None:
        return ()
    wanted = Matching(requirements=reserve.requirements)
    slots = sum(
        row.slots
        for row in connection.execute(select(workers.c.name, workers.c.properties, workers.c.slots))
        if exclusion(wanted, _properties(row.name, row.properties)) is None
    )
    if slots >= reserve.count:
        return ()
    asked = f"the reserve of {reserve.count} slot{'' if reserve.count == 1 else 's'}"
    if slots == 0:
        return (f"{asked} is kept nowhere: no worker that is known has what it asks for",)
    return (f"{asked} is more than all {slots} of the workers that match: no other project can use them",)


def _properties(name: str, said: str) -> dict[str, PropertyValue]:
    return properties_of(name, msgspec.json.decode(said, type=dict[str, PropertyValue]))
