"""What a database is asked: every statement, and every commit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Engine, event


@dataclass
class Asked:
    """What all databases of this process were asked meanwhile."""

    statements: list[str] = field(default_factory=list)
    commits: int = 0


@contextmanager
def counted_statements() -> Iterator[Asked]:
    """Every statement that any database executes meanwhile."""
    asked = Asked()

    def note(_connection: object, _cursor: object, text: str, *_: object) -> None:
        asked.statements.append(text)

    def committed(_connection: object) -> None:
        asked.commits += 1

    event.listen(Engine, "before_cursor_execute", note)
    event.listen(Engine, "commit", committed)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)
        event.remove(Engine, "commit", committed)
