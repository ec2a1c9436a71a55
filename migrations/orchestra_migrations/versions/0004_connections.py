"""Connections of workers are numbered: a hello that was on its way for long is told from the newest one."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds the column in place."""
    op.add_column("workers", sa.Column("connection", sa.BigInteger(), nullable=False, server_default="0"))
