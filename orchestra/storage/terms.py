"""The terms on which runs may start: what a signature asks of a worker, and what it demands, as rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, select

from orchestra.demands import Demand
from orchestra.identifiers import Signature
from orchestra.matching import PIPELINE
from orchestra.specification import JobSpecification, Matching
from orchestra.storage.prepared import PreparedQuery
from orchestra.storage.tables import job_versions, run_demands, run_matchings
from orchestra.storage.upserts import insert_into


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What runs with one signature ask of a worker, and what they demand besides."""

    matching: Matching
    demands: tuple[Demand, ...] = ()

    @property
    def may_be_passed_by(self) -> bool:
        """Whether such a run needs so much at once that others could take each piece before it, for ever."""
        return self.matching.slots > 1 or len(self.demands) > 1 or any(each.amount > 1 for each in self.demands)


def keep_terms(connection: Connection, signature: Signature, matching: Matching, demands: Sequence[Demand]) -> None:
    """Makes the signature known whose terms are not those of a job's version."""
    dialect = connection.dialect.name
    new = insert_into(run_matchings, dialect).on_conflict_do_nothing(index_elements=["signature"])
    connection.execute(new, {"signature": signature, "matching": msgspec.json.encode(matching).decode()})
    if demands:
        demanded = insert_into(run_demands, dialect).on_conflict_do_nothing(index_elements=["signature", "resource"])
        connection.execute(demanded, [{"signature": signature, **msgspec.structs.asdict(each)} for each in demands])


def terms_of(connection: Connection, signature: Signature) -> Terms | None:
    """On which terms runs with this signature start, or None if no worker is to have them, or none ever had it."""
    if signature == PIPELINE:
        return None
    kept = select(run_matchings.c.matching).where(run_matchings.c.signature == signature)
    text = connection.execute(kept).scalar_one_or_none()
    if text is not None:
        return Terms(matching=msgspec.json.decode(text, type=Matching), demands=_demands_of(connection, signature))
    version = select(job_versions.c.specification).where(job_versions.c.signature == signature).limit(1)
    text = connection.execute(version).scalar_one_or_none()
    return None if text is None else Terms(matching=msgspec.json.decode(text, type=JobSpecification).matching)


def _demands_of(connection: Connection, signature: Signature) -> tuple[Demand, ...]:
    return tuple(
        Demand(resource=row.resource, amount=row.amount, most=row.most, window_seconds=row.window_seconds)
        for row in _DEMANDS.all(connection, {"wanted": signature})
    )


class _Demanded(NamedTuple):
    resource: str
    amount: int
    most: int
    window_seconds: float | None


_DEMANDS = PreparedQuery(
    _Demanded,
    lambda _: (
        select(*(run_demands.c[name] for name in _Demanded._fields))
        .where(run_demands.c.signature == bindparam("wanted"))
        .order_by(run_demands.c.resource)
    ),
)
