"""Statements of the hot path: compiled once, then given to the driver itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy import BindParameter, ClauseElement, Connection, CursorResult, Table, bindparam
from sqlalchemy.engine.interfaces import DBAPICursor, DBAPIModule
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.schema import ScalarElementColumnDefault
from sqlalchemy.types import TypeEngine

from orchestra.clock import Instant

R = TypeVar("R", bound=NamedTuple)
Values = Mapping[str, object]
Build = Callable[[int], ClauseElement]
"""Makes the statement. The number is how many values its list has, 0 if it has none."""


def inserted(table: Table, *names: str) -> Mapping[str, object]:
    """The values of an INSERT: parameters for these columns, and the constants that others have as default."""
    constants = {
        column.name: column.default.arg
        for column in table.columns
        if isinstance(column.default, ScalarElementColumnDefault)
    }
    return {**constants, **{name: bindparam(name) for name in names}}


def listed(name: str, kind: TypeEngine[int], count: int) -> list[BindParameter[int]]:
    """The places of a list of so many values, to be given to `in_`."""
    return [bindparam(_member(name, number), type_=kind) for number in range(count)]


class PreparedChange:
    """An INSERT, UPDATE or DELETE. It names every column that it writes: defaults are not looked at."""

    def __init__(self, build: Build) -> None:
        self._texts = _Texts(build)

    def execute(self, connection: Connection, values: Values) -> int:
        """Executes it once; returns how many rows it changed."""
        text = self._texts.compiled(connection, 0)
        return _execute(connection, text.sql, text.ordered(values)).rowcount

    def execute_all(self, connection: Connection, values: Sequence[Values]) -> None:
        """Executes it for each of these, in their order."""
        if len(values) == 1:
            self.execute(connection, values[0])
        elif values:
            text = self._texts.compiled(connection, 0)
            _execute_many(connection, text.sql, [text.ordered(each) for each in values])


class PreparedQuery(Generic[R]):
    """A SELECT, or a change with RETURNING, whose rows are named tuples of this type."""

    def __init__(self, row: type[R], build: Build, *, of_list: str | None = None) -> None:
        self._row = row
        self._texts = _Texts(build)
        self._of_list = of_list

    def all(self, connection: Connection, values: Values) -> list[R]:
        """Its rows. The list among the values, if it has one (`of_list`), must not be empty."""
        count = 0
        if self._of_list is not None:
            members = values[self._of_list]
            assert isinstance(members, list), "the list of a statement is a list"
            # Not a text for each length: repeating the last member finds nothing twice.
            count = 1 << (len(members) - 1).bit_length()
            padded = [*members, *members[-1:] * (count - len(members))]
            values = {**values, **{_member(self._of_list, number): each for number, each in enumerate(padded)}}
        text = self._texts.compiled(connection, count)
        rows = _execute(connection, text.sql, text.ordered(values)).fetchall()
        return [self._row._make(each) for each in rows]

    def first(self, connection: Connection, values: Values) -> R | None:
        """Its only row, or None."""
        rows = self.all(connection, values)
        assert len(rows) <= 1, "the statement names one row"
        return rows[0] if rows else None


class NextInstant(NamedTuple):
    """A row of one instant, the next of a kind; None if there is none."""

    at: Instant | None


@dataclass(frozen=True, slots=True)
class _Text:
    """What the driver of one database is given."""

    sql: str
    names: tuple[str, ...]
    constants: Values

    def ordered(self, values: Values) -> tuple[object, ...]:
        """The parameters in the order of their places."""
        if self.constants:
            values = {**self.constants, **values}
        if len(self.names) > 1:
            found: tuple[object, ...] = itemgetter(*self.names)(values)
            return found
        return tuple(values[name] for name in self.names)


class _Texts:
    """One statement for both databases, and for lists of several lengths."""

    def __init__(self, build: Build) -> None:
        self._build = build
        # Readers and the writer may both compile it at first, to the same text.
        self._known: dict[tuple[str, int], _Text] = {}

    def compiled(self, connection: Connection, count: int) -> _Text:
        key = (connection.dialect.name, count)
        known = self._known.get(key)
        if known is None:
            compiled = self._build(count).compile(dialect=connection.dialect)
            assert isinstance(compiled, SQLCompiler), "a statement, and no definition of a table"
            defaults = [*compiled.insert_prefetch, *compiled.update_prefetch]
            assert not defaults, f"defaults that nobody would work out: {defaults}"
            constants = {name: value for name, value in compiled.params.items() if value is not None}
            known = self._known[key] = _Text(compiled.string, tuple(compiled.positiontup or ()), constants)
        return known


def execute_text(connection: Connection, sql: str) -> None:
    """Gives the driver a statement without parameters; begins no transaction, so that it may be what begins one."""
    _to_driver(connection, sql, ())


def _member(name: str, number: int) -> str:
    return f"{name}_{number}"


def _execute(
    connection: Connection, sql: str, parameters: tuple[object, ...]
) -> DBAPICursor | CursorResult[tuple[object, ...]]:
    if _is_heard(connection):
        return connection.exec_driver_sql(sql, parameters)
    return _to_driver(connection, sql, parameters)


def _to_driver(connection: Connection, sql: str, parameters: tuple[object, ...]) -> DBAPICursor:
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql, parameters)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _explained(connection, sql, error) from error
    return cursor


def _execute_many(connection: Connection, sql: str, parameters: list[tuple[object, ...]]) -> None:
    if _is_heard(connection):
        connection.exec_driver_sql(sql, parameters)
        return
    cursor = connection.connection.cursor()
    try:
        cursor.executemany(sql, parameters)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _explained(connection, sql, error) from error


def _is_heard(connection: Connection) -> bool:
    """Whether somebody listens to the statements: a test that counts them, or that comes in between."""
    if not connection.in_transaction():
        connection.begin()
    return bool(connection.dispatch.before_cursor_execute)


def _explained(connection: Connection, sql: str, error: DBAPIModule.Error) -> BaseException:
    """The error as everywhere else, so that nobody above has to know who executed the statement."""
    dialect = connection.dialect
    is_lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
    return DBAPIError.instance(
        sql,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=dialect,
    )
