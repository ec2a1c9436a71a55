"""The audit: one entry for every change that a person made, in the transaction of the change."""

from sqlalchemy import Connection, insert

from orchestra.clock import Instant
from orchestra.storage.tables import audit_entries


def add_audit_entry(
    connection: Connection, *, at: Instant, actor: str, action: str, subject: str, detail: str = ""
) -> None:
    """Writes that the actor did this to the subject ("run #482", "job ops/backup"); the detail never has a secret."""
    connection.execute(_INSERT, {"at": at, "actor": actor, "action": action, "object": subject, "detail": detail})


_INSERT = insert(audit_entries)
