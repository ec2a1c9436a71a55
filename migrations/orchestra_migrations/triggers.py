"""The rules that the database itself holds: a run that is over stays as it is, the audit trail only grows."""

from sqlalchemy import Connection

FINAL_COLUMNS = ("state", "reason", "exit_code", "log_length", "log_digest", "ended_at")
"""Of a run that is over: none of them ever changes."""

TRIGGER_NAMES = frozenset({"runs_stay_over", "audit_entries_stay", "audit_entries_are_kept"})
"""Row triggers on both databases; PostgreSQL also has one against `truncate`."""


def create_triggers(connection: Connection) -> None:
    """Makes all triggers; called by every revision that has made or copied their tables."""
    statements = _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL
    for statement in statements:
        connection.exec_driver_sql(statement)


_SQLITE = (
    f"""
    create trigger runs_stay_over before update on runs
    when old.ended_at is not null and ({" or ".join(f"new.{name} is not old.{name}" for name in FINAL_COLUMNS)})
    begin select raise(abort, 'a run that is over cannot change'); end
    """,
    """
    create trigger audit_entries_stay before update on audit_entries
    begin select raise(abort, 'the audit trail only grows'); end
    """,
    """
    create trigger audit_entries_are_kept before delete on audit_entries
    begin select raise(abort, 'the audit trail only grows'); end
    """,
)

_OLD = ", ".join(f"old.{name}" for name in FINAL_COLUMNS)
_NEW = ", ".join(f"new.{name}" for name in FINAL_COLUMNS)

_POSTGRESQL = (
    # The same class of error as SQLite's: an integrity error.
    """
    create or replace function refuse_change() returns trigger language plpgsql as
    $$ begin raise exception '%', tg_argv[0] using errcode = 'check_violation'; end $$
    """,
    f"""
    create trigger runs_stay_over before update on runs for each row
    when (old.ended_at is not null and ({_NEW}) is distinct from ({_OLD}))
    execute function refuse_change('a run that is over cannot change')
    """,
    """
    create trigger audit_entries_stay before update on audit_entries for each row
    execute function refuse_change('the audit trail only grows')
    """,
    """
    create trigger audit_entries_are_kept before delete on audit_entries for each row
    execute function refuse_change('the audit trail only grows')
    """,
    """
    create trigger audit_entries_are_not_truncated before truncate on audit_entries for each statement
    execute function refuse_change('the audit trail only grows')
    """,
)
