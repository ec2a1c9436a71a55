"""How a database goes about a statement: the statements that a function sends, each with its plan."""

from collections.abc import Callable

from sqlalchemy import Connection, event


def plans_of(connection: Connection, function: Callable[[Connection], object]) -> list[str]:
    """Runs the function and explains every `select` that it has sent, as text."""
    sent: list[tuple[str, object]] = []

    def note(
        _connection: Connection, _cursor: object, statement: str, parameters: object, _context: object, _many: bool
    ) -> None:
        sent.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    try:
        function(connection)
    finally:
        event.remove(connection, "before_cursor_execute", note)
    asked = [each for each in sent if each[0].lower().startswith(("select", "with"))]
    return [_explain(connection, statement, parameters) for statement, parameters in asked]


def _explain(connection: Connection, statement: str, parameters: object) -> str:
    assert isinstance(parameters, tuple)
    verb = "explain query plan" if connection.dialect.name == "sqlite" else "explain"
    lines = connection.exec_driver_sql(f"{verb} {statement}", parameters).all()
    return "\n".join(str(line[-1]) for line in lines)
