"""A witness of pipelines: the database itself notes what begins and ends of them, in the order of the commits."""

from typing import NamedTuple

from sqlalchemy import Connection, text

from orchestra.matching import PIPELINE

_NOTES = (
    "create table pipeline_notes (id integer primary key, kind text, run_id integer, element text)",
    """create trigger note_children after insert on runs when new.parent_id is not null begin
        insert into pipeline_notes (kind, run_id) values ('made', new.id); end""",
    """create trigger note_ends after update of ended_at on runs when old.ended_at is null and new.ended_at is not null
        begin insert into pipeline_notes (kind, run_id) values ('over', new.id); end""",
    """create trigger note_stops after update of stop_requested_at on runs when old.stop_requested_at is null begin
        insert into pipeline_notes (kind, run_id) values ('stop', new.id); end""",
    f"""create trigger note_beginnings after update of state on runs
        when new.signature = '{PIPELINE}' and new.state = 'running' begin
        insert into pipeline_notes (kind, run_id) values ('begun', new.id); end""",
    """create trigger note_answers after update of decided_at on pipeline_elements begin
        insert into pipeline_notes (kind, run_id, element) values ('decided', new.run_id, new.element); end""",
)


class Note(NamedTuple):
    """One thing that happened; a greater number is a later one."""

    id: int
    kind: str
    run_id: int
    element: str | None


def begin_pipeline_notes(connection: Connection) -> None:
    """From now on everything is noted."""
    for statement in _NOTES:
        connection.execute(text(statement))


def pipeline_notes(connection: Connection) -> list[Note]:
    """Everything, in order; nothing if nobody has noted."""
    if connection.execute(text("select 1 from sqlite_master where name = 'pipeline_notes'")).first() is None:
        return []
    return [Note._make(row) for row in connection.execute(text("select * from pipeline_notes order by id"))]
