"""A witness of limits: the database itself notes who takes and gives back, in the order of the commits."""

from typing import NamedTuple

from sqlalchemy import Connection, text

from orchestra.lifecycle import AttemptState, RunState
from orchestra.specification import RetryCause

_HAS = f"state in ('{RunState.ASSIGNED}', '{RunState.RUNNING}')"
_NOTES = (
    """create table limit_notes (
        id integer primary key, at real, kind text, run_id integer, attempt integer, job_id integer, moment integer)""",
    f"""create trigger note_taken after update of state on runs when new.{_HAS} and not old.{_HAS} begin
        insert into limit_notes (at, kind, run_id, attempt, job_id)
        values (simulated_seconds(), 'taken', new.id, new.attempt, new.job_id); end""",
    f"""create trigger note_given_back after update of state on runs when old.{_HAS} and not new.{_HAS} begin
        insert into limit_notes (at, kind, run_id, attempt, job_id)
        values (simulated_seconds(), 'given back', new.id, new.attempt, new.job_id); end""",
    """create trigger note_offers after insert on attempts begin
        insert into limit_notes (at, kind, run_id, attempt, job_id, moment)
        select simulated_seconds(), 'offered', new.run_id, new.number, runs.job_id, new.offered_at
        from runs where runs.id = new.run_id; end""",
    f"""create trigger note_withdrawals after update of state on attempts
        when new.state = '{AttemptState.WITHDRAWN}' begin
        insert into limit_notes (at, kind, run_id, attempt)
        values (simulated_seconds(), 'withdrawn', new.run_id, new.number); end""",
    f"""create trigger note_losses after update of cause on attempts when new.cause = '{RetryCause.LOST}' begin
        insert into limit_notes (at, kind, run_id, attempt, job_id)
        select simulated_seconds(), 'lost', new.run_id, new.number, runs.job_id
        from runs where runs.id = new.run_id; end""",
    """create trigger note_quarantines after update of quarantined_at on jobs begin
        insert into limit_notes (at, kind, job_id)
        values (simulated_seconds(), case when new.quarantined_at is null then 'released' else 'quarantined' end,
            new.id); end""",
)


class LimitNote(NamedTuple):
    """One thing that happened; a greater number is a later one."""

    id: int
    at: float
    """In virtual seconds."""
    kind: str
    run_id: int
    attempt: int
    job_id: int
    moment: int | None
    """By the clock of who did it."""


def begin_limit_notes(connection: Connection) -> None:
    """From now on everything is noted."""
    for statement in _NOTES:
        connection.execute(text(statement))


def limit_notes(connection: Connection) -> list[LimitNote]:
    """Everything, in order; nothing if nobody has noted."""
    if connection.execute(text("select 1 from sqlite_master where name = 'limit_notes'")).first() is None:
        return []
    return [LimitNote._make(row) for row in connection.execute(text("select * from limit_notes order by id"))]
