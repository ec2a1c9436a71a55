"""Every table, for both databases. Instants are microseconds since 1970 UTC; documents are canonical JSON text."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from orchestra.storage import columns, people_tables, pipeline_tables, policy_tables
from orchestra.storage.columns import Key, Moment

metadata = columns.metadata

# --- definitions ---

projects = Table(
    "projects",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("description", Text, nullable=False, default=""),
    # The definition file that owns the project; null if it belongs to the API.
    Column("owner_file", Text),
    # What it gets of the workers' slots, beside the others; and a SlotReserve as JSON, null if none is kept free.
    Column("share", Integer, nullable=False, default=1, server_default="1"),
    Column("reserve", Text),
    Column("created_at", Moment, nullable=False),
)

definitions = Table(
    "definitions",
    metadata,
    Column("id", Key, primary_key=True),
    Column("project_id", Key, ForeignKey("projects.id"), nullable=False, index=True),
    # The ProjectDefinition as JSON, and its SHA-256 in hexadecimal: the version that `If-Match` names.
    Column("document", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("applied_at", Moment, nullable=False),
    Column("applied_by", Text, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Key, primary_key=True),
    Column("project_id", Key, ForeignKey("projects.id"), nullable=False),
    Column("name", Text, nullable=False),
    # The newest job_versions row; every run keeps the one it was created from.
    Column("version_id", Key, nullable=False),
    # Enabled needs both: the definition and the people.
    Column("enabled", Boolean, nullable=False, default=True),
    Column("disabled_by", Text),
    # It has lost what executed it too often: nothing of it starts until a person lets it go.
    Column("quarantined_at", Moment),
    Column("quarantine_reason", Text),
    # When a person let it go last: what was lost before does not count any more.
    Column("trusted_at", Moment),
    Column("retired_at", Moment),
    UniqueConstraint("project_id", "name"),
)

job_versions = Table(
    "job_versions",
    metadata,
    Column("id", Key, primary_key=True),
    Column("job_id", Key, ForeignKey("jobs.id"), nullable=False),
    Column("number", Integer, nullable=False),
    # A JobSpecification as JSON.
    Column("specification", Text, nullable=False),
    Column("signature", Text, nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("job_id", "number"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", Key, primary_key=True),
    Column("job_id", Key, ForeignKey("jobs.id"), nullable=False, unique=True),
    # A ScheduleSpecification as JSON.
    Column("specification", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, default=True),
    # Null: never again. The cursor: only ever moved by a compare-and-set that names the old value.
    Column("next_fire_at", Moment),
    # While it is paused nothing is decided; until when null: until a person resumes it.
    Column("paused_at", Moment),
    Column("paused_by", Text),
    Column("paused_reason", Text),
    Column("paused_until", Moment),
    Column("retired_at", Moment),
    Index("ix_schedules_next_fire_at", "next_fire_at"),
)

schedule_ticks = Table(
    "schedule_ticks",
    metadata,
    Column("id", Key, primary_key=True),
    Column("schedule_id", Key, ForeignKey("schedules.id"), nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("decided_at", Moment, nullable=False),
    # "fired", "skipped: overlap with #481", "skipped: missed" and so on.
    Column("decision", Text, nullable=False),
    Column("run_id", Key, ForeignKey("runs.id")),
    UniqueConstraint("schedule_id", "due_at"),
)

expectations = Table(
    "expectations",
    metadata,
    Column("job_id", Key, ForeignKey("jobs.id"), primary_key=True, autoincrement=False),
    # An ExpectationSpecification as JSON.
    Column("specification", Text, nullable=False),
    # From when on it counts: since it was defined or changed, or its job enabled.
    Column("since", Moment, nullable=False),
    # When a run must have started. The cursor, moved by a compare-and-set; null while one is missed or none expected.
    Column("look_at", Moment),
    Column("retired_at", Moment),
    Index("ix_expectations_look_at", "look_at"),
)

missed_runs = Table(
    "missed_runs",
    metadata,
    Column("id", Key, primary_key=True),
    Column("job_id", Key, ForeignKey("jobs.id"), nullable=False),
    # When it was expected, and from when on that was counted: the start of the run before, as a rule.
    Column("due_at", Moment, nullable=False),
    Column("counted_from", Moment, nullable=False),
    Column("missed_at", Moment, nullable=False),
    # When a run came after all; without a run if nothing is expected any more.
    Column("recovered_at", Moment),
    Column("run_id", Key, ForeignKey("runs.id")),
    UniqueConstraint("job_id", "due_at"),
)

# --- runs ---

runs = Table(
    "runs",
    metadata,
    Column("id", Key, primary_key=True),
    # Made by the creator, so that a repeat after an unknown outcome is recognised.
    Column("creation_key", Text, nullable=False, unique=True),
    Column("project_id", Key, ForeignKey("projects.id"), nullable=False),
    Column("job_id", Key, ForeignKey("jobs.id"), nullable=False),
    Column("job_version_id", Key, ForeignKey("job_versions.id"), nullable=False),
    Column("signature", Text, nullable=False),
    Column("slots", Integer, nullable=False, default=1),
    Column("priority", Integer, nullable=False, default=0),
    # Its turn among the pending: the moment at which it is ready, earlier by so much for each point of priority.
    Column("rank", BigInteger, nullable=False, default=0, server_default="0"),
    # No other run of the job may have it, as far as the job's policy says so.
    Column("unique_key", Text),
    # Without secrets; JSON object name -> value.
    Column("parameters", Text, nullable=False, default="{}"),
    # The secret parameters, encrypted; null as soon as the run is over.
    Column("sealed_secrets", Text),
    # Where it comes from: "user ana", "schedule", "retry of #480".
    Column("source", Text, nullable=False),
    Column("retry_of", Key, ForeignKey("runs.id")),
    # Of a retried pipeline: "failed", or "from build": what of the old one is used again.
    Column("retry_scope", Text),
    # Of a pipeline's child: whose, and which of its elements it runs.
    Column("parent_id", Key, ForeignKey("runs.id")),
    Column("element", Text),
    Column("element_key", Text),
    Column("state", Text, nullable=False),
    # Why it is in this state, in words; empty if the state says it all.
    Column("reason", Text, nullable=False, default=""),
    # The newest attempt's number (an offer that was withdrawn uses one up), 0 before the first.
    Column("attempt", Integer, nullable=False, default=0),
    # Attempts that really ran: what max-attempts counts.
    Column("attempts_counted", Integer, nullable=False, default=0),
    Column("worker_id", Key, ForeignKey("workers.id")),
    Column("created_at", Moment, nullable=False),
    # It waits until the earlier runs of its job are over.
    Column("is_queued", Boolean, nullable=False, default=False, server_default=false()),
    # When a scheduled run becomes pending; null while it waits for the earlier ones.
    Column("due_at", Moment),
    # When it last became pending, and when it is cancelled if no worker took it.
    Column("pending_at", Moment),
    Column("expires_at", Moment),
    # Of the first attempt.
    Column("started_at", Moment),
    Column("ended_at", Moment),
    # What a person asked for, kept apart from the state.
    Column("stop_requested_at", Moment),
    Column("stop_requested_by", Text),
    Column("stop_reason", Text),
    Column("exit_code", Integer),
    Column("log_length", BigInteger, nullable=False, default=0),
    Column("log_digest", Text),
    Column("progress", Float),
    Column("progress_text", Text),
    CheckConstraint(
        "(ended_at is null) = (state in ('scheduled','waiting','pending','assigned','running'))", name="ended"
    ),
)

attempts = Table(
    "attempts",
    metadata,
    Column("run_id", Key, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    # Null: something else started it, and `orchestra wrap` tells of it.
    Column("worker_id", Key, ForeignKey("workers.id")),
    # The worker's session under which it was offered; later messages come under the worker's current one.
    Column("epoch", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    # What policies look at: "exit:75", "timeout", "lost", …; null unless it has ended without success.
    Column("cause", Text),
    Column("offered_at", Moment, nullable=False),
    Column("accepted_at", Moment),
    Column("started_at", Moment),
    Column("ended_at", Moment),
    # The last event that was applied; a repeat is acknowledged and ignored.
    Column("sequence", Integer, nullable=False, default=0),
    # Bytes of log that are synced: readers serve a log only up to here.
    Column("log_length", BigInteger, nullable=False, default=0),
    Column("log_digest", Text),
    Column("lost_bytes", BigInteger, nullable=False, default=0),
    Column("exit_code", Integer),
)

wraps = Table(
    "wraps",
    metadata,
    Column("run_id", Key, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    # Where and as whom the command runs, and its words for people.
    Column("host", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("command", Text, nullable=False),
    # Its last sign of life; null as soon as the run is over.
    Column("heard_at", Moment),
    Index("ix_wraps_heard_at", "heard_at"),
)

run_steps = Table(
    "run_steps",
    metadata,
    Column("run_id", Key, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("started_at", Moment),
    Column("ended_at", Moment),
    Column("exit_code", Integer),
    Column("reason", Text, nullable=False, default=""),
    # The step's part of the attempt's log.
    Column("log_start", BigInteger, nullable=False, default=0),
    Column("log_end", BigInteger),
)

run_events = Table(
    "run_events",
    metadata,
    Column("id", Key, primary_key=True),
    Column("run_id", Key, ForeignKey("runs.id"), nullable=False),
    Column("attempt", Integer),
    Column("at", Moment, nullable=False),
    # A RunEvent, or evidence that changed nothing: "late", "stale", "refused".
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("detail", Text, nullable=False, default=""),
    Index("ix_run_events_run_id_id", "run_id", "id"),
)

run_results = Table(
    "run_results",
    metadata,
    Column("run_id", Key, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    # The value as JSON, and as the text that a filter compares: a string without its quotes.
    Column("value", Text, nullable=False),
    Column("text", Text, nullable=False),
    Index("ix_run_results_name_text", "name", "text", "run_id"),
)

# --- workers ---

workers = Table(
    "workers",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    # The user whose token registered the name: nobody else may use it.
    Column("user_id", Key, ForeignKey("users.id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("session_epoch", BigInteger, nullable=False, default=0),
    # Of the hello that began the session: an older one of the same instance comes too late.
    Column("connection", BigInteger, nullable=False, default=0, server_default="0"),
    # The master that holds the connection, null if none does.
    Column("master", Text),
    Column("instance", Text, nullable=False, default=""),
    Column("boot_id", Text, nullable=False, default=""),
    Column("version", Text, nullable=False, default=""),
    Column("properties", Text, nullable=False, default="{}"),
    Column("slots", Integer, nullable=False, default=0),
    Column("load", Float, nullable=False, default=0.0),
    Column("free_disk_bytes", BigInteger, nullable=False, default=0),
    Column("registered_at", Moment, nullable=False),
    Column("connected_at", Moment),
    Column("last_contact_at", Moment),
)

# --- pipelines, policies and people: in files of their own, named here so that this module knows every table ---

pipeline_elements = pipeline_tables.pipeline_elements
run_matchings = policy_tables.run_matchings
run_demands = policy_tables.run_demands
run_starts = policy_tables.run_starts
locks = policy_tables.locks
users = people_tables.users
role_assignments = people_tables.role_assignments
tokens = people_tables.tokens
web_sessions = people_tables.web_sessions
sign_in_failures = people_tables.sign_in_failures
audit_entries = people_tables.audit_entries
idempotency_keys = people_tables.idempotency_keys
