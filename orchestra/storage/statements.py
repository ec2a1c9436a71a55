"""Changes of single rows by their key, for whichever columns change: each set of columns makes one statement."""

from collections.abc import Iterable, Mapping
from functools import cache

from sqlalchemy import Connection, Table, and_, bindparam, update

from orchestra.storage.prepared import PreparedChange

Values = Mapping[str, object]


def update_rows(connection: Connection, table: Table, rows: Iterable[tuple[Values, Values]]) -> None:
    """Updates each row, named by its key, with its changes; those that change the same columns share a statement."""
    alike: dict[PreparedChange, list[Values]] = {}
    for key, changes in rows:
        statement, parameters = update_row(table, key, changes)
        alike.setdefault(statement, []).append(parameters)
    for statement, parameter_sets in alike.items():
        statement.execute_all(connection, parameter_sets)


def update_row(table: Table, key: Values, changes: Values) -> tuple[PreparedChange, Values]:
    """An UPDATE of the rows whose columns equal `key`, and its parameters."""
    parameters = {f"its_{name}": value for name, value in key.items()}
    parameters |= {f"new_{name}": value for name, value in changes.items()}
    return _update(table, tuple(key), tuple(sorted(changes))), parameters


@cache
def _update(table: Table, key: tuple[str, ...], changes: tuple[str, ...]) -> PreparedChange:
    # As many as there are sets of columns in the code, so that the cache needs no bound.
    return PreparedChange(
        lambda _: (
            update(table)
            .where(and_(*(table.c[name] == bindparam(f"its_{name}") for name in key)))
            .values({name: bindparam(f"new_{name}") for name in changes})
        )
    )
