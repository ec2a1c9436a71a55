"""The tables of pipelines: their elements, and what runs ask of workers beyond what their jobs do."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, Text

from orchestra.storage.columns import Key, Moment, metadata

pipeline_elements = Table(
    "pipeline_elements",
    metadata,
    Column("run_id", Key, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("element", Text, primary_key=True),
    # Empty for the element itself, else which of the runs of its matrix or list.
    Column("key", Text, primary_key=True),
    # The order in which they are shown.
    Column("position", Integer, nullable=False),
    # An ElementState; of one that is running its run's own state says more.
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    # Its run; with is_reused that of an earlier pipeline, whose outcome and results are used again.
    Column("child_id", Key, ForeignKey("runs.id")),
    Column("is_reused", Boolean, nullable=False, default=False),
    # Of the element itself: what its job was when the pipeline began; null for an approval.
    Column("job_version_id", Key, ForeignKey("job_versions.id")),
    # Of one of several runs, JSON: the values of the matrix, or the member of the list.
    Column("matrix", Text),
    Column("item", Text),
    # Of an approval: what is asked since when, and when it counts as answered.
    Column("message", Text, nullable=False, default=""),
    Column("asked_at", Moment),
    Column("due_at", Moment),
    Column("decided_at", Moment),
    Column("decided_by", Text),
    Column("ended_at", Moment),
    Index("ix_pipeline_elements_child_id", "child_id"),
    Index("ix_pipeline_elements_state_due_at", "state", "due_at"),
)
