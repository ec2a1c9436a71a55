"""The tables of policies: what runs ask for beyond their jobs, what they demand, when rated ones started, and locks."""

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, Table, Text

from orchestra.storage.columns import Key, Moment, metadata

run_matchings = Table(
    "run_matchings",
    metadata,
    # Of runs that ask for other than their job's version does, or that demand something.
    Column("signature", Text, primary_key=True),
    # A Matching as JSON.
    Column("matching", Text, nullable=False),
)

run_demands = Table(
    "run_demands",
    metadata,
    Column("signature", Text, primary_key=True),
    # "group ops/deploy-production", "lock license", "rate ops/scan".
    Column("resource", Text, primary_key=True),
    Column("amount", Integer, nullable=False),
    # How much of it there is, as the job says it; of a declared lock its capacity counts.
    Column("most", Integer, nullable=False),
    # Of a rate: in any period of this length.
    Column("window_seconds", Float),
    Index("ix_run_demands_resource", "resource"),
)

run_starts = Table(
    "run_starts",
    metadata,
    # Of attempts whose job has a rate, as long as they count.
    Column("resource", Text, primary_key=True),
    Column("at", Moment, primary_key=True, autoincrement=False),
    Column("run_id", Key, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
)

locks = Table(
    "locks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("capacity", Integer, nullable=False),
    # Whose definition declares it.
    Column("project_id", Key, ForeignKey("projects.id"), nullable=False, index=True),
)
