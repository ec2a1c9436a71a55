"""Results of runs: what they found out, kept so that a filter such as `result.version=1.2` finds them."""

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection

from orchestra.identifiers import RunId
from orchestra.limits import RESULT_TEXT_CHARACTERS_MAX
from orchestra.storage.tables import run_results
from orchestra.storage.upserts import insert_into


def set_results(connection: Connection, run: RunId, values: Mapping[str, msgspec.Raw]) -> None:
    """Gives the names these values (JSON each); a name that was there gets the new one."""
    if not values:
        return
    rows = [
        {"run_id": run, "name": name, "value": bytes(value).decode(), "text": comparable_text(bytes(value))}
        for name, value in values.items()
    ]
    new = insert_into(run_results, connection.dialect.name)
    changed = {"value": new.excluded.value, "text": new.excluded.text}
    connection.execute(new.on_conflict_do_update(index_elements=["run_id", "name"], set_=changed), rows)


def comparable_text(value: bytes) -> str:
    """What a filter compares: the beginning of a string without its quotes, or of the JSON of everything else."""
    # Only a string is looked into: a deeply nested value would exhaust the stack.
    text = msgspec.json.decode(value, type=str) if value.lstrip().startswith(b'"') else value.decode()
    return text[:RESULT_TEXT_CHARACTERS_MAX]
