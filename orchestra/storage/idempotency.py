"""Idempotency keys: an answer is kept in the transaction of its effect, so that a repeat finds both or neither."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from sqlalchemy import ClauseElement, Connection, bindparam, delete, select

from orchestra.clock import Instant, after
from orchestra.identifiers import UserId
from orchestra.limits import IDEMPOTENCY_HOURS
from orchestra.storage.prepared import PreparedChange, PreparedQuery, inserted
from orchestra.storage.tables import idempotency_keys
from orchestra.storage.upserts import DIALECTS, insert_into


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptAnswer:
    """What was answered to the first request with a key."""

    request_digest: str
    status: int
    body: str


def find_answer(connection: Connection, user: UserId, key: str, *, now: Instant) -> KeptAnswer | None:
    """The answer under this key, if it is not too old."""
    oldest = after(now, -3600.0 * IDEMPOTENCY_HOURS)
    row = _FIND.first(connection, {"user": user, "wanted": key, "oldest": oldest})
    return None if row is None else KeptAnswer(request_digest=row.request_digest, status=row.status, body=row.body)


class _Kept(NamedTuple):
    request_digest: str
    status: int
    body: str


_FIND = PreparedQuery(
    _Kept,
    lambda _: select(*(idempotency_keys.c[name] for name in _Kept._fields)).where(
        idempotency_keys.c.user_id == bindparam("user"),
        idempotency_keys.c.key == bindparam("wanted"),
        idempotency_keys.c.created_at > bindparam("oldest"),
    ),
)


def keep_answer(connection: Connection, user: UserId, key: str, answer: KeptAnswer, *, now: Instant) -> bool:
    """Keeps the answer; False if another transaction was first: roll back and look again."""
    values = {
        "user_id": user,
        "key": key,
        "request_digest": answer.request_digest,
        "status": answer.status,
        "body": answer.body,
        "created_at": now,
        "oldest": after(now, -3600.0 * IDEMPOTENCY_HOURS),
    }
    return _KEEP[connection.dialect.name].execute(connection, values) == 1


_COLUMNS = ("request_digest", "status", "body", "created_at")
_NEW = inserted(idempotency_keys, "user_id", "key", *_COLUMNS)


def _overwrite_old(dialect: str, _: int) -> ClauseElement:
    new = insert_into(idempotency_keys, dialect).values(_NEW)
    # An answer that is too old is overwritten: its key is free again.
    return new.on_conflict_do_update(
        index_elements=["user_id", "key"],
        set_={name: new.excluded[name] for name in _COLUMNS},
        where=idempotency_keys.c.created_at <= bindparam("oldest"),
    )


_KEEP = {dialect: PreparedChange(partial(_overwrite_old, dialect)) for dialect in DIALECTS}


def forget_old_answers(connection: Connection, *, now: Instant) -> int:
    """Deletes what nobody may ask for any more; returns how many."""
    oldest = after(now, -3600.0 * IDEMPOTENCY_HOURS)
    return connection.execute(delete(idempotency_keys).where(idempotency_keys.c.created_at <= oldest)).rowcount
