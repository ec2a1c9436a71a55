"""The audit: one entry for every change that somebody made, in the transaction of the change. It only grows."""

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection, insert

from orchestra.clock import Instant
from orchestra.policy import Principal
from orchestra.storage.prepared import PreparedChange, inserted
from orchestra.storage.tables import audit_entries

Values = Mapping[str, object]
DONE = "done"
REFUSED = "refused"


def record_change(
    connection: Connection,
    who: Principal,
    *,
    at: Instant,
    action: str,
    subject: str,
    detail: str = "",
    before: Values | None = None,
    after: Values | None = None,
) -> None:
    """Writes that this person did this to the subject ("run #482", "job ops/backup"), from where, and what differs.

    Neither the detail nor the values ever have a secret.
    """
    _INSERT.execute(
        connection,
        {
            "at": at,
            "actor": who.actor,
            "action": action,
            "object": subject,
            "detail": detail,
            "outcome": DONE,
            "token_id": who.token_id,
            "session_id": who.session_id,
            "address": who.address,
            "change": None if before is None and after is None else _difference(before or {}, after or {}),
            "request": who.request or None,
        },
    )


def add_audit_entry(
    connection: Connection,
    *,
    at: Instant,
    actor: str,
    action: str,
    subject: str,
    detail: str = "",
    outcome: str = DONE,
    address: str = "",
    session_id: int | None = None,
) -> None:
    """The same for whoever is no signed-in person: the program itself ("system"), somebody at the sign-in."""
    _INSERT.execute(
        connection,
        {
            "at": at,
            "actor": actor,
            "action": action,
            "object": subject,
            "detail": detail,
            "outcome": outcome,
            "token_id": None,
            "session_id": session_id,
            "address": address,
            "change": None,
            "request": None,
        },
    )


def _difference(before: Values, after: Values) -> str:
    """Both sides without what is equal in them, as JSON."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    sides = {"before": before, "after": after}
    return _encoder.encode(
        {word: {name: side[name] for name in names if name in side} for word, side in sides.items()}
    ).decode()


_encoder = msgspec.json.Encoder(order="deterministic")
_COLUMNS = (
    "at",
    "actor",
    "action",
    "object",
    "detail",
    "outcome",
    "token_id",
    "session_id",
    "address",
    "change",
    "request",
)
_INSERT = PreparedChange(lambda _: insert(audit_entries).values(inserted(audit_entries, *_COLUMNS)))
