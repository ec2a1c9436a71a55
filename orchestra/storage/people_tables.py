"""The tables about people: who they are, what they show to prove it, and what they did."""

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint

from orchestra.storage.columns import Key, Moment, metadata

users = Table(
    "users",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    # PBKDF2-SHA256 with its parameters, as passlib writes it; null: this user has no password.
    Column("password_hash", Text),
    Column("created_at", Moment, nullable=False),
    Column("disabled_at", Moment),
    # The IANA name of the zone in which this person reads instants.
    Column("zone", Text, nullable=False, default="UTC", server_default="UTC"),
    # Written down at most once a minute.
    Column("last_seen_at", Moment),
)

role_assignments = Table(
    "role_assignments",
    metadata,
    Column("id", Key, primary_key=True),
    Column("user_id", Key, ForeignKey("users.id"), nullable=False, index=True),
    Column("role", Text, nullable=False),
    # Null: in every project.
    Column("project_id", Key, ForeignKey("projects.id")),
    UniqueConstraint("user_id", "role", "project_id"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Key, primary_key=True),
    Column("user_id", Key, ForeignKey("users.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    # "user", "worker", or "sign-in" for a link that works once.
    Column("kind", Text, nullable=False),
    # The first characters, for people; and the SHA-256 of the whole in hexadecimal.
    Column("prefix", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("last_used_at", Moment),
    Column("revoked_at", Moment),
    # Names of permissions with spaces between them: of its owner's, the token gives only these; null: all.
    Column("scopes", Text),
)

web_sessions = Table(
    "web_sessions",
    metadata,
    Column("id", Key, primary_key=True),
    Column("user_id", Key, ForeignKey("users.id"), nullable=False, index=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("extended_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    # Where it began, for the person's own list: the client's address and the beginning of its User-Agent.
    Column("address", Text, nullable=False, default="", server_default=""),
    Column("agent", Text, nullable=False, default="", server_default=""),
)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("id", Key, primary_key=True),
    # "user ana" as it was typed, or "address 192.0.2.7".
    Column("subject", Text, nullable=False),
    Column("at", Moment, nullable=False, index=True),
    Index("ix_sign_in_failures_subject_at", "subject", "at"),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("id", Key, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("detail", Text, nullable=False, default=""),
    # "done" or "refused".
    Column("outcome", Text, nullable=False, default="done", server_default="done"),
    # By which of the actor's tokens or sessions: no foreign keys, because sessions go and entries stay.
    Column("token_id", Key),
    Column("session_id", Key),
    Column("address", Text, nullable=False, default="", server_default=""),
    # {"before": {…}, "after": {…}} as JSON, with what differs alone; secrets are never in it.
    Column("change", Text),
    # As in X-Request-Id and the log.
    Column("request", Text),
    Index("ix_audit_entries_object_id", "object", "id"),
    Index("ix_audit_entries_actor_id", "actor", "id"),
    Index("ix_audit_entries_action_id", "action", "id"),
    Index("ix_audit_entries_at", "at"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", Key, ForeignKey("users.id"), primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),
    # SHA-256 of method, path and body: the same key with another request is refused.
    Column("request_digest", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Moment, nullable=False, index=True),
)
