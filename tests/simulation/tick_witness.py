"""A witness of what is decided about schedules: the database itself notes each change, in the order of the commits."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from orchestra.clock import Instant

_NOTES = (
    """create table schedule_notes (
        id integer primary key, schedule_id integer, kind text, old_cursor integer, new_cursor integer,
        paused_at integer, paused_until integer,
        due_at integer, decided_at integer, decision text, run_id integer, is_disabled integer,
        open_runs text, unstopped_runs text)""",
    """create trigger note_cursors after update of next_fire_at on schedules
        when old.next_fire_at is not null and new.next_fire_at is not null begin
        insert into schedule_notes (schedule_id, kind, old_cursor, new_cursor)
        values (new.id, 'cursor', old.next_fire_at, new.next_fire_at); end""",
    """create trigger note_pauses after update of paused_at, paused_until on schedules begin
        insert into schedule_notes (schedule_id, kind, paused_at, paused_until)
        values (new.id, 'pause', new.paused_at, new.paused_until); end""",
    """create trigger note_ticks after insert on schedule_ticks begin
        insert into schedule_notes (
            schedule_id, kind, due_at, decided_at, decision, run_id, is_disabled, open_runs, unstopped_runs)
        select new.schedule_id, 'tick', new.due_at, new.decided_at, new.decision, new.run_id,
            max(jobs.disabled_by is not null),
            group_concat(runs.id),
            group_concat(case when runs.stop_requested_at is null then runs.id end)
        from schedules join jobs on jobs.id = schedules.job_id
            left join runs on runs.job_id = schedules.job_id and runs.ended_at is null
        where schedules.id = new.schedule_id; end""",
)


@dataclass(frozen=True, kw_only=True)
class Noted:
    """One decision, and the runs of its job that were not over when it was committed."""

    due_at: Instant
    decided_at: Instant
    decision: str
    run: int | None
    is_disabled: bool
    """Its job was."""
    open_runs: frozenset[int]
    unstopped_runs: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class NotedPause:
    """A pause that was in the row when somebody decided."""

    begin: Instant
    end: Instant | None


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What one transaction decided about one schedule."""

    begin: Instant
    """Where the cursor was."""
    end: Instant
    """Where it is now."""
    pause: NotedPause | None
    ticks: list[Noted] = field(default_factory=list)


def begin_notes(connection: Connection) -> None:
    """From now on everything is noted."""
    for statement in _NOTES:
        connection.execute(text(statement))


def passes(connection: Connection) -> dict[int, list[Pass]]:
    """What was decided about each schedule, in order."""
    found: dict[int, list[Pass]] = {}
    pauses: dict[int, NotedPause | None] = {}
    for note in connection.execute(text("select * from schedule_notes order by id")):
        mine = found.setdefault(note.schedule_id, [])
        match note.kind:
            case "cursor":
                mine.append(Pass(begin=note.old_cursor, end=note.new_cursor, pause=pauses.get(note.schedule_id)))
            case "pause":
                is_paused = note.paused_at is not None
                pause = NotedPause(begin=note.paused_at, end=note.paused_until) if is_paused else None
                pauses[note.schedule_id] = pause
            case "tick":
                if not mine:
                    # Nobody has moved the cursor: a pass that ends where it began has no instants.
                    mine.append(Pass(begin=note.due_at, end=note.due_at, pause=None))
                mine[-1].ticks.append(
                    Noted(
                        due_at=note.due_at,
                        decided_at=note.decided_at,
                        decision=note.decision,
                        run=note.run_id,
                        is_disabled=bool(note.is_disabled),
                        open_runs=frozenset(_numbers(note.open_runs)),
                        unstopped_runs=frozenset(_numbers(note.unstopped_runs)),
                    )
                )
    return found


def _numbers(joined: str | None) -> Iterator[int]:
    return map(int, joined.split(",")) if joined else iter(())
